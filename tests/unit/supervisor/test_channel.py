from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.supervisor.channel import MAX_MESSAGE, Channel, ChannelClosed, Facts
from proxy.tasks import Tasks
from tests.support.loops import both_loops
from tests.support.transports import turns


class Ends:
    """Both ends of a channel; `heard` is what the far one was told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.tasks = Tasks()
        self.gate = asyncio.Event()
        handlers = {"note": self.note, "add": self.add, "later": self.later, "fail": self.fail, "fail_later": self.fail_later}
        self.near = Channel({}, self.tasks)
        self.far = Channel(handlers, self.tasks)

    def note(self, facts: Facts) -> None:
        self.heard.append(facts["x"])

    def add(self, facts: Facts) -> int:
        return int(facts["a"] + facts["b"])

    async def later(self, facts: Facts) -> str:
        await self.gate.wait()
        return str(facts["word"])

    def fail(self, _facts: Facts) -> None:
        raise ValueError("secret")

    async def fail_later(self, _facts: Facts) -> None:
        raise ValueError("secret")

    async def gone(self) -> None:
        async with asyncio.timeout(5):
            await self.far.closed()


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    ends = Ends()
    for channel, sock in zip((ends.near, ends.far), socket.socketpair(), strict=True):
        await channel.open(sock)
    yield ends
    ends.near.close()
    ends.far.close()
    async with asyncio.timeout(5):
        await ends.near.closed()
        await ends.far.closed()
    await ends.tasks.close()


@both_loops
async def test_what_is_told_arrives_in_order_and_before_the_channel_is_closed() -> None:
    async with connected() as ends:
        for number in range(1000):
            ends.near.tell("note", x=number)
        ends.near.close()
        await ends.gone()

        assert ends.heard == list(range(1000))


@both_loops
async def test_a_question_gets_the_answer_of_its_handler() -> None:
    async with connected() as ends:
        assert await ends.near.ask("add", a=2, b=3) == 5


async def test_what_was_told_before_a_question_is_handled_before_its_answer() -> None:
    async with connected() as ends:
        ends.near.tell("note", x=1)
        await ends.near.ask("add", a=1, b=1)

        assert ends.heard == [1]


async def test_an_answer_that_takes_its_time_holds_nobody_up() -> None:
    async with connected() as ends:
        slow = ends.tasks.spawn(ends.near.ask("later", word="slow", within=5), name="slow")
        assert await ends.near.ask("add", a=1, b=1) == 2

        ends.gate.set()

        assert await slow == "slow"


async def test_messages_larger_than_any_buffer_arrive_whole() -> None:
    text = "x" * 3_000_000
    async with connected() as ends:
        ends.near.tell("note", x=text)
        assert ends.near.busy
        await ends.near.ask("add", a=1, b=1, within=5)

        assert ends.heard == [text]
        assert not ends.near.busy


async def test_numbers_may_be_keys() -> None:
    async with connected() as ends:
        ends.near.tell("note", x={1: 2})
        await ends.near.ask("add", a=1, b=1)

        assert ends.heard == [{"1": 2}]


@pytest.mark.parametrize("word", ["fail", "fail_later", "unknown"])
async def test_who_cannot_answer_says_so_and_goes_on(word: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected() as ends:
        with pytest.raises(ChannelClosed) as caught:
            await ends.near.ask(word)

        assert str(caught.value) == ""
        assert await ends.near.ask("add", a=1, b=1) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_question_to_somebody_who_does_not_answer_ends_in_time() -> None:
    async with connected() as ends:
        with pytest.raises(TimeoutError):
            await ends.near.ask("later", word="x", within=0.01)

        ends.gate.set()  # the answer, too late now, disturbs nobody
        assert await ends.near.ask("later", word="y") == "y"
        assert repr(ends.near) == "<Channel open waiting=0>"


async def test_whoever_waits_for_an_answer_is_told_when_the_other_end_leaves() -> None:
    async with connected() as ends:
        waiting = ends.tasks.spawn(_outcome(ends.near), name="waiting")
        await turns()

        ends.far.close()

        assert await waiting == "closed"
        assert repr(ends.near) == "<Channel closed waiting=0>"


async def test_nobody_is_asked_or_told_on_a_closed_channel() -> None:
    async with connected() as ends:
        ends.far.close()
        await ends.near.closed()

        ends.near.tell("note", x=1)
        with pytest.raises(ChannelClosed):
            await ends.near.ask("add", a=1, b=1)
        assert ends.heard == []


@pytest.mark.parametrize("noise", [(MAX_MESSAGE + 1).to_bytes(4), b"\x00\x00\x00\x03{}}", b"\x00\x00\x00\x02[]"])
async def test_a_peer_that_speaks_another_language_is_left(noise: bytes, caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()
    channel = Channel({}, tasks)
    ours, theirs = socket.socketpair()
    with theirs:
        await channel.open(ours)

        theirs.sendall(noise)

        async with asyncio.timeout(5):
            await channel.closed()
    assert [record.getMessage() for record in caplog.records] == ["a message between supervisor and worker could not be read"]


async def _outcome(channel: Channel) -> str:
    try:
        await channel.ask("later", word="x", within=5)
    except ChannelClosed:
        return "closed"
    return "answered"
