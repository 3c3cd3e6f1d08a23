"""A connection is used again only after a complete and clean exchange, a stale one replaced once, a slot always given back."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from proxy.errors import (
    BodyTimeout,
    UpstreamBusy,
    UpstreamClosed,
    UpstreamConnectFailed,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.tasks import Tasks
from proxy.upstream import BodyEnd, BodyReader, OutboundRequest, Pool
from proxy.upstream.pool import IDLE_LIMIT
from tests.support.certificates import Authority
from tests.support.upstream import (
    HOST,
    Close,
    Fin,
    ForwardProxy,
    Gate,
    Hang,
    How,
    Reply,
    Rst,
    Upstream,
    answer,
    closed_port,
    silent_port,
    stream,
    verbatim,
)
from tests.unit.upstream.support import ASK, HEAD, OK, TWO, Patience, Taken, Taker, dialer, exchange, pool_to, take, until

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n"
GOOD = stream(b"hi")
MEBIBYTE = bytes(1024 * 1024)


@pytest.fixture
async def pool(upstream: Upstream) -> AsyncIterator[Pool]:
    async with pool_to(upstream) as pool:
        yield pool


def tasks_open(tasks: Tasks, pool: Pool, request: OutboundRequest = ASK, waiter: Patience | None = None) -> asyncio.Task[Taken]:
    """Send *request* in the background."""
    return tasks.spawn(exchange(pool, request, waiter), name="exchange")


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


# Reuse.


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        stream(b"hi", framing="length"),
        Reply(status=204),
        Reply(status=304, headers=[("Content-Length", "5")]),
        Reply(body=[b"hi"], trailers=[("Sum", "1")]),
        answer({"error": {}}, 503),
    ],
    ids=["chunked", "length", "204", "304", "trailers", "503"],
)
async def test_connection_is_used_again_after_a_complete_answer(upstream: Upstream, pool: Pool, reply: Reply) -> None:
    upstream.script(reply, GOOD)

    first = await exchange(pool)
    idle = pool.idle
    second = await exchange(pool)

    assert (first.end, first.reused, second, idle) == (
        BodyEnd.COMPLETE,
        False,
        Taken(200, b"hi", BodyEnd.COMPLETE, reused=True),
        1,
    )
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("reply", "request_"),
    [
        pytest.param(stream(b"hi", headers=[("Connection", "close")]), ASK, id="it says close"),
        pytest.param(stream(b"hi", framing="close"), ASK, id="close-delimited"),
        pytest.param(Reply(version="1.0", headers=[("Connection", "keep-alive")], body=[b"hi"], framing="length"), ASK, id="1.0"),
        pytest.param(Reply(framing="length", length=5), OutboundRequest(HEAD, b"", expects_head=True), id="HEAD"),
        pytest.param(verbatim(TWO + b"x", Hang()), ASK, id="a byte behind it"),
        pytest.param(verbatim(b"HTTP/1.1 204 No Content\r\n\r\nhello", Hang()), ASK, id="a body behind a 204"),
        pytest.param(verbatim(TWO + TWO, Hang()), ASK, id="a second response behind it"),
        pytest.param(verbatim(CHUNKED + b"zz\r\n", Hang()), ASK, id="broken framing"),
        pytest.param(verbatim(OK + b"Content-Length: 9\r\n\r\nhi", Fin()), ASK, id="cut short"),
    ],
)
async def test_connection_is_not_used_again_after_anything_else(
    upstream: Upstream, pool: Pool, reply: Reply, request_: OutboundRequest
) -> None:
    upstream.script(reply, GOOD)

    await exchange(pool, request_)
    idle = pool.idle
    second = await exchange(pool)

    assert (idle, second) == (0, Taken(200, b"hi", BodyEnd.COMPLETE, reused=False))
    assert len(upstream.connections) == 2


async def test_answer_that_is_not_taken_to_its_end_closes_its_connection(upstream: Upstream, pool: Pool) -> None:
    upstream.script(stream(b"hi", Gate("on")))

    opened = await pool.open(ASK, Patience())
    opened.attach(Taker())
    at = time.monotonic()
    opened.close()
    opened.close()

    assert (pool.in_use, pool.idle) == (0, 0)
    assert (await upstream.closed()).at - at < 0.1


async def test_answer_that_nobody_takes_leaves_nothing_for_the_next_exchange(upstream: Upstream, pool: Pool) -> None:
    """One tenant's bytes never reach another."""
    upstream.script(stream(b"mine"), stream(b"yours"))

    opened = await pool.open(ASK, Patience())
    await until(lambda: opened.ended)
    opened.close()
    second = await exchange(pool)

    assert second == Taken(200, b"yours", BodyEnd.COMPLETE, reused=True)


