from __future__ import annotations

import asyncio

import pytest

from proxy.downstream.body import HELD, Body
from proxy.errors import BadRequest
from proxy.tasks import Tasks
from tests.support.transports import turns


class Connection:
    """Writes down what a body asks of its connection."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold_back(self) -> None:
        self.told.append("hold back")

    def go_on(self) -> None:
        self.told.append("go on")


def waiting(*pieces: bytes) -> tuple[Body, Connection]:
    """Return a body of which *pieces* have come."""
    connection = Connection()
    body = Body(connection)
    for piece in pieces:
        body.feed(piece)
    return body, connection


async def test_body_is_taken_as_it_came() -> None:
    body, _ = waiting(b"a", b"b")

    first = await body.readany()
    body.feed(b"c")
    second = body.read_nowait()
    body.end(b"d")

    assert (first, second, await body.readany(), await body.readany()) == (b"ab", b"c", b"d", b"")


def test_only_piece_of_a_body_is_not_copied() -> None:
    piece = bytes(1000)
    body, _ = waiting(piece)

    assert body.read_nowait() is piece


@pytest.mark.parametrize("last", [b"b", b""])
async def test_reader_waits_until_something_comes_or_nothing_will(last: bytes) -> None:
    body, _ = waiting()
    reading = Tasks().spawn(body.readany(), name="reading")
    await turns()
    waited = not reading.done()

    body.end(last)

    assert waited
    assert await reading == last
    assert body.ended


async def test_reader_that_is_cancelled_takes_nothing_with_it() -> None:
    body, _ = waiting()
    reading = Tasks().spawn(body.readany(), name="reading")
    await turns()
    reading.cancel()
    await turns()

    body.feed(b"a")

    assert await body.readany() == b"a"


async def test_reader_that_is_cancelled_does_not_silence_the_next_one() -> None:
    """Whoever sends a body on is cancelled by an early answer; its rest is read by the connection, in the same turn of the loop."""
    body, _ = waiting()
    tasks = Tasks()
    first = tasks.spawn(body.readany(), name="first")
    await turns()

    second = tasks.spawn(body.readany(), name="second")
    asyncio.get_running_loop().call_soon(first.cancel)
    await turns()
    body.feed(b"a")

    assert await second == b"a"


async def test_two_pieces_that_come_before_the_reader_has_woken_up_are_both_taken() -> None:
    body, _ = waiting()
    reading = Tasks().spawn(body.readany(), name="reading")
    await turns()

    body.feed(b"a")
    body.feed(b"b")

    assert await reading == b"ab"


def test_client_has_to_wait_while_too_much_of_a_body_waits() -> None:
    body, connection = waiting(b"a" * HELD)
    before = list(connection.told)

    body.feed(b"b")
    body.feed(b"c")
    held_back = list(connection.told)
    body.read_nowait()
    body.read_nowait()

    assert before == []
    assert held_back == ["hold back"]
    assert connection.told == ["hold back", "go on"]


async def test_client_does_not_have_to_wait_for_somebody_who_waits_for_it() -> None:
    body, connection = waiting()
    reading = Tasks().spawn(body.readany(), name="reading")
    await turns()

    body.feed(b"a" * HELD + b"b")
    expected = list(connection.told)
    body.feed(b"c")

    assert expected == []
    assert connection.told == ["hold back"], "before it has been taken, more has come"
    assert len(await reading) == HELD + 2


def test_client_whose_body_has_ended_does_not_wait_any_more() -> None:
    """What comes now is of other requests."""
    body, connection = waiting(b"a" * (HELD + 1))

    body.end(b"b")

    assert connection.told == ["hold back", "go on"]


async def test_whoever_reads_hears_why_the_rest_will_not_come() -> None:
    body, _ = waiting()
    reading = Tasks().spawn(body.readany(), name="reading")
    await turns()
    error = BadRequest("broken")

    body.fail(error)

    with pytest.raises(BadRequest) as caught:
        await reading
    assert caught.value is error
    with pytest.raises(BadRequest):
        body.read_nowait()
    assert not body.ended


async def test_what_goes_wrong_behind_a_whole_body_does_not_spoil_it() -> None:
    body, _ = waiting()
    body.end(b"whole")

    body.fail(ConnectionResetError())

    assert await body.readany() == b"whole"


def test_body_is_not_shown() -> None:
    body, _ = waiting(b"secret")

    assert repr(body) == "<Body 6 bytes wait, ended=False>"
