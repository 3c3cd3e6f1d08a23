"""One request's body: its limits, its deadline, its place in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import pytest

from proxy.errors import BadRequest, BodiesFull, BodyTimeout, BodyTooLarge
from proxy.handler.call import CONTINUE, Bodies
from proxy.settings import Limits
from proxy.tasks import Tasks
from tests.support.handclock import HandClock
from tests.support.http1 import chunk
from tests.support.transports import turns
from tests.unit.handler.calling import Asked, calls

LIMITS: Final = Limits(body=1024, body_timeout=5.0)
IMPATIENT: Final = Limits(body=1024, body_timeout=0.01)
ROOMY: Final = 4096
LAST: Final = b"0\r\n\r\n"

Ask = Callable[[bytes], Awaitable[Asked]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    async with calls() as ask:
        yield ask


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


def sized(length: int, body: bytes = b"", *more: bytes, version: bytes = b"1.1") -> bytes:
    """Return a request that declares *length*, with the beginning of its body."""
    lines = b"".join(line + b"\r\n" for line in more)
    return b"POST / HTTP/%b\r\nHost: p\r\nContent-Length: %d\r\n%b\r\n%b" % (version, length, lines, body)


def chunked(*pieces: bytes, more: bytes = b"", last: bool = True) -> bytes:
    """Return a request without a declared length."""
    head = b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n%b\r\n" % more
    return head + b"".join(chunk(piece) for piece in pieces) + (LAST if last else b"")


# The memory of all bodies.


def test_bodies_take_up_to_their_limit_and_not_a_byte_more() -> None:
    bodies = Bodies(10)
    bodies.take(4)
    bodies.take(6)

    with pytest.raises(BodiesFull) as full:
        bodies.take(1)

    assert bodies.used == 10
    assert full.value.retry_after == 1


def test_place_that_is_given_back_can_be_taken_again() -> None:
    bodies = Bodies(10)
    bodies.take(10)

    bodies.give_back(3)
    bodies.take(3)

    assert bodies.used == 10


# Read whole.


@pytest.mark.parametrize(
    "request_bytes", [sized(5, b"hello"), chunked(b"hello"), chunked(b"he", b"l", b"lo")], ids=["declared", "chunked", "chunks"]
)
async def test_body_that_is_here_is_read_counted_and_held(ask: Ask, request_bytes: bytes) -> None:
    it, bodies = await ask(request_bytes), Bodies(ROOMY)

    await it.call.read_body(LIMITS, bodies)

    assert it.call.body == b"hello"
    assert it.call.exchange.bytes_in == 5
    assert bodies.used == 5


@pytest.mark.parametrize("length", [5, None], ids=["declared", "chunked"])
async def test_body_is_waited_for_to_its_last_byte(ask: Ask, tasks: Tasks, length: int | None) -> None:
    it = await ask(chunked(b"he", last=False) if length is None else sized(length, b"he"))
    reading = tasks.spawn(it.call.read_body(LIMITS, Bodies(ROOMY)), name="read")
    await turns()
    early = reading.done()

    await it.client.send(chunk(b"llo") + LAST if length is None else b"llo")
    await reading

    assert not early
    assert it.call.body == b"hello"


async def test_body_that_drips_takes_little_more_than_its_size(ask: Ask, tasks: Tasks) -> None:
    size = 10_000
    it = await ask(sized(size, b"xy"))
    reading = tasks.spawn(it.call.read_body(Limits(body=size), Bodies(size)), name="read")
    await turns()

    tracemalloc.start()
    for _ in range(size // 2 - 2):
        await it.client.send(b"xy")
        await turns(2)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await it.client.send(b"xy")
    await reading

    assert taken < 5 * size
    assert it.call.body == b"xy" * (size // 2)


@pytest.mark.parametrize("whole", [True, False], ids=["it comes", "it is given up"])
async def test_time_that_a_client_takes_for_its_body_is_not_our_own(
    ask: Ask, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.handler.call")
    it = await ask(sized(5, b"he"))
    reading = tasks.spawn(it.call.read_body(LIMITS, Bodies(ROOMY)), name="read")
    await turns()

    clock.move(4)
    if whole:
        await it.client.send(b"llo")
    else:
        reading.cancel()
    await asyncio.wait((reading,))

    assert it.call.exchange.waited == 4


async def test_request_without_a_body_takes_nothing(ask: Ask) -> None:
    it, bodies = await ask(b"GET / HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\n\r\n"), Bodies(0)

    await it.call.read_body(LIMITS, bodies)
    it.call.free()

    assert (it.call.body, bodies.used, it.sent) == (b"", 0, b"")


@pytest.mark.parametrize("make", [lambda body: sized(len(body), body), chunked], ids=["declared", "chunked"])
async def test_body_may_be_as_large_as_its_limit(ask: Ask, make: Callable[[bytes], bytes]) -> None:
    it = await ask(make(b"x" * 1024))

    await it.call.read_body(LIMITS, Bodies(ROOMY))

    assert len(it.call.body) == 1024


async def test_body_that_declares_too_much_is_refused_before_it_is_wanted(ask: Ask) -> None:
    it, bodies = await ask(sized(1025, b"", b"Expect: 100-continue")), Bodies(ROOMY)

    with pytest.raises(BodyTooLarge):
        await it.call.read_body(LIMITS, bodies)

    assert it.sent == b""
    assert bodies.used == 0


@pytest.mark.parametrize("last", [True, False], ids=["here", "on its way"])
async def test_body_without_a_declared_length_is_counted(ask: Ask, last: bool) -> None:
    it = await ask(chunked(b"x" * 1000, b"y" * 25, last=last))

    with pytest.raises(BodyTooLarge):
        await asyncio.wait_for(it.call.read_body(LIMITS, Bodies(ROOMY)), 1)

    assert it.call.exchange.bytes_in == 0


@pytest.mark.parametrize("request_bytes", [sized(5, b"hell"), chunked(b"hell", last=False)], ids=["declared", "chunked"])
async def test_body_that_does_not_come_to_its_end_in_time_is_given_up(ask: Ask, request_bytes: bytes) -> None:
    it, bodies = await ask(request_bytes), Bodies(ROOMY)

    with pytest.raises(BodyTimeout):
        await it.call.read_body(IMPATIENT, bodies)
    it.call.free()

    assert bodies.used == 0


async def test_declared_body_has_its_place_before_it_comes(ask: Ask, tasks: Tasks) -> None:
    it, bodies = await ask(sized(5, b"he")), Bodies(ROOMY)

    tasks.spawn(it.call.read_body(LIMITS, bodies), name="read")
    await turns()

    assert bodies.used == 5


async def test_body_of_unknown_length_takes_its_place_as_it_comes(ask: Ask, tasks: Tasks) -> None:
    it, bodies = await ask(chunked(b"he", last=False)), Bodies(ROOMY)

    reading = tasks.spawn(it.call.read_body(LIMITS, bodies), name="read")
    await turns()
    used = [bodies.used]
    await it.client.send(chunk(b"llo"))
    used.append(bodies.used)
    await it.client.send(LAST)
    await reading

    assert [*used, bodies.used] == [2, 5, 5]


@pytest.mark.parametrize(
    "request_bytes",
    [sized(6, b"hello!"), sized(6, b"", b"Expect: 100-continue"), chunked(b"hello!"), chunked(b"hello", b"!", last=False)],
    ids=["here", "to come", "chunked", "chunks"],
)
async def test_body_without_a_place_is_refused_and_the_places_of_others_stay(ask: Ask, request_bytes: bytes) -> None:
    it, bodies = await ask(request_bytes), Bodies(10)
    bodies.take(5)

    with pytest.raises(BodiesFull):
        await it.call.read_body(LIMITS, bodies)
    it.call.free()

    assert bodies.used == 5
    assert CONTINUE not in it.sent


async def test_freed_body_is_forgotten_and_its_place_given_back_once(ask: Ask) -> None:
    it, bodies = await ask(sized(5, b"hello")), Bodies(ROOMY)
    bodies.take(7)
    await it.call.read_body(LIMITS, bodies)

    it.call.free()
    it.call.free()

    assert (it.call.body, bodies.used) == (b"", 7)
    assert it.call.exchange.bytes_in == 5


async def test_cancelled_reading_leaves_its_place_to_be_given_back(ask: Ask, tasks: Tasks) -> None:
    it, bodies = await ask(sized(5, b"he")), Bodies(ROOMY)
    reading = tasks.spawn(it.call.read_body(LIMITS, bodies), name="read")
    await turns()

    reading.cancel()
    await asyncio.wait([reading])
    it.call.free()

    assert reading.cancelled()
    assert bodies.used == 0


# 100 Continue.


async def test_client_that_waits_is_told_to_go_on_only_when_its_body_is_wanted(ask: Ask, tasks: Tasks) -> None:
    it = await ask(sized(5, b"", b"Expect: 100-continue"))
    before = it.sent

    reading = tasks.spawn(it.call.read_body(LIMITS, Bodies(ROOMY)), name="read")
    await turns()
    told = it.sent
    await it.client.send(b"hello")
    await reading

    assert (before, told, it.sent) == (b"", CONTINUE, CONTINUE)
    assert it.call.body == b"hello"


@pytest.mark.parametrize(
    "request_bytes",
    [sized(5, b"hello"), sized(5, b"hello", b"Expect: 100-continue", version=b"1.0"), chunked(b"hello")],
    ids=["does not wait", "HTTP/1.0", "chunked"],
)
async def test_client_that_does_not_wait_is_not_told_to_go_on(ask: Ask, request_bytes: bytes) -> None:
    it = await ask(request_bytes)

    await it.call.read_body(LIMITS, Bodies(ROOMY))

    assert it.sent == b""


# Streamed through.


async def gathered(it: Asked) -> list[bytes]:
    """Return the pieces of what goes on."""
    assert it.call.more is not None
    return [piece async for piece in it.call.more]


@pytest.mark.parametrize("length", [0, 4, 5])
async def test_small_declared_body_is_kept_and_not_streamed(ask: Ask, length: int) -> None:
    it, bodies = await ask(sized(length, b"hello"[:length])), Bodies(ROOMY)

    await it.call.stream_body(LIMITS, bodies, 5)

    assert it.call.more is None
    assert it.call.body == b"hello"[:length]
    assert bodies.used == length


async def test_request_without_a_body_has_nothing_to_stream(ask: Ask) -> None:
    it = await ask(b"GET / HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\n\r\n")

    await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)

    assert (it.call.more, it.call.body, it.sent) == (None, b"", b"")


@pytest.mark.parametrize(
    "request_bytes", [sized(6, b"hello!"), chunked(b"hello!"), chunked(b"hel", b"lo!")], ids=["declared", "chunked", "chunks"]
)
async def test_larger_body_goes_on_and_is_never_kept(ask: Ask, request_bytes: bytes) -> None:
    it, bodies = await ask(request_bytes), Bodies(0)

    await it.call.stream_body(LIMITS, bodies, 5)
    pieces = await gathered(it)

    assert b"".join(pieces) == b"hello!"
    assert it.call.body == b""
    assert it.call.exchange.bytes_in == 6
    assert bodies.used == 0


async def test_body_of_unknown_length_is_streamed_however_small(ask: Ask) -> None:
    """Whether it is small would be known only at its end."""
    it = await ask(chunked(b"hi"))

    await it.call.stream_body(LIMITS, Bodies(0), 4096)

    assert await gathered(it) == [b"hi"]


async def test_piece_goes_on_as_soon_as_it_comes(ask: Ask, tasks: Tasks) -> None:
    it = await ask(sized(9, b"one"))
    await it.call.stream_body(LIMITS, Bodies(0), 5)
    assert it.call.more is not None

    first = await anext(it.call.more)
    counted = it.call.exchange.bytes_in
    following = tasks.spawn(_next(it), name="next")
    await turns()
    waited = not following.done()
    await it.client.send(b"two")

    assert (first, counted, waited, await following) == (b"one", 3, True, b"two")


async def _next(it: Asked) -> bytes:
    assert it.call.more is not None
    return await anext(it.call.more)


async def test_streamed_body_that_declares_too_much_is_refused_before_it_is_wanted(ask: Ask) -> None:
    it = await ask(sized(1025, b"", b"Expect: 100-continue"))

    with pytest.raises(BodyTooLarge):
        await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)

    assert (it.call.more, it.sent) == (None, b"")


async def test_streamed_body_is_counted(ask: Ask) -> None:
    it = await ask(chunked(b"x" * 1000, last=False))
    await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)
    assert it.call.more is not None
    first = await anext(it.call.more)
    await it.client.send(chunk(b"y" * 25))

    with pytest.raises(BodyTooLarge):
        await anext(it.call.more)

    assert len(first) == 1000


async def test_streamed_body_may_be_as_large_as_the_limit(ask: Ask) -> None:
    it = await ask(chunked(b"x" * 1000, b"y" * 24))
    await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)

    assert len(b"".join(await gathered(it))) == 1024


async def test_streamed_body_that_stops_is_given_up(ask: Ask) -> None:
    it = await ask(sized(9, b"one"))
    await it.call.stream_body(IMPATIENT, Bodies(ROOMY), 5)
    assert it.call.more is not None
    await anext(it.call.more)

    with pytest.raises(BodyTimeout):
        await anext(it.call.more)


async def test_client_that_waits_to_stream_is_told_to_go_on_once(ask: Ask, tasks: Tasks) -> None:
    it = await ask(sized(6, b"", b"Expect: 100-continue"))

    await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)
    following = tasks.spawn(_next(it), name="next")
    await turns()
    await it.client.send(b"hello!")

    assert await following == b"hello!"
    assert it.sent == CONTINUE


async def test_upload_is_not_the_upstreams_delay(ask: Ask) -> None:
    it = await ask(chunked(b"x"))
    await it.call.stream_body(LIMITS, Bodies(ROOMY), 5)
    it.stream(first=9.0)
    assert it.call.stream is not None
    assert it.call.more is not None
    due = it.call.stream.deadlines.answer_until

    await anext(it.call.more)

    assert it.call.stream.deadlines.answer_until > due


# Broken on the way.


async def test_body_whose_framing_breaks_is_refused_at_once_and_its_connection_given_up(ask: Ask, tasks: Tasks) -> None:
    it = await ask(chunked(b"hello", last=False))
    reading = tasks.spawn(it.call.read_body(LIMITS, Bodies(ROOMY)), name="read")
    await turns()

    await it.client.send(b"zz\r\n")

    with pytest.raises(BadRequest):
        await reading
    assert it.call.downstream.closing


# The rest.


@pytest.mark.parametrize(("request_bytes", "length"), [(sized(5, b"hello"), 5), (chunked(b"hello"), None)])
async def test_declared_length_is_the_clients(ask: Ask, request_bytes: bytes, length: int | None) -> None:
    it = await ask(request_bytes)

    assert it.call.declared_length == length


async def test_what_is_told_of_the_head_is_the_clients_but_for_the_id(ask: Ask) -> None:
    it = await ask(b"PUT /v1?a=%2B HTTP/1.1\r\nHost: p\r\nContent-Type: a/b; c=d\r\n\r\n")

    told = it.call.head_params()

    assert told == {"method": "PUT", "query": "a=%2B", "content-type": "a/b; c=d", "request_id": "r1"}


async def test_description_holds_no_byte_of_the_request(ask: Ask) -> None:
    it = await ask(sized(6, b"c4n4ry", b"Authorization: Bearer c4n4ry"))
    await it.call.read_body(LIMITS, Bodies(ROOMY))

    assert repr(it.call) == "<Call r1 request>"