async def test_answer_that_is_closed_twice_is_given_back_once(upstream: Upstream, pool: Pool) -> None:
    """Else two exchanges would share its connection."""
    upstream.script(GOOD)
    opened = await pool.open(ASK, Patience())
    await take(opened)

    opened.close()

    assert pool.idle == 1


async def test_answer_that_is_closed_has_no_hold_on_its_connection(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, stream(b"a", Gate("b"), b"b", Gate("c"), b"c"))
    first = await pool.open(ASK, Patience())
    await take(first)
    second = await pool.open(ASK, Patience())
    taker = Taker()
    second.attach(taker)
    await taker.until_body(b"a")

    ended = (first.ended, second.ended)
    first.pause()
    upstream.open("b")
    await taker.until_body(b"ab")
    second.pause()
    first.resume()
    upstream.open("c")
    await upstream.connections[0].settle()
    paused = taker.body
    second.resume()
    await taker.until_end()
    second.close()

    assert (ended, paused, taker.body) == ((True, False), b"ab", b"abc")


async def test_exchanges_at_the_same_time_have_connections_of_their_own(upstream: Upstream, pool: Pool, tasks: Tasks) -> None:
    upstream.script(stream(b"a", Gate("on")), stream(b"b", Gate("on")))

    both = [tasks_open(tasks, pool), tasks_open(tasks, pool)]
    await upstream.reached("on", times=2)
    in_use = pool.in_use
    upstream.open("on")
    bodies = {(await each).body for each in both}

    assert (bodies, in_use, pool.in_use, pool.idle) == ({b"a", b"b"}, 2, 0, 2)


async def test_connection_used_last_is_taken_first(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, repeat_last=True)
    older, newer = await pool.open(ASK, Patience()), await pool.open(ASK, Patience())
    await take(newer)
    await take(older)

    await exchange(pool)

    assert [request.connection for request in upstream.requests] == [0, 1, 0]


async def test_reused_is_said_of_the_exchange_it_was_asked_about(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, GOOD)
    first = await pool.open(ASK, Patience())
    await take(first)

    await exchange(pool)

    assert not first.reused


# Stale connections.


async def test_connection_that_closes_while_idle_is_forgotten(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, GOOD)
    await exchange(pool)

    await upstream.close_idle()
    await until(lambda: pool.idle == 0)
    second = await exchange(pool)

    assert not second.reused


@contextmanager
def blocking_upstream() -> Iterator[socket.socket]:
    """Lend a listener that answers only what the test says, without an event loop."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(5)
        yield listener


@dataclass(frozen=True, slots=True)
class Arrival:
    """What arrives on an idle connection."""

    data: bytes = b""
    fin: bool = False
    rst: bool = False

    def on(self, peer: socket.socket) -> None:
        """Let it arrive, and wait until it has, with the event loop at a standstill."""
        if self.data:
            peer.sendall(self.data)
        if self.fin:
            peer.shutdown(socket.SHUT_WR)
        if self.rst:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
        time.sleep(0.02)


@pytest.mark.parametrize(
    "arrival", [Arrival(fin=True), Arrival(rst=True), Arrival(TWO), Arrival(TWO, fin=True)], ids=["fin", "rst", "response", "408"]
)
async def test_what_arrives_at_the_very_moment_of_a_request_is_never_taken_for_its_answer(arrival: Arrival) -> None:
    """The event loop has not read it yet, and the kernel gives it to whoever reads next."""
    with blocking_upstream() as listener:
        async with pool_to(dialer(listener.getsockname()[1])) as pool:
            opening = asyncio.get_running_loop().create_task(exchange(pool), name="first")
            peer = await accepted(listener)
            await answered(peer, TWO)
            await opening

            arrival.on(peer)
            second = asyncio.get_running_loop().create_task(exchange(pool), name="second")
            fresh = await accepted(listener)
            await answered(fresh, OK + b"Content-Length: 5\r\n\r\nyours")

            assert await second == Taken(200, b"yours", BodyEnd.COMPLETE, reused=False)
            peer.close()
            fresh.close()


async def accepted(listener: socket.socket) -> socket.socket:
    """Accept a connection without the event loop's help."""
    return (await asyncio.to_thread(listener.accept))[0]


