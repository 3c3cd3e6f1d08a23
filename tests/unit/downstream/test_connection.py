from __future__ import annotations

import ast
import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.downstream import ClientConnection, Downstream, Request, Sent
from proxy.downstream import connection as connection_module
from proxy.downstream.connection import WRITE_HIGH
from proxy.downstream.departure import DepartureWatch
from proxy.downstream.reader import PIPELINE_LIMIT
from proxy.errors import BadRequest, HeadersTimeout, HeadersTooLarge, InternalError, ProxyError
from tests.support.handclock import HandClock
from tests.support.loops import FACTORIES
from tests.support.transports import RecordingSocket, RecordingTransport, turns
from tests.unit.downstream.listening import GET, Client, Listener, listening

TIMEOUT = 10.0
HALF, REST = GET[:20], GET[20:]
CHUNKED = b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\n"
SECRET = b"sk-a-secret-of-the-client"
UPGRADE = b"GET / HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PRIVATE = {
    *("_close", "_force_close", "_keepalive_handle", "_loop"),
    *("_next_keepalive_close_time", "_process_keepalive", "_waiter"),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.downstream.connection")
    return clock


@pytest.fixture
async def listener(clock: HandClock) -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


class Exchange:
    """Writes down what a connection tells whoever answers on it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def client_paused(self) -> None:
        self.told.append("paused")

    def client_resumed(self) -> None:
        self.told.append("resumed")

    def client_gone(self) -> None:
        self.told.append("gone")


def exchanging(client: Client) -> Exchange:
    """Put somebody in charge of the connection's response."""
    exchange = Exchange()
    client.connection.exchanging = exchange
    return exchange


async def look(listener: Listener, clock: HandClock, after: float) -> None:
    """Let so much time pass, and then the ticker look for overdue heads."""
    listener.server.expire_heads(clock.move(after), TIMEOUT)
    await turns(8)


async def have_answered(listener: Listener, client: Client) -> None:
    """Send one request and let it be answered."""
    await client.send(GET)
    await listener.answer(Downstream(listener.requests[-1]).answer(200, (), b"hello"))


# The private attributes of aiohttp.


def test_no_other_private_attribute_of_aiohttp_is_used() -> None:
    """Whoever needs one more adds it here, and a test of what it is needed for below."""
    tree = ast.parse(Path(connection_module.__file__).read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and "__" not in node.attr
    }
    own = set(vars(ClientConnection)) | set(ClientConnection.__slots__) | {"_connection_options"}

    assert used - own == PRIVATE


async def test_aiohttp_takes_a_connection_for_idle_that_waits_on_this_future(listener: Listener) -> None:
    client = await listener.connect()
    connection = client.connection
    idle = connection._waiter

    connection.data_received(GET)
    woken = idle is not None and idle.done()
    await turns(8)

    assert isinstance(idle, asyncio.Future)
    assert woken
    assert connection._waiter is None, "while a request is served nobody waits"


@pytest.mark.parametrize("how", ["close", "force_close"])
async def test_aiohttp_cancels_that_future_of_a_connection_that_is_to_be_closed(listener: Listener, how: str) -> None:
    client = await listener.connect()

    getattr(client.connection, how)()
    await turns(8)

    assert client.transport.ended == "close"


async def test_listener_makes_connections_in_the_loop_it_was_made_in(listener: Listener) -> None:
    assert listener.server._loop is asyncio.get_running_loop()
    assert type(listener.server()) is ClientConnection
    assert listener.server.handler_cancellation, "without it nobody hears of a client that leaves"


async def test_aiohttp_closes_a_connection_that_is_idle_for_too_long_by_this_timer(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await listener.connect()
    connection, loop, now = client.connection, asyncio.get_running_loop(), time.monotonic() + 1000.0
    monkeypatch.setattr(loop, "time", lambda: now)
    await have_answered(listener, client)
    due = connection._next_keepalive_close_time

    assert due == now + 650.0, "counted from the end of the last answer"
    connection._process_keepalive()
    assert client.transport.ended == ""
    assert connection._keepalive_handle is not None
    now = due
    connection._process_keepalive()
    assert client.transport.ended == "close"


async def test_aiohttp_arms_that_timer_again_for_a_connection_whose_answer_outlived_it(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET)
    client.connection._next_keepalive_close_time = 0.0
    client.connection._process_keepalive()
    during = client.connection._keepalive_handle

    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))
    behind = client.connection._keepalive_handle

    assert during is None, "it has gone off while nobody was idle"
    assert behind is not None


