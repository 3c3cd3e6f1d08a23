"""A connection hides nothing: each read reaches the sink in its own callback, and each end is told by its name."""

from __future__ import annotations

import asyncio
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from proxy.errors import BodyTimeout, UpstreamClosed, UpstreamMalformed, UpstreamReset
from proxy.upstream.connection import EARLY_LIMIT, FRAMING_LIMIT, UpstreamConnection
from proxy.upstream.response import HEAD_LIMIT, BodyEnd
from tests.support.certificates import Authority
from tests.support.http1 import chunk, last_chunk
from tests.support.steps import Step
from tests.support.upstream import Drip, Fin, Gate, Hang, How, Informational, Reply, Rst, Send, Upstream, stream, verbatim
from tests.unit.upstream.support import GET, HEAD, OK, TWO, Complaints, Taker, connected, until, until_lost

READ = 256 * 1024  # the most that either event loop reads at once
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 100\r\n\r\n"
OPEN = OK + b"\r\n"

both_wires = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])


@asynccontextmanager
async def connected_by(authority: Authority | None) -> AsyncIterator[tuple[Upstream, UpstreamConnection]]:
    """Lend an upstream and a connection to it, over TLS if there is an *authority* for that."""
    server, client = (authority.server_context(), authority.client_context()) if authority else (None, None)
    async with Upstream(tls=server) as upstream, connected(upstream, client) as connection:
        yield upstream, connection


async def asked(connection: UpstreamConnection, request: bytes = GET) -> Taker:
    """Send a request and return the taker of its answer's body, attached."""
    taker = Taker()
    await connection.send(request, b"", expects_head=request == HEAD)
    connection.attach(taker)
    return taker


async def mid_body(connection: UpstreamConnection, upstream: Upstream) -> Taker:
    """Return a taker that has the first byte of a chunked body, whose rest waits for the gate `on`."""
    upstream.script(stream(b"a", Gate("on"), b"b"))
    taker = await asked(connection)
    await taker.until_body(b"a")
    return taker


# Bodies.


@pytest.mark.parametrize(
    ("reply", "body", "end"),
    [
        pytest.param(stream(b"one", b"two"), b"onetwo", BodyEnd.COMPLETE, id="chunked"),
        pytest.param(stream(b"one", b"two", framing="length"), b"onetwo", BodyEnd.COMPLETE, id="length"),
        pytest.param(stream(b"one", b"two", framing="close"), b"onetwo", BodyEnd.CLOSED, id="close-delimited"),
        pytest.param(
            verbatim(Drip(CHUNKED + chunk(b"onetwo") + last_chunk([("Sum", "1")]))),
            b"onetwo",
            BodyEnd.COMPLETE,
            id="byte by byte",
        ),
        pytest.param(Reply(body=[b"one"], trailers=[("X-Sum", "1")]), b"one", BodyEnd.COMPLETE, id="trailers"),
        pytest.param(Reply(body=[Send(b"3;ext=1\r\none\r\n", raw=True)]), b"one", BodyEnd.COMPLETE, id="chunk extension"),
        pytest.param(Reply(status=204), b"", BodyEnd.COMPLETE, id="204"),
        pytest.param(Reply(status=304, headers=[("Content-Length", "5")]), b"", BodyEnd.COMPLETE, id="304"),
        pytest.param(Reply(status=205, framing="length", length=0), b"", BodyEnd.COMPLETE, id="205"),
        pytest.param(Reply(version="1.0", body=[b"one"], framing="close"), b"one", BodyEnd.CLOSED, id="1.0"),
    ],
)
async def test_body_arrives_whole_and_ends_as_its_framing_says(
    upstream: Upstream, reply: Reply, body: bytes, end: BodyEnd
) -> None:
    async with connected(upstream) as connection:
        upstream.script(reply)

        taker = await asked(connection)

        assert (await taker.until_end(), taker.body) == (end, body)


async def test_read_reaches_the_sink_in_its_own_callback_as_one_piece(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)

        connection.data_received(chunk(b"one") + chunk(b"two") + b"5\r\nthr")
        connection.data_received(b"ee\r\n")
        connection.data_received(b"5;x\r\n")

        assert taker.pieces == [b"a", b"onetwothr", b"ee"]


async def test_end_is_told_in_the_callback_of_the_last_byte(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)

        connection.data_received(chunk(b"b") + last_chunk())

        assert (taker.body, taker.end) == (b"ab", BodyEnd.COMPLETE)