async def answered(peer: socket.socket, data: bytes) -> None:
    """Read a request and answer it."""
    await asyncio.to_thread(peer.recv, 65536)
    peer.sendall(data)


@pytest.mark.parametrize("end", [Fin(), Rst(), Close()], ids=["fin", "rst", "close"])
async def test_stale_connection_is_replaced_by_a_fresh_one(upstream: Upstream, pool: Pool, end: Fin | Rst | Close) -> None:
    """It closes when the request comes, as a server does whose idle limit has just run out."""
    upstream.script(GOOD, verbatim(end), GOOD)
    await exchange(pool)
    waiter = Patience()

    second = await exchange(pool, waiter=waiter)

    assert (second, waiter.dials) == (Taken(200, b"hi", BodyEnd.COMPLETE, reused=False), 1)
    assert [request.connection for request in upstream.requests] == [0, 0, 1]


async def test_stale_connection_is_replaced_once(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, verbatim(Fin()), verbatim(Fin()))
    await exchange(pool)

    with pytest.raises(UpstreamClosed):
        await exchange(pool)

    assert len(upstream.requests) == 3


async def test_fresh_connection_that_closes_is_not_replaced(upstream: Upstream, pool: Pool) -> None:
    upstream.script(verbatim(Rst()))

    with pytest.raises(UpstreamReset):
        await exchange(pool)

    assert len(upstream.requests) == 1


@pytest.mark.parametrize("seen", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["one byte", "an interim response"])
@pytest.mark.parametrize(("end", "error"), [(Fin(), UpstreamClosed), (Rst(), UpstreamReset)], ids=["fin", "rst"])
async def test_connection_is_not_replaced_once_a_byte_of_an_answer_was_seen(
    upstream: Upstream, pool: Pool, seen: bytes, end: Fin | Rst, error: type[Exception]
) -> None:
    upstream.script(GOOD, verbatim(seen, end))
    await exchange(pool)

    with pytest.raises(error):
        await exchange(pool)

    assert len(upstream.requests) == 2


async def test_unreadable_answer_on_a_pooled_connection_is_not_asked_for_again(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, verbatim(b"nonsense\r\n\r\n", Hang()))
    await exchange(pool)

    with pytest.raises(UpstreamMalformed):
        await exchange(pool)

    assert len(upstream.requests) == 2


async def test_refusal_by_a_forward_proxy_is_a_failed_connection(upstream: Upstream, pool: Pool) -> None:
    """A 407 is no backend's word, and nothing that a client could answer."""
    upstream.script(Reply(status=407, framing="length", length=0))

    with pytest.raises(UpstreamConnectFailed, match="407"):
        await exchange(pool)

    assert (pool.in_use, pool.idle) == (0, 0)


async def test_body_that_is_sent_once_gets_a_fresh_connection(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, GOOD)
    await exchange(pool)

    second = await exchange(pool, upload(b"ab", b"c"))

    assert not second.reused
    assert (await upstream.request(1)).body == b"abc"


async def test_body_that_is_sent_once_is_not_sent_again(upstream: Upstream, pool: Pool) -> None:
    upstream.script(verbatim(Fin()))

    with pytest.raises(UpstreamClosed):
        await exchange(pool, upload(b"abc"))

    assert len(upstream.requests) == 1


# Slots.


async def test_no_more_exchanges_than_connections_allowed(upstream: Upstream, tasks: Tasks) -> None:
    async with pool_to(upstream, max_connections=2) as pool:
        upstream.script(stream(Gate("on")), stream(Gate("on")), GOOD, GOOD)
        both = [tasks_open(tasks, pool), tasks_open(tasks, pool)]
        await upstream.reached("on", times=2)

        with pytest.raises(UpstreamBusy, match="all 2 connections"):
            await exchange(pool)
        upstream.open("on")
        for each in both:
            await each

        assert (await exchange(pool)).reused
        assert len(upstream.connections) == 2


async def test_exchange_that_still_dials_counts() -> None:
    with silent_port() as port:
        async with pool_to(dialer(port), max_connections=1) as pool:
            dialing = asyncio.get_running_loop().create_task(pool.open(ASK, Patience()))
            await asyncio.sleep(0)

            with pytest.raises(UpstreamBusy):
                await pool.open(ASK, Patience())

            dialing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialing


