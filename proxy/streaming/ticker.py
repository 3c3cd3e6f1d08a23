"""The one timer of a process: walks everything that waits, in slices, so that no token waits for a crowd of keepalives.

The slices of one walk are spread over half of the period: a busy loop needs the time between two of them to catch up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from proxy.downstream import Downstream
from proxy.streaming.clocks import WriteStall

log = logging.getLogger("proxy.streaming")

LONGEST_PERIOD: Final = 0.2  # with the walk itself, what is due is done within a quarter of a second
SLICE: Final = 0.0002  # seconds of our own CPU time after which the loop gets its turn
CHECK_EVERY: Final = 8  # walked between two looks at the clock


class Ticking(Protocol):
    """Something with deadlines."""

    def tick(self, now: float, wall: float) -> None:
        """Do what is due at *now* (event loop's clock; *wall* is seconds since the epoch)."""


def period_for(durations: Iterator[float]) -> float:
    """Return the tick's period: a quarter of the smallest duration, 200 ms at most, 5 ms at least."""
    smallest = min((duration for duration in durations if duration > 0), default=LONGEST_PERIOD * 4)
    return max(0.005, min(LONGEST_PERIOD, smallest / 4))


class Ticker:
    """Calls `tick` on every member once a period, and *each_period* once before them."""

    def __init__(self, period: float, *, each_period: Callable[[float], None], lag: Callable[[float], None]) -> None:
        self.period = period
        self._each_period = each_period
        self._lag = lag
        self._members: dict[Ticking, None] = {}
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None
        self._due = 0.0

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Ticking]:
        return iter(tuple(self._members))

    def start(self) -> None:
        """Begin ticking."""
        self._due = time.monotonic() + self.period
        self._handle = self._loop.call_later(self._due - time.monotonic(), self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def add(self, member: Ticking) -> None:
        """Tick *member* from now on."""
        self._members[member] = None

    def remove(self, member: Ticking) -> None:
        """Leave *member* alone from now on."""
        self._members.pop(member, None)

    def _tick(self) -> None:
        now = time.monotonic()
        self._lag(max(0.0, now - self._due))
        try:
            self._each_period(now)
        except Exception:
            log.exception("the work of a period failed")  # the clock of all streams goes on
        self._walk(tuple(self._members), 0, now)

    def _walk(self, members: Sequence[Ticking], start: int, began: float) -> None:
        """Tick *members* from *start* on, as many as a slice allows; the others later in this walk, which *began* at that time."""
        now = time.monotonic()
        wall = time.time()
        until = time.thread_time() + SLICE
        for done in range(start + 1, len(members) + 1):
            member = members[done - 1]
            if member in self._members:
                self._tick_one(member, now, wall)
            if (done - start) % CHECK_EVERY == 0:
                now = time.monotonic()
                if time.thread_time() > until:
                    pause = began + self.period / 2 * done / len(members) - now
                    self._handle = self._loop.call_later(max(0.0, pause), self._walk, members, done, began)
                    return
        self._due = max(self._due + self.period, now + self.period / 2)
        self._handle = self._loop.call_later(self._due - time.monotonic(), self._tick)

    def _tick_one(self, member: Ticking, now: float, wall: float) -> None:
        try:
            member.tick(now, wall)
        except Exception:
            # one broken member must not stop the clock of all others
            log.exception("tick failed", extra={"member": type(member).__name__})
            self._members.pop(member, None)


class Lingering:
    """Watches over what still waits for a client behind the end of its exchange; aborts a client that does not take it."""

    def __init__(self, downstream: Downstream, ticker: Ticker, write_stall: float, now: float) -> None:
        self._downstream = downstream
        self._ticker = ticker
        self._write_stall = write_stall
        self._stall = WriteStall(now)

    def tick(self, now: float, wall: float) -> None:
        """Look whether it is gone, or stuck."""
        pending = self._downstream.pending
        if not pending:
            self._ticker.remove(self)
        elif self._stall.seconds(self._downstream.taken, pending, now) >= self._write_stall:
            self._downstream.abort()
            self._ticker.remove(self)
