"""What the writer does with a database that works, one that fails for a while, and one that never answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.exchange import Attempt, Exchange, Outcome
from proxy.store import Database, Row, StoreError, UsageWriter
from proxy.store import writer as writer_module


class Memory(Database):
    """A database that fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.failures = 0
        self.hanging = False
        self.slow = False
        self.forgotten: list[float] = []
        self.closed = False
        self.written = asyncio.Event()

    async def write(self, rows: Sequence[Row]) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failures:
            self.failures -= 1
            raise StoreError("disk full")
        self.batches.append(list(rows))
        self.written.set()
        if self.slow:
            await asyncio.sleep(0.01)  # as long as a transaction takes to say that it is done

    async def forget(self, before: float, most: int) -> int:
        self.forgotten.append(before)
        return 0

    async def read(self, since: float) -> list[tuple[float, str, dict[str, Any]]]:
        return []

    async def close(self) -> None:
        self.closed = True

    @property
    def rows(self) -> int:
        return sum(map(len, self.batches))


def finished() -> Exchange:
    exchange = Exchange("r1", 0.0, 1000.0)
    exchange.attempts = [Attempt("a", "m", 0.0)]
    exchange.close(Outcome.COMPLETED, 1.0)
    return exchange


def writer(database: Database) -> UsageWriter:
    return UsageWriter(database, 60.0, wall=lambda: 5000.0, pause=lambda seconds: 0.0)


async def test_what_gathers_is_written_in_one_batch_and_what_is_old_forgotten() -> None:
    database = Memory()
    it = writer(database)
    it.start()

    for _ in range(3):
        it.record(finished())
    await database.written.wait()
    await it.close()

    assert [len(batch) for batch in database.batches] == [3]
    assert database.forgotten in ([], [4940.0])
    assert database.closed


async def test_an_outage_is_told_once_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    database = Memory()
    database.failures = 3
    it = writer(database)
    it.start()

    it.record(finished())
    await database.written.wait()
    await it.close()

    assert database.rows == 1
    assert it.dropped == 0
    assert [record.levelname for record in caplog.records if "cannot be written" in record.message] == ["ERROR"]


async def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CAPACITY", 2)
    database = Memory()
    it = writer(database)

    for _ in range(5):
        it.record(finished())
    await it.close()

    assert (database.rows, it.dropped) == (2, 3)


async def test_large_numbers_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BATCH", 2)
    database = Memory()
    it = writer(database)

    for _ in range(5):
        it.record(finished())
    await it.close()

    assert [len(batch) for batch in database.batches] == [2, 2, 1]


async def test_a_database_that_does_not_answer_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LAST_WORDS", 0.01)
    database = Memory()
    database.hanging = True
    it = writer(database)

    it.record(finished())
    await it.close()

    assert (database.rows, it.dropped, database.closed) == (0, 1, True)


async def test_a_failure_at_the_end_is_not_the_last_word() -> None:
    database = Memory()
    database.failures = 2
    it = writer(database)
    it.record(finished())

    await it.close()

    assert (database.rows, it.dropped) == (1, 0)


async def test_a_batch_that_is_being_written_at_the_end_is_written_once() -> None:
    database = Memory()
    database.slow = True
    it = writer(database)
    it.start()
    it.record(finished())
    await database.written.wait()

    await it.close()

    assert (database.rows, it.dropped) == (1, 0)


def test_pauses_grow_up_to_a_minute() -> None:
    async def pauses() -> list[float]:
        it = writer(Memory())
        return [it._failed(StoreError("x")) for _ in range(9)]

    assert asyncio.run(pauses()) == [1, 2, 4, 8, 16, 32, 60, 60, 60]
