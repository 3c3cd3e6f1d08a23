"""Takes finished exchanges at once and writes them later: in batches, through outages, and never more of them than fit.

No request waits for it: `record` appends to a bounded queue. What a database does not take is kept and tried again; when the
queue is full, new exchanges are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.exchange import Exchange
from proxy.store.database import Database, StoreError
from proxy.store.rows import Row, rows_of
from proxy.tasks import Tasks

CAPACITY: Final = 10_000  # exchanges that wait
BATCH: Final = 500  # exchanges in one transaction
LINGER: Final = 1.0  # seconds for which exchanges may gather
SHORTEST_PAUSE: Final = 1.0  # after a failure; doubled with each
LONGEST_PAUSE: Final = 60.0
LAST_WORDS: Final = 3.0  # seconds for what is left at the end
LAST_PAUSE: Final = 0.1  # after a failure then: other workers, which end at the same time, may keep the database busy
FORGET_EVERY: Final = 600.0
FORGET_AT_ONCE: Final = 5_000  # rows in one transaction, so that nobody waits long for it

log = logging.getLogger("proxy.store")


class UsageWriter:
    """Owns the database of the usage store, and the task that writes to it. *retention* is in seconds."""

    def __init__(
        self,
        database: Database,
        retention: float,
        *,
        wall: Callable[[], float] = time.time,
        pause: Callable[[float], float] = float,
    ) -> None:
        """*pause* turns the seconds of a wait into those that are really waited; tests make them fewer."""
        self._database = database
        self._retention = retention
        self._wall = wall
        self._pause = pause
        self._waiting: deque[Exchange] = deque()
        self._more = asyncio.Event()
        self._at_work = asyncio.Lock()  # whoever is cancelled in mid-batch cannot know whether it is written
        self._tasks = Tasks()
        self._forget_at = 0.0
        self._failures = 0
        self.dropped = 0  # exchanges of which nothing is kept

    def start(self) -> None:
        """Begin to write, in the background."""
        self._tasks.spawn(self._run(), name="usage store")

    def record(self, exchange: Exchange) -> None:
        """Take a finished *exchange*; returns at once."""
        if len(self._waiting) >= CAPACITY:
            self.dropped += 1
            return
        self._waiting.append(exchange)
        self._more.set()

    async def close(self) -> None:
        """Write what is left, for a few seconds, and close. Idempotent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                async with self._at_work:
                    await self._tasks.close()
                await self._write_the_last()
        await self._tasks.close()
        if self._waiting:
            log.error("usage rows lost at the end", extra={"exchanges": len(self._waiting)})
            self.dropped += len(self._waiting)
            self._waiting.clear()
        await self._database.close()

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(self._pause(LINGER))
            try:
                async with self._at_work:
                    while self._waiting:
                        await self._write()
                    self._more.clear()
                    await self._forget()
                self._recovered()
            except StoreError as exc:
                await asyncio.sleep(self._pause(self._failed(exc)))

    async def _write_the_last(self) -> None:
        while self._waiting:
            try:
                await self._write()
            except StoreError:
                await asyncio.sleep(self._pause(LAST_PAUSE))

    async def _write(self) -> None:
        """Write a batch; it leaves the queue only once it is in the database."""
        batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
        rows: list[Row] = [row for exchange in batch for row in rows_of(exchange)]
        if rows:
            await self._database.write(rows)
        for _ in batch:
            self._waiting.popleft()

    async def _forget(self) -> None:
        now = self._wall()
        if now < self._forget_at:
            return
        gone = await self._database.forget(now - self._retention, FORGET_AT_ONCE)
        if gone < FORGET_AT_ONCE:  # else the next batch goes on with it
            self._forget_at = now + FORGET_EVERY

    def _failed(self, error: StoreError) -> float:
        """Say so, once for an outage, and return how long to leave the database alone."""
        if not self._failures:
            log.error("the usage store cannot be written to; rows are kept meanwhile", extra={"problem": str(error)})
        self._failures += 1
        return min(SHORTEST_PAUSE * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE)

    def _recovered(self) -> None:
        if self._failures:
            log.info("the usage store is written to again", extra={"attempts": self._failures})
        self._failures = 0