@pytest.mark.parametrize("how", ["close", "force_close"])
async def test_aiohttp_has_a_connection_closed_behind_the_answer_that_is_being_given(listener: Listener, how: str) -> None:
    client = await listener.connect()
    await client.send(GET + GET)
    getattr(client.connection, how)()

    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))

    assert client.transport.ended == "close"
    assert len(listener.requests) == 1


# Bodies that nobody wants.


async def test_rest_of_a_body_is_read_before_the_next_request_is_served(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(POST + b"1234")
    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))
    kept = client.transport.ended == ""

    await client.send(b"56789" + GET)

    assert kept
    assert len(listener.requests) == 2


async def test_rest_of_a_body_is_read_before_a_connection_is_closed(listener: Listener) -> None:
    """A socket that is closed with unread bytes in it sends a RST, and the client may never see the answer."""
    client = await listener.connect()
    await client.send(POST + b"1234")
    await listener.answer(Downstream(listener.requests[0], closing=True).answer(413, (), b"too much"))
    kept = client.transport.ended == ""

    await client.send(b"56789")

    assert kept
    assert client.transport.ended == "close"


async def test_rest_of_a_body_is_not_waited_for_for_ever(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LINGERING", 0.0)
    client = await listener.connect()
    await client.send(POST + b"1234")

    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))

    assert client.transport.ended == "close"


async def test_rest_of_a_body_that_turns_out_to_be_broken_ends_the_connection(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(CHUNKED + b"2\r\nhi\r\n")
    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))

    await client.send(b"zz\r\n")

    assert client.transport.finished
    assert client.transport.sent.count(b"HTTP/1.1 ") == 1


