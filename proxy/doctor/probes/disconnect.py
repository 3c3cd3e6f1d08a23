"""Does the proxy notice, through this path, that a client has left, and after how long?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, NamedTuple

import orjson

from proxy.doctor.listening import Patience, listen
from proxy.doctor.paint import duration
from proxy.doctor.probes.base import Desk, Finding
from proxy.doctor.rules import Symptom
from proxy.doctor.wire import Ask, Unreachable

POLL: Final = 0.1  # seconds between two questions whether it was noticed
WITHIN: Final = 5.0  # seconds in which it should be
LARGEST: Final = 65536  # bytes of what is told
ANSWER: Final = 10.0  # seconds in which it must be told
FIRST: Final = 3.0  # seconds for the first event


class Told(NamedTuple):
    """What the proxy says of a stream: whether its client has left, and how many seconds ago it ended."""

    left: bool
    ago: float


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Leaves a silent stream, and, if nobody has noticed, one in which events come."""

    within: float = WITHIN
    first: float = FIRST
    name: str = "disconnect"

    @property
    def seconds(self) -> float:
        return 1.0

    async def run(self, desk: Desk) -> Finding:
        silent = await self._noticed(desk, interval=60.0)
        if silent is None:
            return Finding(
                probe=self.name,
                ok=None,
                said="it cannot be told: the proxy that was asked knows nothing of that stream (are there several?)",
            )
        if silent >= 0:
            said = f"noticed {duration(silent)} after the client had left a silent stream"
            return Finding(probe=self.name, ok=True, said=said, facts={"silent_ms": silent * 1000})
        flowing = await self._noticed(desk, interval=0.5)
        mend = desk.mend(Symptom.DEPARTURE)
        if flowing is None or flowing < 0:
            said = f"not noticed in {self.within:g} s, not even while events were sent"
            return Finding(probe=self.name, ok=False, said=said, fix=mend)
        said = f"not noticed in {self.within:g} s of silence, but {duration(flowing)} after the client had left while events were sent"
        return Finding(probe=self.name, ok=True, said=said, fix=mend, facts={"flowing_ms": flowing * 1000})

    async def _noticed(self, desk: Desk, interval: float) -> float | None:
        """Leave a stream, and return after how many seconds that was noticed; below 0: not in time, None: it cannot be told."""
        request_id = await self._leave(desk, interval)
        left = desk.clock()
        while True:
            told = await _told(desk, request_id)
            now = desk.clock()
            if told is None:
                return None
            if told.left:
                return max(0.0, now - left - told.ago)
            if now - left >= self.within:
                return -1.0
            await asyncio.sleep(POLL)

    async def _leave(self, desk: Desk, interval: float) -> str:
        """Leave a stream behind its first event, or when nothing comes, and return its id."""
        request_id = token_hex(16)
        ask = desk.ask({"count": 50, "interval": interval}, X_Request_Id=request_id)
        try:
            async with desk.wire.open(ask, within=self.first) as answer:
                seen = await listen(answer, Patience(silence=self.first, whole=self.first), enough=1)
        except Unreachable:
            return request_id  # it may be held back on the way
        return str(seen.told.get("id", request_id))  # who stands before the proxy may have given it another one


async def _told(desk: Desk, request_id: str) -> Told | None:
    """Ask what became of a stream; None: what came back in time is not the proxy's word."""
    async with desk.wire.open(Ask(url=desk.target.departure(request_id)), within=ANSWER) as answer:
        if answer.status != 200:
            return None
        try:
            async with asyncio.timeout(ANSWER):
                return read_told(await answer.whole(LARGEST))
        except TimeoutError:
            return None


def read_told(body: bytes) -> Told | None:
    """Read the proxy's word; None where these bytes are not that."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return None
    match told:
        case {"state": str(state), "ago_ms": int() | float() as ago} if not isinstance(ago, bool):
            return Told(state == "left", ago / 1000)
    return None
