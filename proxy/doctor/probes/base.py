"""What every probe gets and gives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from proxy.doctor.arrivals import Seen
from proxy.doctor.hop import accepting, refusal
from proxy.doctor.listening import Patience, listen
from proxy.doctor.paint import duration
from proxy.doctor.rules import Fix, Symptom, fix
from proxy.doctor.target import Target
from proxy.doctor.wire import Ask, Unreachable, Wire

SLACK: Final = 300.0  # seconds that a probe may take longer than it says: large bodies on a slow line


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a probe has found out. `ok` is None where it could not."""

    probe: str
    ok: bool | None
    said: str  # one sentence, without a full stop
    fix: Fix | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desk:
    """One hop, and the means to ask it. `products` are those that stand on the way to it."""

    wire: Wire
    target: Target
    products: Sequence[str] = ()
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time

    async def stream(self, ask: Ask, patience: Patience, *, expected: int | None = None) -> Seen:
        """Ask for a test stream and listen to it. Raises Unreachable, also where what comes back is no stream."""
        async with self.wire.open(ask, within=patience.head) as answer:
            if reason := refusal(answer):
                raise Unreachable(reason)
            return await listen(answer, patience, expected=expected)

    def ask(self, query: Mapping[str, str | float], *, coding: str = "identity", **headers: str) -> Ask:
        """Return the request for a test stream with *query*, and these headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Ask(url=self.target.stream(**query), headers={**accepting(coding), **named})

    def mend(self, symptom: Symptom) -> Fix:
        """Return what mends *symptom* on this path."""
        return fix(symptom, self.products[::-1])


class Probe(Protocol):
    """One question."""

    @property
    def name(self) -> str:
        """Its word on the command line."""

    @property
    def seconds(self) -> float:
        """How long it takes, about."""

    async def run(self, desk: Desk) -> Finding:
        """Ask, and return what was found. Raises Unreachable where the hop cannot be asked at all."""


async def asked(probe: Probe, desk: Desk) -> Finding:
    """Run *probe*; a hop that cannot be asked is a finding too, and one that keeps it waiting."""
    limit = probe.seconds + SLACK
    try:
        async with asyncio.timeout(limit):
            return await probe.run(desk)
    except TimeoutError:
        return Finding(probe=probe.name, ok=False, said=f"there was no end to it, and it was given up after {duration(limit)}")
    except Unreachable as exc:
        return Finding(probe=probe.name, ok=False, said=str(exc))