async def test_body_that_nobody_takes_is_read_no_further_and_its_client_is_watched(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[str] = []
    monkeypatch.setattr(DepartureWatch, "start", lambda self, descriptor: watched.append("start"))
    monkeypatch.setattr(DepartureWatch, "stop", lambda self: watched.append("stop"))
    monkeypatch.setattr(RecordingSocket, "fileno", lambda self: 9, raising=False)
    client = await listener.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
    before = client.transport.reading

    body = await listener.requests[0].content.readany()

    assert (before, client.transport.reading) == (False, True)
    assert len(body) == 1_000_000
    assert watched == ["start", "stop"], "a body that is read in good time does not even ask"


async def test_large_body_that_has_come_whole_holds_nothing_up(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)

    await listener.answer(Downstream(listener.requests[0]).answer(401, (), b"who are you"))
    await client.send(GET)

    assert client.transport.reading
    assert len(listener.requests) == 2


# Slow heads.


async def test_connection_that_never_says_a_word_is_closed_without_one(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()

    await look(listener, clock, 9.75)
    open_before = client.transport.ended == ""
    await look(listener, clock, 0.25)

    assert open_before
    assert client.transport.ended == "close"
    assert client.transport.written == []
    assert listener.refused == []


async def test_head_that_trickles_in_is_refused_when_its_time_is_over(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()
    for byte in HALF:
        await client.send(bytes([byte]))
        await look(listener, clock, 0.25)
    open_before = client.transport.ended == ""
    await look(listener, clock, 5)
    await look(listener, clock, 5)

    assert open_before
    assert client.transport.written == [b"refused: header_timeout"]
    assert client.transport.ended == "close"
    assert [(type(error), remote) for error, remote in listener.refused] == [(HeadersTimeout, "192.0.2.7")]


async def test_time_of_a_head_begins_with_its_first_byte_and_no_later_byte_prolongs_it(
    listener: Listener, clock: HandClock
) -> None:
    client = await listener.connect()
    await look(listener, clock, 9)
    await client.send(HALF[:1])
    await look(listener, clock, 9)
    open_before = client.transport.ended == ""
    await client.send(HALF[1:])
    await look(listener, clock, 1)

    assert open_before
    assert client.transport.written == [b"refused: header_timeout"]


async def test_head_that_is_complete_in_time_says_nothing_of_how_long_the_answer_may_take(
    listener: Listener, clock: HandClock
) -> None:
    client = await listener.connect()
    await client.send(HALF)
    await look(listener, clock, 9)
    await client.send(REST)

    await look(listener, clock, 1000)

    assert client.transport.ended == ""
    assert len(listener.requests) == 1
    assert listener.server.heads == set()


async def test_body_that_trickles_in_is_not_a_head(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()
    await client.send(POST + b"12")
    await look(listener, clock, 9)
    await client.send(b"34")
    await look(listener, clock, 9)

    assert client.transport.ended == ""
    assert listener.server.heads == set()


async def test_kept_connection_may_be_idle_for_longer_than_a_head_may_take(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()
    await have_answered(listener, client)

    await look(listener, clock, 600)
    await client.send(GET)

    assert client.transport.ended == ""
    assert len(listener.requests) == 2


async def test_second_head_on_a_kept_connection_that_trickles_in_is_refused(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()
    await have_answered(listener, client)
    await look(listener, clock, 600)
    await client.send(HALF)
    await look(listener, clock, 9.75)
    open_before = client.transport.ended == ""
    await look(listener, clock, 0.25)

    assert open_before
    assert client.transport.written[1:] == [b"refused: header_timeout"]
    assert client.transport.ended == "close"


async def test_half_a_head_behind_a_request_does_not_cut_the_answer_to_it(listener: Listener, clock: HandClock) -> None:
    client = await listener.connect()
    await client.send(GET + HALF)
    await look(listener, clock, 600)
    open_meanwhile = client.transport.ended == ""
    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))
    await client.send(REST[:1])
    await look(listener, clock, 10)

    assert open_meanwhile
    assert client.transport.written[1:] == [b"refused: header_timeout"], "once its own time has come, it has a deadline too"


async def test_connection_that_is_gone_is_not_watched_any_more(listener: Listener) -> None:
    client = await listener.connect()
    watched = set(listener.server.heads)

    client.transport.abort()
    await turns()

    assert watched == {client.connection}
    assert listener.server.heads == set()


@pytest.mark.parametrize("loop", FACTORIES.values(), ids=FACTORIES.keys())
def test_half_a_head_that_comes_with_the_connection_has_a_deadline(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """It may be read before anybody has begun to wait for it."""
    with asyncio.Runner(loop_factory=loop) as runner:
        answer = runner.run(_answer_to_half_a_head())

    assert answer == b"refused: header_timeout"


async def _answer_to_half_a_head() -> bytes:
    running = asyncio.get_running_loop()
    async with listening() as listener:
        server = await running.create_server(listener.server, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.setblocking(False)
            sock.send(HALF)
            async with asyncio.timeout(5):
                while not any(connection._seen for connection in listener.server.heads):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0)
                listener.server.expire_heads(time.monotonic() + TIMEOUT, TIMEOUT)
                answer = await running.sock_recv(sock, 99)
        server.close()
    return answer


# Pipelining.


async def test_pipelined_requests_are_served_one_after_another(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET * 3)
    at_once = len(listener.requests)

    for _ in range(3):
        await listener.answer(Downstream(listener.requests[-1]).answer(200, (), b"hello"))

    assert at_once == 1
    assert len(listener.requests) == 3
    assert client.transport.ended == ""


@pytest.mark.parametrize("separately", [True, False], ids=["behind the first request", "in one read with it"])
async def test_flood_of_pipelined_requests_is_cut(listener: Listener, separately: bool) -> None:
    """Reading is paused then, and the departure of the client could not be noticed."""
    client = await listener.connect()
    if separately:
        await client.send(GET)
        exchanging(client)

    await client.send(GET * (PIPELINE_LIMIT + 1))

    assert client.transport.ended == "abort"


async def test_no_request_is_lost_of_as_many_as_may_wait(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET)
    await client.send(GET * (PIPELINE_LIMIT - 1))

    for _ in range(PIPELINE_LIMIT):
        await listener.answer(Downstream(listener.requests[-1]).answer(200, (), b"hello"))

    assert len(listener.requests) == PIPELINE_LIMIT
    assert client.transport.ended == ""


async def test_protocol_that_is_offered_is_not_taken_and_what_follows_is_the_next_request(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(UPGRADE + GET)

    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"hello"))
    await listener.answer(Downstream(listener.requests[1]).answer(200, (), b"hello"))

    assert client.transport.sent.count(b"hello") == 2


# Unreadable heads, and faults of our own.


UNREADABLE: dict[str, tuple[bytes, type[ProxyError]]] = {
    "no HTTP": (SECRET + b"\r\n\r\n", BadRequest),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET, BadRequest),
    "bad method": (b"G@T / HTTP/1.1\r\nAuthorization: Bearer %b\r\n\r\n" % SECRET, BadRequest),
    "bad header name": (b"GET / HTTP/1.1\r\nHost: p\r\nBad Name: %b\r\n\r\n" % SECRET, BadRequest),
    "control character": (b"GET / HTTP/1.1\r\nHost: p\r\nAuthorization: \x01%b\r\n\r\n" % SECRET, BadRequest),
    "length that is no number": (b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: %b\r\n\r\n" % SECRET, BadRequest),
    "two framings": (
        b"POST /%b HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" % SECRET,
        BadRequest,
    ),
    "long target": (b"GET /%b HTTP/1.1\r\nHost: p\r\n\r\n" % (SECRET * 1000), HeadersTooLarge),
    "long header": (b"GET / HTTP/1.1\r\nHost: p\r\nX: %b\r\n\r\n" % (SECRET * 1000), HeadersTooLarge),
}


@pytest.mark.parametrize(("head", "error"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_unreadable_head_is_refused_in_our_words_and_repeated_nowhere(
    listener: Listener, caplog: pytest.LogCaptureFixture, head: bytes, error: type[ProxyError]
) -> None:
    client = await listener.connect()
    with caplog.at_level(logging.DEBUG):
        await client.send(head)

    assert [type(refused) for refused, _ in listener.refused] == [error]
    assert listener.requests == []
    assert client.transport.sent.split(b" ")[1] == b"%d" % error.status
    assert client.transport.sent.endswith(b"\r\n\r\n" + error.code.encode())
    assert SECRET not in client.transport.sent
    assert SECRET.decode() not in repr(listener.refused[0][0]) + str(listener.refused[0][0].__cause__)
    assert SECRET.decode() not in caplog.text
    assert client.transport.finished, "what follows such a head cannot be trusted"


async def test_what_follows_a_head_that_is_refused_may_come_for_a_while(listener: Listener, clock: HandClock) -> None:
    """RFC 9112 9.6. A socket that is closed with bytes unread in it sends a RST, and the client may never see the answer."""
    client = await listener.connect()
    await client.send(SECRET + b"\r\n\r\n")
    answer = client.transport.sent

    await client.send(GET + HALF)
    await look(listener, clock, TIMEOUT)

    assert client.transport.ended == ""
    assert client.transport.sent == answer, "nothing can be written behind our own end"
    assert listener.requests == []


async def test_client_that_resets_as_it_is_refused_is_no_fault_of_ours(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard loop asks the kernel at once, which knows of the RST before the loop does."""

    def reset(transport: RecordingTransport) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(RecordingTransport, "write_eof", reset)
    client = await listener.connect()
    await client.send(SECRET + b"\r\n\r\n")
    before = client.transport.ended

    client.transport.lose(ConnectionResetError())
    await turns()

    assert before == "", "the end that comes is the client's"
    assert len(listener.refused) == 1


async def test_what_follows_a_head_that_is_refused_is_not_listened_to_for_ever(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "LINGERING", 0.0)
    client = await listener.connect()

    await client.send(SECRET + b"\r\n\r\n")

    assert client.transport.finished
    assert client.transport.ended == "close"


@pytest.mark.parametrize(("last", "ended"), [(b"", "close"), (b"error", "")])
async def test_head_that_is_refused_behind_an_answer_that_was_cut_changes_nothing_in_its_end(
    listener: Listener, last: bytes, ended: str
) -> None:
    client, downstream = await listener.downstream()
    client.transport.stall()
    downstream.begin(200, ())
    await client.send(SECRET + b"\r\n\r\n")

    await listener.answer(downstream.cut(last))

    assert client.transport.ended == ended
    assert not client.transport.finished


async def test_fault_of_the_handler_is_answered_as_ours(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.failure = RuntimeError("broken")
    client = await listener.connect()

    await client.send(GET)

    ((error, remote),) = listener.refused
    assert (type(error), error.detail, remote) == (InternalError, "unhandled RuntimeError", "192.0.2.7")
    assert client.transport.sent.startswith(b"HTTP/1.1 500 ")
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [listener.failure]


@pytest.mark.parametrize("length", [None, 5], ids=["stream", "whole answer"])
async def test_no_second_answer_is_put_behind_one_that_has_begun(listener: Listener, length: int | None) -> None:
    """A client that keeps the connection would take it for the answer to its next request."""

    async def fail_behind_the_answer(request: Request) -> Sent:
        Downstream(request).begin(200, (), length=length, data=b"hello")
        raise RuntimeError("broken")

    listener.server.handler = fail_behind_the_answer
    client = await listener.connect()

    await client.send(GET + SECRET)

    assert client.transport.sent.count(b"HTTP/1.1 ") == 1
    assert listener.refused == []
    assert client.transport.ended == "close"
    assert not client.transport.finished, "whoever reads to the end would take a FIN for a good one"


@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\r\n-1\r\n"])
async def test_whoever_reads_a_body_hears_that_its_framing_is_broken(listener: Listener, broken: bytes) -> None:
    """It would wait until the body's deadline."""
    heard: list[Exception] = []

    async def read(request: Request) -> Sent:
        try:
            while True:
                await request.content.readany()
        except BadRequest as error:
            heard.append(error)
        return Downstream(request, closing=True).answer(400, (), b"")

    listener.server.handler = read
    client = await listener.connect()
    await client.send(CHUNKED + b"2\r\nhi\r\n")

    await client.send(broken)

    assert len(heard) == 1
    assert client.transport.sent.count(b"HTTP/1.1 400") == 1, "the connection is of no use for another answer"
    assert client.transport.finished


async def test_rubbish_behind_a_whole_body_does_not_spoil_it(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")

    await client.send(b"rubbish\r\n\r\n")

    assert await listener.requests[0].content.readany() == b"hello"


# What whoever answers is told.


async def test_slow_reader_is_told_when_it_falls_behind_and_when_it_has_caught_up(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    exchange = exchanging(client)
    client.transport.stall()
    downstream.begin(200, ())

    downstream.write(b"x" * WRITE_HIGH)
    behind = list(exchange.told)
    client.transport.take()

    assert behind == ["paused"]
    assert exchange.told == ["paused", "resumed"]


async def test_limit_of_what_waits_for_a_client_is_ours(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    exchange = exchanging(client)
    client.transport.stall()

    downstream.begin(200, (), length=WRITE_HIGH)
    downstream.write(b"x" * (WRITE_HIGH - downstream.pending))
    at_limit = list(exchange.told)
    downstream.write(b"x")

    assert at_limit == []
    assert exchange.told == ["paused"]


async def test_departure_is_told_in_the_callback_that_notices_it(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET)
    exchange = exchanging(client)

    client.connection.connection_lost(None)

    assert exchange.told == ["gone"]


async def test_whoever_still_reads_a_body_hears_that_its_client_has_left(listener: Listener) -> None:
    """It may be read on by a task of its own, which nobody cancels while the upstream's answer is read on."""
    client = await listener.connect()
    await client.send(POST + b"1234")
    body = listener.requests[0].content
    await body.readany()

    client.connection.connection_lost(None)

    with pytest.raises(ConnectionResetError):
        await body.readany()


async def test_client_that_has_taken_nothing_yet_is_not_asked_for_its_next_request(listener: Listener) -> None:
    client = await listener.connect()
    await client.send(GET + GET)
    client.transport.stall()

    await listener.answer(Downstream(listener.requests[0]).answer(200, (), b"x" * (WRITE_HIGH + 1)))
    meanwhile = len(listener.requests)
    client.transport.take()
    await turns(8)

    assert meanwhile == 1
    assert len(listener.requests) == 2


@pytest.mark.parametrize("waiting", [True, False], ids=["with bytes waiting for it", "with nothing waiting"])
async def test_fin_counts_as_leaving(listener: Listener, waiting: bool) -> None:
    """A transport that closes waits for the client to read what is left: for ever, if it does not read."""
    client, downstream = await listener.downstream()
    exchange = exchanging(client)
    if waiting:
        client.transport.stall()
    downstream.begin(200, (), data=b"hello")

    client.connection.eof_received()
    client.transport.close()  # as the event loop does when nothing else was decided
    await turns()

    assert exchange.told == ["gone"]


async def test_fin_behind_a_whole_answer_does_not_take_it_back(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    client.transport.stall()
    downstream.answer(200, (), b"hello")

    client.connection.eof_received()
    client.transport.close()  # as the event loop does when nothing else was decided
    await turns()

    assert client.transport.ended == "close"
    assert downstream.pending > 0


async def test_connection_that_is_gone_reads_no_more(listener: Listener) -> None:
    """An event loop may have had bytes in its hands."""
    client = await listener.connect()

    client.connection.connection_lost(None)
    client.connection.data_received(GET)

    assert listener.requests == []
    assert listener.server.heads == set()
    assert client.connection._reader.feed(GET) == (), "its parser is let go of"


async def test_nobody_is_told_anything_between_two_requests(listener: Listener) -> None:
    client, downstream = await listener.downstream()
    exchange = exchanging(client)
    client.connection.exchanging = None
    client.transport.stall()

    downstream.answer(200, (), b"x" * WRITE_HIGH)
    client.transport.take()
    client.transport.abort()
    await turns()

    assert exchange.told == []
