"""Finds the hop that is to blame, the first that is worse than the one before it, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from proxy.doctor.arrivals import End, Seen, delays
from proxy.doctor.hop import Hop
from proxy.doctor.rules import Fix, Symptom, fix
from proxy.doctor.verdicts import GOOD, Kind

LATE: Final = 0.15  # seconds that events may lag behind the quickest before that is worth a word
QUIET: Final = 3.0  # times the usual gap without an event, then the cut: silence was the reason


@dataclass(frozen=True, slots=True)
class Blame:
    """The hop at *position* is worse than the one before it. `fix` is None where the reason of its verdict says all."""

    position: int
    fix: Fix | None


def blame(hops: Sequence[Hop]) -> Blame | None:
    """Return who is to blame, hops being in order from the inside out; None: nobody."""
    verdict, known = GOOD, frozenset[str]()
    for position, hop in enumerate(hops):
        if hop.verdict.worse_than(verdict):
            return Blame(position, _fix(hop, known))
        verdict, known = hop.verdict, known | set(hop.products)
    return None


def notes(hops: Sequence[Hop]) -> list[tuple[int, Fix]]:
    """Return smaller faults that no verdict names, each with its hop: bytes that are held for a moment, and an old HTTP towards the proxy."""
    found: list[tuple[int, Fix]] = []
    before: Seen | None = None
    for position, hop in enumerate(hops):
        seen = hop.seen
        if seen is not None:
            suspects = hop.products[::-1]
            if seen.told.get("http") == "1.0" and (before is None or before.told.get("http") != "1.0"):
                found.append((position, fix(Symptom.OLD_HTTP, suspects)))
            if hop.verdict.kind is Kind.STREAMING and _late(seen) and not (before and _late(before)):
                found.append((position, fix(Symptom.LATE, suspects)))
            before = seen
    return found


def symptom(hop: Hop) -> Symptom | None:
    """Return what is wrong at *hop*, where there is a rule for it."""
    seen, kind = hop.seen, hop.verdict.kind
    if seen is None or kind in (Kind.STREAMING, Kind.REFUSED):
        return None
    if kind is Kind.CUT:
        return _ended(seen)
    return Symptom.ENCODED if seen.encoding else Symptom.HELD


def _fix(hop: Hop, known: frozenset[str]) -> Fix | None:
    wrong = symptom(hop)
    if wrong is None:
        return None
    new = [name for name in hop.products if name not in known]
    return fix(wrong, [*new, *(name for name in hop.products if name in known)])


def _ended(seen: Seen) -> Symptom | None:
    """Return why a stream was cut; None where no setting is known for that: events are missing, or nobody ended it."""
    if seen.end is End.DONE or seen.empty or (seen.end is End.ENDLESS and not seen.arrivals):
        return None
    if _silent(seen):
        return Symptom.SILENCE
    return None if seen.end is End.ENDLESS else Symptom.TOTAL


def _silent(seen: Seen) -> bool:
    if seen.end is End.SILENT or not seen.arrivals:
        return True
    times = [arrival.at for arrival in seen.arrivals]
    usual = (times[-1] - times[0]) / max(1, len(times) - 1)
    return seen.ended_at - times[-1] > QUIET * max(usual, LATE)


def _late(seen: Seen) -> bool:
    """Tell whether most events, or the first alone, lag behind the quickest, which as a rule is the last: behind it nothing is waited for."""
    late = delays(seen.arrivals)
    if not late:
        return False
    first, *others = late
    return median(late) > LATE or (first > LATE and max(others, default=0.0) < first / 2)
