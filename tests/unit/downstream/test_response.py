from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.downstream import Downstream, connection
from proxy.downstream.response import status_and_headers
from tests.support.handclock import HandClock
from tests.support.transports import turns
from tests.unit.downstream.listening import GET, Listener, listening

TYPE = ((b"Content-Type", b"text/plain"),)
REST = b"Content-Type: text/plain\r\nServer: llm-stream-proxy\r\nDate: Fri, 21 Nov 2025 10:03:03 GMT\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FIVE = b"Content-Length: 5\r\n"
CLOSE = b"Connection: close\r\n"
KEEP = b"Connection: keep-alive\r\n"

NEW = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n"
NEW_CLOSING = b"GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

Ending = Callable[[Downstream], Any]


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    HandClock().install(monkeypatch, "proxy.downstream.response")
    async with listening() as listener:
        yield listener


# Heads.


@pytest.mark.parametrize(
    ("request_head", "status", "length", "line", "framing", "keeps"),
    [
        pytest.param(NEW, 200, None, b"HTTP/1.1 200 OK", CHUNKED, True, id="1.1 without length"),
        pytest.param(NEW, 200, 5, b"HTTP/1.1 200 OK", FIVE, True, id="1.1 with length"),
        pytest.param(NEW, 404, 5, b"HTTP/1.1 404 Not Found", FIVE, True, id="1.1 error"),
        pytest.param(NEW_CLOSING, 200, None, b"HTTP/1.1 200 OK", CHUNKED + CLOSE, False, id="1.1 closing, without length"),
        pytest.param(NEW_CLOSING, 200, 5, b"HTTP/1.1 200 OK", FIVE + CLOSE, False, id="1.1 closing, with length"),
        pytest.param(OLD, 200, None, b"HTTP/1.0 200 OK", CLOSE, False, id="1.0 without length"),
        pytest.param(OLD, 200, 5, b"HTTP/1.0 200 OK", FIVE + CLOSE, False, id="1.0 with length"),
        pytest.param(OLD_KEPT, 200, None, b"HTTP/1.0 200 OK", CLOSE, False, id="1.0 kept, without length: only the end ends it"),
        pytest.param(OLD_KEPT, 200, 5, b"HTTP/1.0 200 OK", FIVE + KEEP, True, id="1.0 kept, with length"),
        pytest.param(NEW, 204, 0, b"HTTP/1.1 204 No Content", b"", True, id="204 has no length (RFC 9110 8.6)"),
        pytest.param(NEW, 204, None, b"HTTP/1.1 204 No Content", b"", True, id="204 has no coding (RFC 9112 6.1)"),
        pytest.param(NEW, 304, None, b"HTTP/1.1 304 Not Modified", b"", True, id="304"),
        pytest.param(NEW, 304, 0, b"HTTP/1.1 304 Not Modified", b"", True, id="304 is silent about the length it stands for"),
        pytest.param(NEW_CLOSING, 204, None, b"HTTP/1.1 204 No Content", CLOSE, False, id="204 closing"),
        pytest.param(OLD_KEPT, 304, None, b"HTTP/1.0 304 Not Modified", KEEP, True, id="304 for 1.0"),
        pytest.param(NEW, 529, 5, b"HTTP/1.1 529 ", FIVE, True, id="status without a phrase"),
    ],
)
async def test_head_says_what_ends_the_body_and_what_becomes_of_the_connection(
    listener: Listener, request_head: bytes, status: int, length: int | None, line: bytes, framing: bytes, keeps: bool
) -> None:
    client, downstream = await listener.downstream(request_head)

    downstream.begin(status, TYPE, length=length)

    assert client.transport.written == [line + b"\r\n" + REST + framing + b"\r\n"]
    assert downstream.finish().keep_alive is keeps


@pytest.mark.parametrize(
    ("version", "length", "framing"),
    [
        (b"1.1", None, b""),
        (b"1.1", 5, FIVE),
        (b"1.0", 5, FIVE + CLOSE),
    ],
)
async def test_head_request_gets_the_head_of_a_get_and_no_byte_more(
    listener: Listener, version: bytes, length: int | None, framing: bytes
) -> None:
    client, downstream = await listener.downstream(b"HEAD / HTTP/%b\r\nHost: p\r\n\r\n" % version)

    downstream.begin(200, TYPE, length=length, data=b"hello")
    downstream.finish()

    assert client.transport.sent == b"HTTP/%b 200 OK\r\n" % version + REST + framing + b"\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_status_without_a_body_never_gets_one(listener: Listener, status: int) -> None:
    """A byte behind it would be taken for the beginning of the next response."""
    client, downstream = await listener.downstream()

    downstream.begin(status, TYPE, data=b"hello")
    downstream.finish()

    assert client.transport.sent.endswith(b"\r\n\r\n")