async def test_idle_connections_are_no_more_than_exchanges_allowed(upstream: Upstream) -> None:
    """A body that is sent once never takes one of them, but leaves one."""
    async with pool_to(upstream, max_connections=2) as pool:
        upstream.script(GOOD, repeat_last=True)

        for _ in range(4):
            await exchange(pool, upload(b"abc"))

        assert pool.idle == 2


async def test_failed_dial_gives_its_slot_back() -> None:
    waiter = Patience()
    with closed_port() as port:
        async with pool_to(dialer(port), max_connections=1) as pool:
            for _ in range(2):
                with pytest.raises(UpstreamConnectFailed):
                    await pool.open(ASK, waiter)

            assert (pool.in_use, waiter.dials, waiter.dialing) == (0, 2, 0)


async def test_idle_connection_is_closed_when_it_is_too_old(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD)
    await exchange(pool)

    pool.sweep(time.monotonic() + IDLE_LIMIT - 1)
    before = pool.idle
    pool.sweep(time.monotonic() + IDLE_LIMIT + 1)

    assert (before, pool.idle) == (1, 0)
    assert (await upstream.closed()).how is How.FIN


async def test_sweep_spares_the_young(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD, repeat_last=True)
    old, young = await pool.open(ASK, Patience()), await pool.open(ASK, Patience())
    await take(old)
    between = time.monotonic()
    await until(lambda: time.monotonic() > between)
    await take(young)

    pool.sweep(between + IDLE_LIMIT)

    assert pool.idle == 1


async def test_close_ends_every_connection(upstream: Upstream) -> None:
    async with pool_to(upstream) as pool:
        upstream.script(stream(Gate("on")), GOOD)
        busy = await pool.open(ASK, Patience())
        await exchange(pool)

        pool.close()

        assert [(await upstream.closed(number)).how is How.LOCAL for number in (0, 1)] == [False, False]
        assert pool.idle == 0
        busy.close()


async def test_pool_says_how_it_stands(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD)
    opened = await pool.open(ASK, Patience())
    during = repr(pool)
    await take(opened)

    assert (during, repr(pool)) == ("<Pool in_use=1 idle=0>", "<Pool in_use=0 idle=1>")


# Bodies of requests.


