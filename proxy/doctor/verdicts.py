"""Says what a path did to a stream, from the arrivals of its events alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from proxy.doctor.arrivals import Arrival, End, Seen

TOGETHER: Final = 0.05  # seconds within which events count as having come at once
MOST_OF_IT: Final = 0.8  # of the time in which events were sent, before the first came: all of them were held back
WIDE: Final = 1.5  # times the gap with which an event was sent; in bursts of two the wide ones come near to 2
NARROW: Final = 0.2
SPREAD: Final = 0.2  # seconds; events that were sent in less are no test


class Kind(enum.StrEnum):
    """What became of a stream, the best first."""

    STREAMING = "STREAMING"
    COALESCED = "COALESCED"
    BUFFERED = "BUFFERED"
    CUT = "CUT"
    REFUSED = "REFUSED"


RANKS: Final = {kind: rank for rank, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A verdict and its figures. `reason` is one sentence, where the word does not say all."""

    kind: Kind
    burst: int | None = None  # events that came together, at most
    seconds: float | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """The verdict in a few words."""
        match self.kind:
            case Kind.COALESCED:
                return f"{self.kind} ({self.burst} events per burst)"
            case Kind.BUFFERED:
                return f"{self.kind} (all at once after {self.seconds:.1f} s)"
            case Kind.CUT:
                return f"{self.kind} at {self.seconds:.1f} s"
        return str(self.kind)

    def worse_than(self, other: Verdict) -> bool:
        """Tell whether this is a worse end than *other*."""
        return RANKS[self.kind] > RANKS[other.kind]


GOOD: Final = Verdict(kind=Kind.STREAMING)


def judge(seen: Seen) -> Verdict:
    """Return the verdict on a stream that was answered with one."""
    if not seen.complete:
        return Verdict(kind=Kind.CUT, seconds=seen.ended_at, reason=_cut(seen))
    arrivals = seen.arrivals
    if len(arrivals) < 2:
        return GOOD
    if _buffered(arrivals):
        return Verdict(kind=Kind.BUFFERED, seconds=arrivals[0].at)
    if _coalesced(arrivals):
        return Verdict(kind=Kind.COALESCED, burst=max(bursts(arrivals)))
    return Verdict(kind=Kind.STREAMING, reason="it was still open when we stopped listening") if seen.end is End.ENDLESS else GOOD


def bursts(arrivals: tuple[Arrival, ...]) -> list[int]:
    """Return how many events came together, burst by burst."""
    sizes = [1] if arrivals else []
    for earlier, later in pairwise(arrivals):
        if later.at - earlier.at < max(TOGETHER, NARROW * _sent_gap(earlier, later)):
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def _buffered(arrivals: tuple[Arrival, ...]) -> bool:
    first, last = arrivals[0], arrivals[-1]
    if last.at - first.at > TOGETHER:
        return False
    if first.sent is None or last.sent is None:  # of a foreign stream it can only be guessed: a second's worth of events at once
        return len(arrivals) > 2 and first.at >= 1
    spread = last.sent - first.sent
    return spread >= SPREAD and first.at - first.sent >= MOST_OF_IT * spread


def _coalesced(arrivals: tuple[Arrival, ...]) -> bool:
    pairs = [(later.at - earlier.at, _sent_gap(earlier, later)) for earlier, later in pairwise(arrivals)]
    timed = [(gap, sent) for gap, sent in pairs if sent > 0]
    wide = any(gap > max(WIDE * sent, TOGETHER) for gap, sent in [*_start(arrivals), *timed])
    return wide and any(gap < NARROW * sent for gap, sent in timed)


def _start(arrivals: tuple[Arrival, ...]) -> list[tuple[float, float]]:
    """Return the wait for the first event as a gap: a compressor that collects its first bytes shows nowhere else."""
    first = arrivals[0]
    if first.sent is None or _sent_gap(first, arrivals[-1]) < SPREAD:
        return []
    return [(first.at - first.sent, _sent_gap(first, arrivals[1]))]


def _sent_gap(earlier: Arrival, later: Arrival) -> float:
    return 0.0 if earlier.sent is None or later.sent is None else later.sent - earlier.sent


def _cut(seen: Seen) -> str:
    came = f"{len(seen.arrivals)} of {seen.expected} events" if seen.expected else f"{len(seen.arrivals)} events"
    how = {
        "done": "the end came",
        "broken": "the connection was cut",
        "clean": "the answer ended as if it were complete",
        "silent": "nothing came any more",
        "endless": "it went on with something else",
    }[seen.end]
    return f"{came} came, then {how}"
