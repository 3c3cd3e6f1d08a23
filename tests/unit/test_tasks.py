from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from proxy.tasks import Tasks
from tests.support.loops import both_loops
from tests.support.transports import turns

pytestmark = both_loops


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_bears_its_name_and_returns_what_its_work_does() -> None:
    async def work() -> int:
        return 7

    tasks = Tasks()
    task = tasks.spawn(work(), name="seven")

    assert task.get_name() == "seven"
    assert await task == 7


async def test_work_that_nobody_else_holds_is_not_collected() -> None:
    """The loop itself keeps only a weak reference to a task; this one is reachable from nowhere but the set."""
    tasks = Tasks()
    tasks.spawn(forever(), name="unheld")
    await turns(1)

    gc.collect()

    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "unheld"] == ["unheld"]
    await tasks.close()


async def test_a_task_that_has_ended_is_let_go() -> None:
    tasks = Tasks()
    going = asyncio.Event()

    task = tasks.spawn(going.wait(), name="short")
    during = len(tasks)
    going.set()
    await task
    await turns(1)

    assert (during, len(tasks)) == (1, 0)


async def test_a_failure_is_logged_with_the_task_and_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ValueError("the disk is full")

    tasks = Tasks()
    tasks.spawn(work(), name="store")
    await turns(3)

    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("proxy.tasks", logging.ERROR, "background task failed")
    assert vars(record)["task"] == "store"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert len(tasks) == 0


async def test_a_task_that_is_cancelled_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()
    task = tasks.spawn(forever(), name="waiting")
    await turns(1)

    task.cancel()
    await turns(3)

    assert (len(tasks), caplog.records) == (0, [])


async def test_close_cancels_what_runs_and_waits_until_it_has_cleaned_up() -> None:
    tasks = Tasks()
    cleaned: list[int] = []

    async def work(number: int) -> None:
        try:
            await forever()
        finally:
            await turns(3)
            cleaned.append(number)

    started = [tasks.spawn(work(number), name=f"work {number}") for number in range(3)]
    await turns(1)

    await tasks.close()

    assert sorted(cleaned) == [0, 1, 2]
    assert all(task.cancelled() for task in started)
    assert len(tasks) == 0


async def test_close_outlives_a_task_that_fails_as_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        try:
            await forever()
        finally:
            raise OSError("too late")

    tasks = Tasks()
    other = tasks.spawn(forever(), name="other")
    tasks.spawn(work(), name="stubborn")
    await turns(1)

    await tasks.close()

    assert other.cancelled()
    assert [vars(record)["task"] for record in caplog.records] == ["stubborn"]


async def test_close_without_tasks_returns_at_once_and_may_be_repeated() -> None:
    tasks = Tasks()

    await tasks.close()
    await tasks.close()

    assert len(tasks) == 0


async def test_each_set_closes_only_its_own() -> None:
    mine, others = Tasks(), Tasks()
    stays = others.spawn(forever(), name="stays")
    mine.spawn(forever(), name="goes")
    await turns(1)

    await mine.close()

    assert not stays.done()
    await others.close()