class Pieces:
    """The pieces of a body, of which the last `held` wait at the gate. `closed` tells whether their maker was let go."""

    def __init__(self, *pieces: bytes, held: int = 0, error: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        self.taken = 0
        self.waiting = asyncio.Event()
        self.closed = False
        self._pieces = pieces
        self._held = held
        self._error = error

    async def make(self) -> AsyncGenerator[bytes, None]:
        try:
            for number, piece in enumerate(self._pieces):
                if number == len(self._pieces) - self._held:
                    self.waiting.set()
                    await self.gate.wait()
                self.taken += 1
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True

    @property
    def request(self) -> OutboundRequest:
        """A request whose body they are."""
        return OutboundRequest(POST % sum(map(len, self._pieces)), b"", more=self.make())


def upload(*pieces: bytes) -> OutboundRequest:
    """Return a request with a body that is sent once."""
    return Pieces(*pieces).request


async def test_pieces_go_out_as_they_come(upstream: Upstream, pool: Pool, tasks: Tasks) -> None:
    upstream.script(GOOD)
    pieces = Pieces(b"one", b"two", held=1)

    answer = tasks_open(tasks, pool, pieces.request)
    await until(lambda: [request.body for request in upstream.requests] == [b"one"])
    pieces.gate.set()

    assert (await answer).body == b"hi"
    assert (upstream.requests[0].body, pieces.closed) == (b"onetwo", True)
    assert pool.idle == 1


async def test_beginning_of_the_body_goes_with_the_head(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD)

    await exchange(pool, OutboundRequest(POST % 6, b"one", more=Pieces(b"two").make()))

    assert (await upstream.request()).body == b"onetwo"


async def test_large_body_arrives_whole(upstream: Upstream, pool: Pool) -> None:
    upstream.script(GOOD)
    body = bytes(range(256)) * 4096

    await exchange(pool, OutboundRequest(POST % len(body), body))

    assert (await upstream.request()).body == body


async def test_upload_waits_for_an_upstream_that_reads_slowly() -> None:
    async with Upstream(reads=False) as upstream, pool_to(upstream) as pool:
        upstream.script(GOOD)
        pieces = Pieces(*[MEBIBYTE] * 16)
        answer = asyncio.get_running_loop().create_task(exchange(pool, pieces.request))
        taken = await until_stuck(pieces)

        upstream.read()
        await answer

        assert taken < 16
        assert len((await upstream.request()).body) == 16 * len(MEBIBYTE)


async def until_stuck(pieces: Pieces) -> int:
    """Return how many pieces were taken when the upstream took no more."""
    await until(lambda: pieces.taken > 0)
    taken = -1
    while taken != pieces.taken:
        taken = pieces.taken
        for _ in range(50):
            await asyncio.sleep(0)
    return taken


@pytest.mark.parametrize("behind", [(), (Close(),)], ids=["it stays", "it closes"])
@pytest.mark.parametrize("stuck", ["client", "upstream"])
async def test_early_refusal_is_delivered_while_the_body_is_on_its_way(stuck: str, behind: tuple[Close, ...]) -> None:
    """Also one that reads nothing more and closes, which is a RST (RFC 9112 9.6)."""
    async with Upstream() as upstream, pool_to(upstream) as pool:
        refusal = Reply(status=413, body=[b"too large", *behind], framing="length", length=9, early=True, after=[Hang()])
        upstream.script(refusal)
        pieces = Pieces(b"one", MEBIBYTE, held=1) if stuck == "client" else Pieces(*[MEBIBYTE] * 64)

        found = await asyncio.wait_for(exchange(pool, pieces.request), 2)

        assert found == Taken(413, b"too large", BodyEnd.COMPLETE, reused=False)
        assert pool.idle == 0
        assert (await upstream.closed()).how is not (How.RST if behind else How.LOCAL)
        for _ in range(3):
            await asyncio.sleep(0)
        assert pieces.closed


async def test_answer_is_read_before_the_body_goes_on_against_a_reset() -> None:
    """A write into the RST behind an answer destroys the answer, although it has arrived."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"

    with blocking_upstream() as listener:

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"first"
            peer = await accepted(listener)
            peer.sendall(refusal)
            peer.close()  # with bytes unread: a RST behind the answer
            time.sleep(0.02)  # noqa: ASYNC251 - the event loop must not see it come
            yield MEBIBYTE
            yield MEBIBYTE

        async with pool_to(dialer(listener.getsockname()[1])) as pool:
            found = await exchange(pool, OutboundRequest(POST % (5 + 2 * len(MEBIBYTE)), b"", more=pieces()))

    assert (found.status, found.body) == (413, b"too large")


async def test_early_success_does_not_stop_the_body(upstream: Upstream, pool: Pool) -> None:
    """A server may answer while it reads, as transcribers do."""
    upstream.script(Reply(body=[b"a", Gate("on"), b"b"], early=True))
    pieces = Pieces(b"one", b"two", held=1)

    opened = await pool.open(pieces.request, Patience())
    pieces.gate.set()
    await until(lambda: pieces.closed)
    upstream.open("on")
    found = await take(opened)

    assert (found.body, found.end) == (b"ab", BodyEnd.COMPLETE)
    assert (await upstream.request()).body == b"onetwo"
    assert pool.idle == 1


async def test_early_success_that_ends_before_the_body_ends_the_exchange(upstream: Upstream, pool: Pool) -> None:
    """What is left of the body would be taken for the next request."""
    upstream.script(Reply(body=[b"a"], early=True))
    pieces = Pieces(b"one", b"two", held=1)

    found = await exchange(pool, pieces.request)
    await pieces.waiting.wait()
    for _ in range(3):
        await asyncio.sleep(0)

    assert (found.body, found.end, pool.idle, pieces.closed) == (b"a", BodyEnd.COMPLETE, 0, True)
    await upstream.closed()


async def test_body_is_not_asked_for_behind_the_end_of_the_answer(upstream: Upstream, pool: Pool) -> None:
    upstream.script(Reply(body=[b"a"], early=True))
    pieces = Pieces(b"one", b"two", b"three", b"four", held=3)
    opened = await pool.open(pieces.request, Patience())
    await until(lambda: opened.ended)

    pieces.gate.set()
    await until(lambda: pieces.closed)

    assert pieces.taken == 2
    opened.close()


@pytest.mark.parametrize("error", [BodyTimeout(), ConnectionResetError("client")], ids=["ours", "foreign"])
async def test_failure_of_the_body_is_raised_and_closes_the_connection(upstream: Upstream, pool: Pool, error: Exception) -> None:
    upstream.script(GOOD)
    pieces = Pieces(b"one", error=error)
    request = OutboundRequest(POST % 100, b"", more=pieces.make())

    with pytest.raises(type(error)):
        await exchange(pool, request)

    assert (await upstream.closed()).how is not How.LOCAL
    assert (pool.in_use, pool.idle, pieces.closed) == (0, 0, True)


async def test_failure_of_the_body_behind_the_head_cuts_the_answer(upstream: Upstream, pool: Pool) -> None:
    upstream.script(Reply(body=[b"a", Gate("on")], early=True))
    pieces = Pieces(b"one", b"two", held=1, error=BodyTimeout())
    opened = await pool.open(OutboundRequest(POST % 100, b"", more=pieces.make()), Patience())

    pieces.gate.set()
    found = await take(opened)

    assert (found.body, found.end) == (b"a", BodyEnd.CUT)


async def test_upstream_that_stops_reading_the_body_meets_the_deadline() -> None:
    async with Upstream(reads=False) as upstream, pool_to(upstream) as pool:
        waiter, pieces = Patience(), Pieces(*[MEBIBYTE] * 64)
        answer = asyncio.get_running_loop().create_task(exchange(pool, pieces.request, waiter))
        await until_stuck(pieces)

        waiter.expire(UpstreamTimeout())

        with pytest.raises(UpstreamTimeout):
            await answer
        assert (await upstream.closed()).how is not How.LOCAL
        assert (pool.in_use, pieces.closed) == (0, True)


async def test_deadline_while_the_head_is_awaited_closes_the_connection(upstream: Upstream, pool: Pool, tasks: Tasks) -> None:
    upstream.script(verbatim(Hang()))
    waiter = Patience()
    answer = tasks.spawn(refused(exchange(pool, waiter=waiter)), name="exchange")
    await upstream.request()

    waiter.expire(UpstreamTimeout())

    assert isinstance(await answer, UpstreamTimeout)
    assert (await upstream.closed()).how is not How.LOCAL
    assert pool.in_use == 0


async def refused(work: Awaitable[Taken]) -> Exception | None:
    """Return how *work* fails."""
    try:
        await work
    except UpstreamTimeout as exc:
        return exc
    return None


# Cancelled in every phase.


@dataclass(slots=True)
class Scene:
    """A place to be cancelled in: where to dial, what to send, and when it is time."""

    pool: Pool
    ready: Callable[[], Awaitable[object]]
    closed: Callable[[], Awaitable[float]]  # when the peer saw the end
    request: OutboundRequest = ASK
    then: Callable[[Taker], Awaitable[object]] | None = None


async def seen(upstream: Upstream) -> float:
    return (await upstream.closed()).at


@asynccontextmanager
async def connecting(authority: Authority) -> AsyncIterator[Scene]:
    async def ready() -> None:
        await asyncio.sleep(0.01)

    async def closed() -> float:
        return time.monotonic()

    with silent_port() as port:
        async with pool_to(dialer(port)) as pool:
            yield Scene(pool, ready, closed)


@asynccontextmanager
async def shaking_hands(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream(reads=False) as upstream, pool_to(upstream, tls=authority.client_context()) as pool:

        async def ready() -> None:
            await upstream.connected()
            await asyncio.sleep(0.01)

        yield Scene(pool, ready, lambda: seen(upstream))


@asynccontextmanager
async def tunnelling(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as way_out:
        way_out.script(verbatim(Hang()))
        way = f"http://{HOST}:{way_out.port}"
        async with pool_to(dialer(1, tls=authority.client_context(), way=way)) as pool:
            yield Scene(pool, way_out.request, lambda: seen(way_out))


@asynccontextmanager
async def tunnelled(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream(tls=authority.server_context()) as upstream, ForwardProxy() as way_out:
        upstream.script(verbatim(Hang()))
        async with pool_to(dialer(upstream.port, tls=authority.client_context(), way=way_out.url())) as pool:
            yield Scene(pool, upstream.request, lambda: seen(upstream))


@asynccontextmanager
async def awaiting_the_head(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, pool_to(upstream) as pool:
        upstream.script(verbatim(Hang()))
        yield Scene(pool, upstream.request, lambda: seen(upstream))


@asynccontextmanager
async def awaiting_the_head_over_tls(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream(tls=authority.server_context()) as upstream, pool_to(upstream, tls=authority.client_context()) as pool:
        upstream.script(verbatim(Hang()))
        yield Scene(pool, upstream.request, lambda: seen(upstream))


@asynccontextmanager
async def awaiting_the_head_on_a_used_connection(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, pool_to(upstream) as pool:
        upstream.script(GOOD, verbatim(Hang()))
        await exchange(pool)
        yield Scene(pool, lambda: upstream.request(1), lambda: seen(upstream))


@asynccontextmanager
async def sending_a_large_body(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream(reads=False) as upstream, pool_to(upstream) as pool:
        request = OutboundRequest(POST % (32 * len(MEBIBYTE)), MEBIBYTE * 32)
        yield Scene(pool, upstream.connected, lambda: seen(upstream), request)


@asynccontextmanager
async def uploading_from_a_slow_client(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, pool_to(upstream) as pool:
        pieces = Pieces(b"one", b"two", held=1)
        yield Scene(pool, pieces.waiting.wait, lambda: seen(upstream), pieces.request)
        assert pieces.closed


@asynccontextmanager
async def uploading_to_a_slow_upstream(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream(reads=False) as upstream, pool_to(upstream) as pool:
        pieces = Pieces(*[MEBIBYTE] * 64)

        async def ready() -> None:
            await upstream.connected()
            await until_stuck(pieces)

        yield Scene(pool, ready, lambda: seen(upstream), pieces.request)
        assert pieces.closed


@asynccontextmanager
async def reading_the_body(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, pool_to(upstream) as pool:
        upstream.script(stream(b"hi", Gate("on")))
        yield Scene(pool, lambda: upstream.reached("on"), lambda: seen(upstream))


@asynccontextmanager
async def reading_while_uploading(authority: Authority) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, pool_to(upstream) as pool:
        upstream.script(Reply(body=[b"hi", Gate("on")], early=True))
        pieces = Pieces(b"one", b"two", held=1)

        async def ready() -> None:
            await upstream.reached("on")
            await pieces.waiting.wait()

        yield Scene(pool, ready, lambda: seen(upstream), pieces.request)
        assert pieces.closed


SCENES = (
    connecting,
    shaking_hands,
    tunnelling,
    tunnelled,
    awaiting_the_head,
    awaiting_the_head_over_tls,
    awaiting_the_head_on_a_used_connection,
    sending_a_large_body,
    uploading_from_a_slow_client,
    uploading_to_a_slow_upstream,
    reading_the_body,
    reading_while_uploading,
)


@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__.replace("_", " ") for scene in SCENES])
async def test_cancelled_exchange_closes_its_connection_at_once(
    authority: Authority, scene: Callable[[Authority], object]
) -> None:
    """The fixture looks for tasks and sockets that were left behind."""
    async with scene(authority) as place:  # type: ignore[attr-defined]
        running = asyncio.get_running_loop().create_task(exchange(place.pool, place.request))
        await place.ready()
        in_use = place.pool.in_use

        at = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert await place.closed() - at < 0.1
        assert (in_use, place.pool.in_use, place.pool.idle) == (1, 0, 0)


# The reader of error answers.


async def test_body_reader_collects_a_whole_body(upstream: Upstream, pool: Pool) -> None:
    upstream.script(stream(b"one", b"two"))
    reader = BodyReader(limit=6)

    opened = await pool.open(ASK, Patience())
    opened.attach(reader)
    end = await reader.end
    opened.close()

    assert (reader.body, end) == (b"onetwo", BodyEnd.COMPLETE)


async def test_body_reader_stops_at_its_limit() -> None:
    reader = BodyReader(limit=5)

    reader.upstream_data(b"one")
    before = reader.end.done()
    reader.upstream_data(b"two")
    reader.upstream_end(BodyEnd.COMPLETE)

    assert (before, reader.body, await reader.end) == (False, b"one", BodyEnd.CUT)


async def test_body_reader_can_be_told_to_give_up() -> None:
    reader = BodyReader(limit=5)

    reader.upstream_data(b"one")
    reader.give_up()
    reader.give_up()

    assert (reader.body, await reader.end) == (b"one", BodyEnd.CUT)
