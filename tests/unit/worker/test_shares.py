from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.errors import TooManyStreamsOfSubject
from proxy.lifecycle import Lifecycle
from proxy.supervisor import Channel
from proxy.supervisor.channel import Facts
from proxy.tasks import Tasks
from proxy.worker.shares import Shares
from tests.support.transports import turns


class Office:
    """A supervisor that lends what a test says, and a worker that asks it."""

    def __init__(self, *lends: int) -> None:
        self.lends = list(lends)
        self.asked: list[Facts] = []
        self.returned: list[Facts] = []
        self.open = asyncio.Event()
        self.open.set()
        self.tasks = Tasks()
        self.far = Channel(
            {"lease": self.lease, "end": self.end, "departure": self.departure, "returned": self.returned.append}, self.tasks
        )
        self.near = Channel({"lent": lambda facts: self.shares.lent(facts["subject"], facts["count"])}, self.tasks)
        self.lifecycle = Lifecycle(100)
        self.shares = self.lifecycle.peers = Shares(self.near, self.lifecycle, self.tasks)

    async def lease(self, facts: Facts) -> int:
        self.asked.append(facts)
        await self.open.wait()
        count = self.lends.pop(0)
        if count:
            self.far.tell("lent", subject=facts["subject"], count=count)
        return count

    def departure(self, facts: Facts) -> Facts | None:
        return {"state": "left"} if facts == {"subject": "ann", "request_id": "r1"} else None

    def end(self, facts: Facts) -> int:
        self.asked.append(facts)
        return 2

    async def admit(self, limit: int = 10) -> None:
        self.lifecycle.admit_subject("ann", limit)
        try:
            await self.lifecycle.share_subject("ann", limit)
        except TooManyStreamsOfSubject:
            self.lifecycle.release_subject("ann")
            raise


@asynccontextmanager
async def office(*lends: int) -> AsyncIterator[Office]:
    it = Office(*lends)
    for channel, sock in zip((it.near, it.far), socket.socketpair(), strict=True):
        await channel.open(sock)
    yield it
    it.near.close()
    await it.far.closed()
    await it.near.closed()
    await it.tasks.close()


async def test_where_there_is_room_one_question_is_enough_for_many_requests() -> None:
    async with office(3) as it:
        for _ in range(3):
            await it.admit()

        assert it.asked == [{"subject": "ann", "limit": 10}]
        assert it.lifecycle.held("ann") == it.shares.leased("ann") == 3


async def test_a_slot_that_was_released_is_used_again_without_a_question() -> None:
    async with office(1) as it:
        for _ in range(5):
            await it.admit()
            it.lifecycle.release_subject("ann")

        assert len(it.asked) == 1


async def test_when_nothing_is_lent_the_request_is_refused_and_no_slot_is_taken() -> None:
    async with office(1, 0) as it:
        await it.admit()

        with pytest.raises(TooManyStreamsOfSubject):
            await it.admit()

        assert it.lifecycle.held("ann") == 1


async def test_requests_that_ask_at_once_get_no_more_than_was_lent() -> None:
    async with office(1, 1, 0, 0, 0) as it:
        outcomes = await asyncio.gather(*(it.admit() for _ in range(4)), return_exceptions=True)

        assert sum(outcome is None for outcome in outcomes) == it.lifecycle.held("ann") == it.shares.leased("ann") == 2


async def test_all_who_wait_for_slots_ask_one_question() -> None:
    """Each with its own would take so much that another worker is refused although there is room."""
    async with office(50) as it:
        await asyncio.gather(*(it.admit(limit=100) for _ in range(30)))

        assert len(it.asked) == 1
        assert it.lifecycle.held("ann") == 30


async def test_requests_that_come_while_an_answer_comes_wait_for_the_next_one() -> None:
    async with office(*[1] * 50) as it:
        admitted = []
        for _ in range(50):
            admitted.append(it.tasks.spawn(it.admit(limit=100), name="request"))
            await turns(1)
        async with asyncio.timeout(5):
            await asyncio.gather(*admitted)

        assert it.lifecycle.held("ann") == it.shares.leased("ann") == 50


async def test_what_was_lent_to_somebody_who_left_is_not_lost() -> None:
    async with office(2) as it:
        it.open.clear()
        waiting = it.tasks.spawn(it.admit(), name="waiting")
        await turns(10)
        waiting.cancel()
        await asyncio.wait([waiting])
        it.lifecycle.release_subject("ann")

        it.open.set()
        await it.near.ask("end", subject="x", request_id="y")

        assert it.shares.leased("ann") == 2


async def test_what_is_called_back_is_what_is_not_in_use() -> None:
    async with office(3, 1) as it:
        await it.admit()

        it.shares.give_back("ann")
        it.shares.give_back("ann")
        it.shares.give_back("bob")
        await _heard(it)

        assert it.returned == [{"subject": "ann", "count": 2}]
        assert it.shares.leased("ann") == 1
        await it.admit()
        assert len([each for each in it.asked if "limit" in each]) == 2


async def test_a_sweep_gives_back_the_slots_of_subjects_that_are_not_there() -> None:
    async with office(3, 2) as it:
        await it.admit()
        it.shares.lent("bob", 2)

        it.shares.sweep()
        await _heard(it)

        assert it.returned == [{"subject": "bob", "count": 2}]
        assert (it.shares.leased("ann"), it.shares.leased("bob")) == (3, 0)


async def test_when_limits_have_changed_everything_unused_goes_back() -> None:
    async with office(3) as it:
        await it.admit()
        it.shares.lent("bob", 2)

        it.shares.give_all_back()
        await _heard(it)

        assert it.returned == [{"subject": "ann", "count": 2}, {"subject": "bob", "count": 2}]
        assert it.shares.leased("ann") == it.lifecycle.held("ann") == 1


async def test_streams_elsewhere_are_ended_through_the_supervisor() -> None:
    async with office() as it:
        assert await it.shares.end("ann", "r1") == 2
        assert it.asked == [{"subject": "ann", "request_id": "r1"}]


async def test_test_streams_elsewhere_are_asked_for_through_the_supervisor() -> None:
    async with office() as it:
        assert await it.shares.departure("ann", "r1") == {"state": "left"}
        assert await it.shares.departure("bob", "r1") is None


async def test_without_a_supervisor_nothing_is_lent_and_nothing_is_ended_elsewhere() -> None:
    async with office() as it:
        it.far.close()
        await it.near.closed()

        assert not await it.shares.lease("ann", 5)
        assert await it.shares.end("ann", "r1") == 0
        assert await it.shares.departure("ann", "r1") is None


async def _heard(it: Office) -> Any:
    """Wait until the supervisor has heard everything so far."""
    return await it.near.ask("end", subject="", request_id="")
