"""How long may a connection be silent on this path, and do keepalives help?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from proxy.doctor.arrivals import Seen
from proxy.doctor.listening import Patience
from proxy.doctor.paint import duration
from proxy.doctor.probes.base import Desk, Finding
from proxy.doctor.rules import Symptom

MARGIN: Final = 15.0  # seconds that the event behind a silence may be late


class Step(NamedTuple):
    """One silence, and when the connection was ended in it; None: it passed."""

    silence: float
    cut_at: float | None
    keepalives: int


@dataclass(frozen=True, slots=True)
class Idle:
    """All silences at once, each on a connection of its own, with keepalives and without."""

    silences: Sequence[float]  # each best a little above a limit that is common
    name: str = "idle"

    @property
    def seconds(self) -> float:
        return max(self.silences)

    async def run(self, desk: Desk) -> Finding:
        steps = await asyncio.gather(*(_step(desk, each, kept) for kept in ("off", "on") for each in sorted(self.silences)))
        half = len(self.silences)
        return verdict(desk, steps[:half], steps[half:])


async def _step(desk: Desk, silence: float, keepalive: str) -> Step:
    ask = desk.ask({"count": 2, "interval": 0, "pause": silence, "keepalive": keepalive})
    seen = await desk.stream(ask, Patience(silence=silence + MARGIN, whole=silence + MARGIN), expected=2)
    return Step(silence, None if seen.complete else _lasted(seen), seen.keepalives)


def _lasted(seen: Seen) -> float:
    return seen.ended_at - (seen.first_at or seen.headers_at)


def verdict(desk: Desk, bare: Sequence[Step], kept: Sequence[Step]) -> Finding:
    """Return the finding on the silences without keepalives (*bare*) and with them."""
    facts = {"without_keepalives": [_facts(step) for step in bare], "with_keepalives": [_facts(step) for step in kept]}
    limit, held = _limit(bare), _limit(kept)
    passed = ", ".join(f"{step.silence:g}" for step in bare)
    if held is not None:
        said = f"connections are ended after {duration(held)} in spite of keepalives: the interval between them is too long, or answers may not take longer"
        return Finding(probe="idle", ok=False, said=said, fix=desk.mend(Symptom.SILENCE), facts=facts)
    if limit is None:
        return Finding(probe="idle", ok=True, said=f"silences of {passed} s pass, without keepalives too", facts=facts)
    said = f"silent connections are ended after {duration(limit)}; keepalives keep them open: let them come every {duration(limit / 3)} at least"
    return Finding(probe="idle", ok=True, said=said, facts=facts)


def _facts(step: Step) -> dict[str, Any]:
    cut = None if step.cut_at is None else round(step.cut_at * 1000, 1)
    return {"silence_ms": step.silence * 1000, "cut_ms": cut, "keepalives": step.keepalives}


def _limit(steps: Sequence[Step]) -> float | None:
    return min((step.cut_at for step in steps if step.cut_at is not None), default=None)