async def test_trailers_are_neither_headers_nor_body(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(Reply(headers=[("X-A", "1")], body=[b"one"], trailers=[("X-B", "2")]))

        head = await connection.send(GET, b"")
        taker = Taker()
        connection.attach(taker)
        await taker.until_end()

        assert head.headers == ((b"X-A", b"1"), (b"Transfer-Encoding", b"chunked"))
        assert taker.body == b"one"


async def test_interim_responses_are_passed_over(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        before: list[Step] = [Informational(100), Informational(103, [("Link", "</a>")]), Gate("on"), Informational(103)]
        upstream.script(Reply(before=before, body=[b"one"]))

        answer = connection.send(GET, b"")
        await upstream.reached("on")
        early = answer.done()
        upstream.open("on")
        head = await answer

        assert (early, head.status, head.headers) == (False, 200, ((b"Transfer-Encoding", b"chunked"),))


async def test_switch_of_protocols_is_refused(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(
            verbatim(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi", Hang())
        )

        with pytest.raises(UpstreamMalformed, match="another protocol"):
            await connection.send(GET, b"")

        assert (await upstream.closed()).how is not How.LOCAL


# Answers without a body, and what follows an answer.


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_answer_to_a_head_request_ends_at_its_head_and_the_connection_with_it(upstream: Upstream, framing: str) -> None:
    headers = {"chunked": [("Transfer-Encoding", "chunked")], "length": [("Content-Length", "5")], "close": []}[framing]
    async with connected(upstream) as connection:
        upstream.script(Reply(headers=headers, framing="raw"))

        taker = await asked(connection, HEAD)

        assert (taker.end, taker.body, connection.reusable) == (BodyEnd.COMPLETE, b"", False)


BODILESS = {
    "HEAD": (HEAD, OK + b"Content-Length: 5\r\n\r\n"),
    "204": (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    "length": (GET, OK + b"Content-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize(("request_head", "answer"), BODILESS.values(), ids=BODILESS)
@pytest.mark.parametrize("behind", [b"hello", TWO], ids=["a body", "a second response"])
async def test_bytes_right_behind_an_answer_reach_nobody_and_spoil_the_connection(
    upstream: Upstream, request_head: bytes, answer: bytes, behind: bytes
) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(Send(answer + behind, raw=True), Hang()))

        taker = await asked(connection, request_head)

        assert (taker.end, taker.body, connection.reusable) == (BodyEnd.COMPLETE, b"", False)


@pytest.mark.parametrize("answer", [TWO, BODILESS["204"][1]], ids=["length", "204"])
@pytest.mark.parametrize("behind", [b"x", TWO], ids=["a byte", "a second response"])
async def test_bytes_that_come_later_behind_an_answer_close_the_connection(
    upstream: Upstream, answer: bytes, behind: bytes
) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(answer, Gate("on"), behind, Hang()))
        taker = await asked(connection)
        await taker.until_end()
        before = (taker.body, connection.reusable)

        upstream.open("on")
        await upstream.closed()

        assert before == (taker.body, True)
        assert not connection.reusable


async def test_bytes_on_an_idle_connection_close_it(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(TWO, Gate("on"), TWO, Hang()))
        await (await asked(connection)).until_end()
        connection.to_idle(0.0)

        upstream.open("on")
        await upstream.closed()

        assert connection.unread
        with pytest.raises(UpstreamMalformed, match="nobody asked for"):
            await connection.send(GET, b"")


async def test_greeting_before_the_request_is_no_answer(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        connection.data_received(b"SSH-2.0-OpenSSH\r\n")

        with pytest.raises(UpstreamMalformed, match="nobody asked for"):
            await connection.send(GET, b"")


# FIN and RST.


@both_wires
@pytest.mark.parametrize("part", [b"", b"H", OK + b"X-A: 1\r\n"], ids=["before the head", "in the first byte", "in the head"])
@pytest.mark.parametrize(
    ("step", "error", "word"), [(Fin(), UpstreamClosed, "closed"), (Rst(), UpstreamReset, "reset")], ids=["fin", "rst"]
)
async def test_end_before_the_head_is_told_by_its_name(
    authority: Authority, secure: bool, part: bytes, step: Step, error: type[Exception], word: str
) -> None:
    async with connected_by(authority if secure else None) as (upstream, connection):
        upstream.script(verbatim(*([Send(part)] if part else []), step))

        with pytest.raises(error, match=f"^{word} {'in the middle' if part else 'without a byte'}") as caught:
            await connection.send(GET, b"")

        assert connection.answered == bool(part)
        assert isinstance(caught.value.__cause__, ConnectionResetError) == (step == Rst())


@both_wires
@pytest.mark.parametrize(
    "head", [CHUNKED + b"5\r\n", CHUNKED, LENGTH, OPEN], ids=["chunk", "chunked", "length", "close-delimited"]
)
@pytest.mark.parametrize("step", [Fin(), Rst()], ids=["fin", "rst"])
async def test_end_in_the_body_is_told_by_its_name(authority: Authority, secure: bool, head: bytes, step: Step) -> None:
    part = chunk(b"hi") if head == CHUNKED else b"hi"
    async with connected_by(authority if secure else None) as (upstream, connection):
        upstream.script(verbatim(Send(head + part), Gate("on"), step))
        taker = await asked(connection)
        await taker.until_body(b"hi")
        upstream.open("on")

        end = await taker.until_end()

        expected = BodyEnd.RESET if step == Rst() else BodyEnd.CLOSED if head == OPEN else BodyEnd.CUT
        assert (end, taker.body, connection.reusable) == (expected, b"hi", False)


async def test_bare_fin_on_tls_does_not_complete_a_close_delimited_body(authority: Authority) -> None:
    """Anybody on the way can send it (RFC 9112 9.8); a close_notify only the peer."""
    async with connected_by(authority) as (upstream, connection):
        upstream.script(verbatim(OPEN + b"hi", Fin(notify=False)))

        taker = await asked(connection)

        assert (await taker.until_end(), taker.body) == (BodyEnd.CUT, b"hi")


@both_wires
async def test_fin_behind_a_complete_answer_takes_nothing_from_it(authority: Authority, secure: bool) -> None:
    async with connected_by(authority if secure else None) as (upstream, connection):
        upstream.script(verbatim(TWO, Fin()))

        taker = await asked(connection)
        end = await taker.until_end()
        await upstream.closed()

        assert (end, taker.body, connection.reusable) == (BodyEnd.COMPLETE, b"hi", False)


async def test_fin_is_told_at_once_although_the_request_is_still_going_out() -> None:
    """The event loop itself would first wait for a peer that does not read."""
    async with Upstream(reads=False) as upstream, connected(upstream) as connection:
        answer = connection.send(GET, bytes(16 * 1024 * 1024))
        await upstream.connected()

        upstream.connections[0].fin()

        with pytest.raises(UpstreamClosed):
            await asyncio.wait_for(answer, 1)


async def test_end_of_the_connection_wakes_whoever_waits_to_write_on() -> None:
    async with Upstream(reads=False) as upstream, connected(upstream) as connection:
        answer = connection.send(GET, b"", whole=False)
        room = until_full(connection)

        (await upstream.connected()).reset()

        await asyncio.wait_for(room, 1)
        with pytest.raises(UpstreamReset):
            await answer


def until_full(connection: UpstreamConnection) -> asyncio.Future[None]:
    """Write until the upstream takes no more, and return what to wait for then."""
    while (room := connection.write_more(bytes(1024 * 1024))) is None:
        pass
    return room


async def test_writing_goes_on_when_the_upstream_reads_on() -> None:
    async with Upstream(reads=False) as upstream, connected(upstream) as connection:
        connection.send(GET, b"", whole=False)
        room = until_full(connection)
        await asyncio.sleep(0)
        stuck = not room.done()

        upstream.connections[0].closed = None
        upstream.connections[0].resume()

        await asyncio.wait_for(room, 5)
        assert stuck
        assert connection.write_more(b"x") is None


# Limits, and framing that is broken.


def head_of(size: int) -> bytes:
    """Return a response head whose fields take *size* bytes."""
    return OK + b"X-A: " + b"a" * (size - len(b"X-A: \r\n")) + b"\r\n\r\n"


@pytest.mark.parametrize("piece", [1000, READ], ids=["in many reads", "in one read"])
async def test_response_head_is_limited(upstream: Upstream, piece: int) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(Hang()))
        answer = connection.send(GET, b"")
        data = head_of(HEAD_LIMIT + 1)

        for start in range(0, len(data), piece):
            connection.data_received(data[start : start + piece])

        with pytest.raises(UpstreamMalformed, match="too large"):
            await answer
        assert (await upstream.closed()).how is not How.LOCAL


@pytest.mark.parametrize("piece", [1000, READ], ids=["in many reads", "in one read"])
async def test_response_head_within_its_limit_is_good_whatever_comes_with_it(upstream: Upstream, piece: int) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(Hang()))
        answer = connection.send(GET, b"")
        data = head_of(HEAD_LIMIT - 1000) + b"b" * 1000

        for start in range(0, len(data), piece):
            connection.data_received(data[start : start + piece])

        assert (await answer).status == 200


async def test_bytes_of_the_head_are_not_counted_for_the_body(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(Hang()))
        answer = connection.send(GET, b"")
        connection.data_received(head_of(HEAD_LIMIT - 1000).removesuffix(b"\r\n") + b"Transfer-Encoding: chunked\r\n\r\n")
        await answer
        taker = Taker()
        connection.attach(taker)

        connection.data_received(b"1;" + b"x" * 2000)
        connection.data_received(b"\r\na\r\n")

        assert taker.body == b"a"


async def test_endless_interim_responses_are_limited(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        endless = Drip(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 4096, size=4000)
        upstream.script(verbatim(endless, Hang()))

        with pytest.raises(UpstreamMalformed, match="too large"):
            await connection.send(GET, b"")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda n: b"0\r\n" + b"X: 1\r\n" * (n // 6), id="trailers"),
        pytest.param(lambda n: b"0\r\nX: " + b"1" * n, id="one trailer"),
        pytest.param(lambda n: b"1;" + b"x" * n, id="a chunk extension"),
    ],
)
async def test_bytes_around_a_body_are_limited(upstream: Upstream, flood: Callable[[int], bytes]) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)
        data = flood(FRAMING_LIMIT + 4000)

        for start in range(0, len(data), 1000):
            connection.data_received(data[start : start + 1000])

        assert taker.end is BodyEnd.MALFORMED
        assert (await upstream.closed()).how is not How.LOCAL


@pytest.mark.parametrize("early", [False, True], ids=["attached", "early"])
async def test_framing_in_reads_of_its_own_is_no_flood(upstream: Upstream, early: bool) -> None:
    async with connected(upstream) as connection:
        upstream.script(stream(Hang()))
        await connection.send(GET, b"")
        taker = Taker()
        if not early:
            connection.attach(taker)

        for _ in range(FRAMING_LIMIT // 4):
            connection.data_received(b"1\r\n")
            connection.data_received(b"x")
            connection.data_received(b"\r\n")
        if early:
            connection.attach(taker)

        assert (taker.end, len(taker.body)) == (None, FRAMING_LIMIT // 4)


async def test_broken_framing_ends_the_body_behind_what_was_good(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)

        connection.data_received(chunk(b"b") + b"zz\r\n")

        assert (taker.body, taker.end, connection.reusable) == (b"ab", BodyEnd.MALFORMED, False)
        assert (await upstream.closed()).how is not How.LOCAL


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", id="both framings"),
        pytest.param(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", id="two lengths"),
        pytest.param(b"not HTTP at all\r\n\r\n", id="not HTTP"),
    ],
)
async def test_head_that_could_be_read_in_two_ways_is_refused(upstream: Upstream, head: bytes) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(head, Hang()))

        with pytest.raises(UpstreamMalformed):
            await connection.send(GET, b"")

        assert (await upstream.closed()).how is not How.LOCAL


async def test_good_head_with_a_broken_body_behind_it_is_a_good_head(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(CHUNKED + chunk(b"a") + b"zz\r\n", Hang()))

        taker = await asked(connection)

        assert (taker.body, taker.end) == (b"a", BodyEnd.MALFORMED)


# Before somebody is attached.


async def test_early_body_is_kept_for_whoever_comes(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(stream(b"one", b"two", Gate("on"), b"three"))
        await connection.send(GET, b"")
        await upstream.reached("on")
        taker = Taker()

        connection.attach(taker)
        early = list(taker.pieces)
        upstream.open("on")
        await taker.until_end()

        assert early == [b"onetwo"]
        assert taker.body == b"onetwothree"


async def test_early_body_that_nobody_takes_is_not_the_next_exchanges(upstream: Upstream) -> None:
    """One tenant's bytes never reach another."""
    async with connected(upstream) as connection:
        upstream.script(stream(b"mine"), stream(b"yours"))
        await connection.send(GET, b"")
        await until(lambda: connection.ended)
        connection.to_idle(0.0)

        taker = await asked(connection)
        await taker.until_end()

        assert taker.body == b"yours"


@pytest.mark.parametrize("steps", [(), (b"one",), (b"one", b"two")], ids=["no body", "one read", "two reads"])
async def test_whole_body_can_be_taken_once_it_is_there(upstream: Upstream, steps: tuple[bytes, ...]) -> None:
    async with connected(upstream) as connection:
        upstream.script(stream(*steps, Gate("on")))
        await connection.send(GET, b"")
        await upstream.reached("on")
        before = connection.take_whole()

        upstream.open("on")
        await until(lambda: connection.ended)

        whole = connection.take_whole()
        taker = Taker()
        connection.attach(taker)

        assert (before, whole, connection.reusable) == (None, b"".join(steps), True)
        assert (taker.body, taker.end) == (b"", BodyEnd.COMPLETE)


async def test_cut_body_cannot_be_taken_for_a_whole_one(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(LENGTH + b"hi", Fin()))
        await connection.send(GET, b"")
        await until(lambda: connection.ended)

        assert connection.take_whole() is None


async def test_early_end_is_kept_for_whoever_comes(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(LENGTH + b"hi", Fin()))
        await connection.send(GET, b"")
        await upstream.closed()
        taker = Taker()

        connection.attach(taker)

        assert (taker.body, taker.end, connection.ended) == (b"hi", BodyEnd.CUT, True)


@both_wires
async def test_nobody_attached_stops_the_reading(authority: Authority, secure: bool) -> None:
    async with connected_by(authority if secure else None) as (upstream, connection):
        blast(upstream)
        await connection.send(GET, b"")
        await until_congested(upstream)
        taker = Taker()

        connection.attach(taker)

        assert EARLY_LIMIT < len(taker.pieces[0]) <= EARLY_LIMIT + 2 * READ
        assert await taker.until_end() is BodyEnd.COMPLETE
        assert len(taker.body) == BLAST


async def test_sink_that_pauses_at_the_early_bytes_stays_paused(upstream: Upstream) -> None:
    class Hesitant(Taker):
        def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
            super().upstream_data(data)
            connection.pause()

    async with connected(upstream) as connection:
        blast(upstream)
        await connection.send(GET, b"")
        await until_congested(upstream)
        taker = Hesitant()

        connection.attach(taker)
        for _ in range(10):
            await asyncio.sleep(0)

        assert len(taker.pieces) == 1


# Back-pressure.

BLAST = 16 * 1024 * 1024


def blast(upstream: Upstream) -> None:
    """Let *upstream* send as much as it can."""
    upstream.script(Reply(body=[bytes(1024 * 1024)] * (BLAST // 1024**2), framing="length"))


async def until_congested(upstream: Upstream) -> None:
    """Return when the upstream cannot write any more: every buffer on the way is full."""
    connection = await upstream.connected()
    sent = -1
    while not connection.congested or sent != connection.sent_bytes:
        sent = connection.sent_bytes
        for _ in range(20):
            await asyncio.sleep(0)
    assert sent < BLAST


@both_wires
async def test_pause_stops_the_upstream_and_resume_loses_nothing(authority: Authority, secure: bool) -> None:
    async with connected_by(authority if secure else None) as (upstream, connection):
        blast(upstream)
        taker = await asked(connection)
        connection.pause()
        taken = len(taker.body)

        await until_congested(upstream)
        more = len(taker.body) - taken
        connection.resume()

        assert more <= 2 * READ
        assert await taker.until_end() is BodyEnd.COMPLETE
        assert len(taker.body) == BLAST


@both_wires
async def test_end_waits_behind_a_pause(authority: Authority, secure: bool) -> None:
    async with connected_by(authority if secure else None) as (upstream, connection):
        upstream.script(stream(b"a", Gate("on"), b"b", Fin()))
        taker = await asked(connection)
        await taker.until_body(b"a")
        connection.pause()
        upstream.open("on")
        await (await upstream.connected()).settle()
        before = (taker.body, taker.end)

        connection.resume()

        assert (await taker.until_end(), taker.body) == (BodyEnd.CUT, b"ab")
        assert before == (b"a", None)


async def test_pause_and_resume_do_nothing_behind_the_end(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        await mid_body(connection, upstream)

        connection.abort()
        connection.pause()
        connection.resume()
        await until_lost(connection)
        connection.pause()
        connection.resume()

        assert connection.transport is None


# Our own faults, and those of the request's body.


class Faulty(Taker):
    """A sink that fails where it is told to."""

    def __init__(self, *where: str) -> None:
        super().__init__()
        self.where = where

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        if "data" in self.where:
            raise LookupError("data")
        super().upstream_data(data)

    def upstream_end(self, end: BodyEnd) -> None:
        if "end" in self.where and end is not BodyEnd.FAULT:
            raise LookupError("end")
        super().upstream_end(end)
        if "fault" in self.where:
            raise LookupError("fault")


@pytest.mark.parametrize("where", [("data",), ("end",), ("data", "fault"), ("end", "fault")], ids=" and ".join)
async def test_fault_of_a_sink_ends_its_exchange_and_nothing_else(
    upstream: Upstream, complaints: Complaints, where: tuple[str, ...]
) -> None:
    async with connected(upstream) as connection, connected(upstream) as other:
        upstream.script(stream(Gate("on"), b"one"), stream(Gate("on"), b"one"))
        faulty, taker = Faulty(*where), Taker()
        for each, sink in ((connection, faulty), (other, taker)):
            await each.send(GET, b"")
            each.attach(sink)

        upstream.open("on")
        await taker.until_end()
        await upstream.closed(0)

        assert (faulty.end, taker.body) == (BodyEnd.FAULT, b"one")
        assert [str(complaint["exception"]) for complaint in complaints] == list(where)
        assert {complaint["message"] for complaint in complaints} == {"a sink failed on an upstream's bytes"}
        complaints.clear()


async def test_answer_on_whose_last_byte_we_failed_is_not_complete(upstream: Upstream, complaints: Complaints) -> None:
    async with connected(upstream) as connection:
        upstream.script(stream(Gate("on")))
        await connection.send(GET, b"")
        connection.attach(Faulty("data"))

        connection.data_received(chunk(b"one") + last_chunk())

        assert (connection.ended, connection.take_whole(), connection.reusable) == (True, None, False)
        complaints.clear()


async def test_fault_at_the_early_bytes_is_the_callers_own(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(stream(b"one", Gate("on")))
        await connection.send(GET, b"")
        await upstream.reached("on")

        with pytest.raises(LookupError):
            connection.attach(Faulty("data"))


async def test_failure_of_the_request_body_is_raised_where_the_answer_is_awaited(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        answer = connection.send(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", b"", whole=False)

        connection.fail(BodyTimeout())

        with pytest.raises(BodyTimeout):
            await answer
        assert (await upstream.closed()).how is not How.LOCAL


async def test_failure_of_the_request_body_behind_the_head_cuts_the_answer(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)

        connection.fail(BodyTimeout())

        assert taker.end is BodyEnd.CUT
        assert (await upstream.closed()).how is not How.LOCAL


async def test_failure_of_the_request_body_behind_the_end_changes_nothing(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(verbatim(TWO, Hang()))
        await connection.send(GET, b"")
        await until(lambda: connection.ended)
        taker = Taker()

        connection.fail(BodyTimeout())
        connection.attach(taker)

        assert (taker.body, taker.end) == (b"hi", BodyEnd.COMPLETE)


# The end of it.


async def test_abort_closes_at_once_and_tells_nobody(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)

        at = time.monotonic()
        connection.abort()

        assert (await upstream.closed()).at - at < 0.1
        assert taker.end is None


@both_wires
async def test_abort_is_good_at_every_moment_of_a_connections_end(authority: Authority, secure: bool) -> None:
    """Over TLS the socket is closed before the event loop says so."""
    async with connected_by(authority if secure else None) as (upstream, connection):
        upstream.script(verbatim(Hang()))
        connection.send(GET, b"", whole=False)
        await upstream.request()

        while connection.transport is not None:
            connection.abort()
            await asyncio.sleep(0)

        connection.abort()


async def test_answer_that_is_given_up_complains_of_nothing(upstream: Upstream) -> None:
    """Nobody waits for its future any more; the fixture sees an exception that nobody took."""
    async with connected(upstream) as connection:
        upstream.script(verbatim(Rst()))
        connection.send(GET, b"")
        await upstream.closed()
        await asyncio.sleep(0.01)

        connection.abort()


async def test_connection_that_has_ended_takes_no_request(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        connection.abort()

        with pytest.raises(UpstreamClosed, match="before the request was sent"):
            await connection.send(GET, b"")


async def test_connection_that_was_reset_says_so_to_the_next_request(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        (await upstream.connected()).reset()
        await until_lost(connection)

        with pytest.raises(UpstreamReset, match="before the request was sent"):
            await connection.send(GET, b"")


@pytest.mark.parametrize("aborted", [False, True], ids=["complete", "aborted"])
async def test_sink_is_let_go_at_the_end(upstream: Upstream, aborted: bool) -> None:
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)
        known = weakref.ref(taker)

        connection.abort() if aborted else connection.data_received(chunk(b"b") + last_chunk())
        del taker

        assert known() is None


async def test_ended_connection_is_freed_without_the_collector(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        reader = connection._reader
        await mid_body(connection, upstream)
        connection.abort()
        await until_lost(connection)

        assert not hasattr(reader, "feed")
        assert not hasattr(reader, "_parser")


# Whether another exchange may follow.


async def test_several_exchanges_follow_each_other(upstream: Upstream) -> None:
    async with connected(upstream) as connection:
        upstream.script(
            stream(b"a"), Reply(status=204), Reply(body=[b"b"], trailers=[("Sum", "1")]), stream(b"c", framing="length")
        )
        found = []

        for _ in range(4):
            taker = await asked(connection)
            await taker.until_end()
            found.append((taker.body, connection.reusable, connection.exchanges))
            connection.to_idle(0.0)

        assert found == [(b"a", True, 1), (b"", True, 2), (b"b", True, 3), (b"c", True, 4)]


async def test_connection_whose_sink_had_paused_is_read_while_idle(upstream: Upstream) -> None:
    """Else nobody would notice that it closes."""
    async with connected(upstream) as connection:
        taker = await mid_body(connection, upstream)
        connection.data_received(chunk(b"b") + last_chunk())
        connection.pause()

        connection.to_idle(0.0)
        (await upstream.connected()).fin()

        await until_lost(connection)
        assert taker.end is BodyEnd.COMPLETE


async def test_connection_is_not_reusable_before_the_whole_request_is_out(upstream: Upstream) -> None:
    """A next request would be taken for the rest of this one's body."""
    async with connected(upstream) as connection:
        upstream.script(Reply(body=[b"a"], early=True))
        connection.send(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", b"", whole=False)
        taker = Taker()
        await upstream.bell.until(lambda: bool(upstream.requests), "the request")
        connection.attach(taker)
        await taker.until_end()
        before = connection.reusable

        connection.write_more(b"x")
        connection.end_request()

        assert (before, connection.reusable) == (False, True)
        await upstream.request()


async def test_connection_is_not_reusable_while_the_request_waits_in_a_buffer() -> None:
    async with Upstream() as upstream, connected(upstream) as connection:
        upstream.script(Reply(body=[b"a"], early=True, after=[Gate("on")]))
        body = bytes(16 * 1024 * 1024)
        connection.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body), body)
        taker = Taker()
        await upstream.reached("on")
        connection.attach(taker)
        await taker.until_end()
        before = connection.reusable

        upstream.open("on")
        await upstream.request()

        assert (before, connection.reusable) == (False, True)


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Lend a listener that no event loop looks at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize("arrived", ["nothing", "bytes", "fin", "rst"])
async def test_unread_knows_what_the_event_loop_has_not_seen_yet(arrived: str) -> None:
    loop = asyncio.get_running_loop()
    with listening() as listener:
        _, connection = await loop.create_connection(lambda: UpstreamConnection(loop, lambda _: None), *listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            before = connection.unread
            if arrived == "bytes":
                peer.sendall(b"x")
            elif arrived == "fin":
                peer.shutdown(socket.SHUT_WR)
            elif arrived == "rst":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.close()
            deadline = time.monotonic() + 1
            while not connection.unread and arrived != "nothing" and time.monotonic() < deadline:
                pass

            assert (before, connection.unread) == (False, arrived != "nothing")

            connection.abort()
            await asyncio.sleep(0)
            assert connection.unread
        await until_lost(connection)