async def test_draining_proxy_says_close_on_a_connection_that_would_be_kept(listener: Listener) -> None:
    client, downstream = await listener.downstream(closing=True)

    response = downstream.answer(200, TYPE, b"hello")

    assert client.transport.sent.endswith(FIVE + CLOSE + b"\r\nhello")
    assert not response.keep_alive


async def test_date_follows_the_clock(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.downstream.response")

    first = status_and_headers(1, 200, ())
    clock.move(1)
    second = status_and_headers(1, 200, ())

    assert b"Date: Fri, 21 Nov 2025 10:03:03 GMT\r\n" in first
    assert b"Date: Fri, 21 Nov 2025 10:03:04 GMT\r\n" in second


# Pieces.


@pytest.mark.parametrize(
    ("request_head", "length", "pieces", "end"),
    [
        (NEW, None, [b"5\r\nhello\r\n", b"10\r\n0123456789abcdef\r\n"], [b"0\r\n\r\n"]),
        (NEW, 21, [b"hello", b"0123456789abcdef"], []),
        (OLD, None, [b"hello", b"0123456789abcdef"], []),
    ],
    ids=["chunked", "sized", "until the connection ends"],
)
async def test_each_piece_is_one_write(
    listener: Listener, request_head: bytes, length: int | None, pieces: list[bytes], end: list[bytes]
) -> None:
    client, downstream = await listener.downstream(request_head)

    downstream.begin(200, TYPE, length=length)
    downstream.write(b"hello")
    downstream.write(b"0123456789abcdef")
    downstream.finish()

    assert client.transport.written[1:] == pieces + end


@pytest.mark.parametrize(
    ("request_head", "length", "body"),
    [(NEW, None, b"5\r\nhello\r\n"), (NEW, 5, b"hello"), (OLD, None, b"hello")],
    ids=["chunked", "sized", "until the connection ends"],
)
async def test_first_piece_leaves_with_the_head(listener: Listener, request_head: bytes, length: int | None, body: bytes) -> None:
    client, downstream = await listener.downstream(request_head)

    downstream.begin(200, TYPE, length=length, data=b"hello")

    (written,) = client.transport.written
    assert written.endswith(b"\r\n\r\n" + body)


async def test_whole_answer_is_one_write_with_its_length(listener: Listener) -> None:
    client, downstream = await listener.downstream()

    response = downstream.answer(200, TYPE, b"hello")

    assert client.transport.written == [b"HTTP/1.1 200 OK\r\n" + REST + FIVE + b"\r\nhello"]
    assert response.keep_alive


@pytest.mark.parametrize("request_head", [NEW, OLD], ids=["chunked", "until the connection ends"])
async def test_every_byte_handed_over_is_counted_with_its_framing(listener: Listener, request_head: bytes) -> None:
    """The watch over a client that does not read subtracts what waits, which has its framing too."""
    client, downstream = await listener.downstream(request_head)

    downstream.begin(200, TYPE, data=b"hello")
    downstream.write(b"hello")
    downstream.finish()

    assert downstream.taken == len(client.transport.sent)


async def test_it_is_committed_from_the_head_on(listener: Listener) -> None:
    _, downstream = await listener.downstream()
    before = downstream.committed

    downstream.begin(200, TYPE)

    assert not before
    assert downstream.committed


async def test_what_waits_for_the_client_is_pending(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    client.transport.stall()

    downstream.begin(200, TYPE)
    waiting = downstream.pending
    client.transport.take()

    assert waiting == len(client.transport.sent)
    assert downstream.pending == 0


# Ends that must not look good.


async def test_cut_chunked_body_has_no_last_chunk(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE)
    downstream.write(b"hello")

    response = downstream.cut()

    assert client.transport.written[1:] == [b"5\r\nhello\r\n"]
    assert client.transport.ended == "abort"
    assert not response.keep_alive


async def test_last_words_are_sent_before_a_cut_connection_closes(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort would throw them away."""
    monkeypatch.setattr(connection, "PARTING", 0.0)
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE)
    client.transport.stall()

    await listener.answer(downstream.cut(b"error"))
    waiting = client.transport.get_write_buffer_size()

    assert client.transport.written[1:] == [b"5\r\nerror\r\n"]
    assert client.transport.ended == "close"
    assert waiting == len(b"5\r\nerror\r\n")


async def test_last_words_have_a_moment_to_be_read(listener: Listener) -> None:
    """A browser throws away what its page has not taken when the body breaks off."""
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE)

    await listener.answer(downstream.cut(b"error"))

    assert client.transport.written[1:] == [b"5\r\nerror\r\n"]
    assert client.transport.ended == ""


async def test_client_that_leaves_after_the_last_words_is_not_waited_for(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE)
    await listener.answer(downstream.cut(b"error"))

    client.transport.abort()
    await turns()

    assert client.connection._parting is not None
    assert client.connection._parting.cancelled()


@pytest.mark.parametrize("length", [None, 99], ids=["chunked", "sized"])
async def test_cut_does_not_throw_away_what_still_waits_for_the_client(listener: Listener, length: int | None) -> None:
    client, downstream = await listener.downstream()
    client.transport.stall()
    downstream.begin(200, TYPE, length=length, data=b"hello")

    downstream.cut()

    assert client.transport.ended == "close"
    assert client.transport.get_write_buffer_size() == len(client.transport.sent)


async def test_cut_sized_body_is_short_of_its_length(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE, length=9, data=b"hello")

    downstream.cut()

    assert client.transport.sent.endswith(b"Content-Length: 9\r\n\r\nhello")
    assert client.transport.ended == "abort"


@pytest.mark.parametrize("last", [b"", b"error"])
async def test_peer_that_reads_until_the_connection_ends_gets_a_reset(listener: Listener, last: bytes) -> None:
    """For it a FIN is a good end (RFC 9112 6.3)."""
    client, downstream = await listener.downstream(OLD)
    downstream.begin(200, TYPE, data=b"hello")

    downstream.cut(last)

    assert client.transport.written[1:] == ([last] if last else [])
    assert client.transport.ended == "abort"
    assert client.transport.socket.options[-1] == (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(("request_head", "length"), [(OLD, None), (OLD, 5), (NEW, None), (NEW, 5)])
async def test_the_kernel_is_to_reset_where_its_fin_would_be_a_good_end_until_the_body_is_whole(
    listener: Listener, request_head: bytes, length: int | None
) -> None:
    """It closes for a process that dies."""
    client, downstream = await listener.downstream(request_head)
    before = len(client.transport.socket.options)

    downstream.begin(200, TYPE, length=length, data=b"hello")
    begun = client.transport.socket.options[before:]
    downstream.finish()
    ended = client.transport.socket.options[before + len(begun) :]

    only_its_end_ends_it = request_head is OLD and length is None
    assert begun == [(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))] * only_its_end_ends_it
    assert ended == [(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))] * only_its_end_ends_it


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda downstream: downstream.write(b"more"), id="write"),
        pytest.param(lambda downstream: downstream.finish(), id="finish"),
        pytest.param(lambda downstream: downstream.cut(b"error"), id="cut"),
        pytest.param(lambda downstream: downstream.answer(200, TYPE, b"again"), id="answer"),
        pytest.param(lambda downstream: downstream.begin(200, TYPE, data=b"again"), id="begin"),
    ],
)
@pytest.mark.parametrize("waiting", [True, False], ids=["while bytes wait", "while nothing waits"])
@pytest.mark.parametrize("lost", [True, False], ids=["gone", "going"])
async def test_nothing_is_written_behind_the_end(listener: Listener, act: Ending, waiting: bool, lost: bool) -> None:
    """uvloop raises there, and asyncio appends to what still waits."""
    client, downstream = await listener.downstream()
    if waiting:
        client.transport.stall()
    downstream.begin(200, TYPE)
    client.transport.close()
    if lost:
        client.transport.abort()
        await turns()
    taken = downstream.taken

    act(downstream)

    assert len(client.transport.written) == 1
    assert downstream.taken == taken
    assert downstream.gone


async def test_request_of_a_client_that_has_left_can_still_be_answered_into_the_void(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET)
    client.transport.abort()
    await turns()

    downstream = Downstream(listener.requests[0])
    downstream.answer(200, TYPE, b"hello")
    downstream.abort()
    downstream.cut()

    assert (downstream.gone, downstream.pending) == (True, 0)
    assert client.transport.written == []


async def test_abort_drops_what_waits(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    client.transport.stall()
    downstream.begin(200, TYPE, data=b"hello")

    downstream.abort()

    assert client.transport.ended == "abort"
    assert downstream.pending == 0


# What aiohttp makes of it.


async def test_kept_connection_serves_the_next_request(listener: Listener) -> None:
    client, downstream = await listener.downstream()

    await listener.answer(downstream.answer(200, TYPE, b"hello"))
    await client.send(GET)

    assert len(listener.requests) == 2
    assert client.transport.ended == ""
    assert len(client.transport.written) == 1, "aiohttp adds nothing of its own"


@pytest.mark.parametrize("request_head", [NEW_CLOSING, OLD])
async def test_connection_that_is_not_kept_is_closed_behind_its_answer(listener: Listener, request_head: bytes) -> None:
    client, downstream = await listener.downstream(request_head)

    await listener.answer(downstream.answer(200, TYPE, b"hello"))

    assert client.transport.ended == "close"
    assert client.transport.sent.endswith(b"\r\n\r\nhello")


async def test_cut_response_is_left_as_it_is(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    downstream.begin(200, TYPE, data=b"hello")

    await listener.answer(downstream.cut(b"error"))

    assert client.transport.sent.endswith(b"5\r\nhello\r\n5\r\nerror\r\n")
