"""The raw client shows what came, when, and how it ended."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.tasks import Tasks
from tests.support.certificates import Authority
from tests.support.client import End, RawClient, refused
from tests.support.http1 import BadMessage, chunk
from tests.support.upstream import DONE, Drip, Fin, Gate, Hang, How, Informational, Reply, Rst, Upstream, answer, stream, verbatim
from tests.support.whatwg import Event
from tests.support.wire import Wire

HOST = "127.0.0.1"


async def test_request_is_sent_as_written() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer({}))

        await client.request("POST", "/v1//x%2Fy?a=&a=1", [("x-Odd", "é")], b"body")

        seen = await upstream.request()
        assert seen.head.raw == (
            f"POST /v1//x%2Fy?a=&a=1 HTTP/1.1\r\nHost: {HOST}:{upstream.port}\r\nx-Odd: é\r\nContent-Length: 4\r\n\r\n".encode(
                "latin-1"
            )
        )
        assert seen.body == b"body"


async def test_given_host_and_framing_are_left_alone() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer({}))

        await client.request("POST", "/", [("host", "other"), ("transfer-encoding", "chunked")], chunk(b"a") + b"0\r\n\r\n")

        seen = await upstream.request()
        assert seen.headers == ((b"host", b"other"), (b"transfer-encoding", b"chunked"))
        assert seen.body == b"a"


async def test_bytes_are_sent_in_the_size_asked_for() -> None:
    loop, there = asyncio.get_running_loop(), Wire()
    server = await loop.create_server(lambda: there, HOST, 0)
    async with RawClient(HOST, server.sockets[0].getsockname()[1]) as client:
        await client.send(b"GET / HTTP/1.1\r\n\r\n", size=4)

        reads = [piece.data for _ in range(5) if (piece := await there.take())]

        assert reads == [b"GET ", b"/ HT", b"TP/1", b".1\r\n", b"\r\n"]
    server.close()
    await there.dispose()


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        (stream(b"data: a\n\n"), End.CLEAN),
        (stream(b"data: a\n\n", Fin()), End.ABORTED),
        (stream(b"data: a\n\n", Rst()), End.RESET),
        (stream(b"data: a\n\n", framing="length"), End.CLEAN),
        (Reply(body=[b"data: a\n\n", Fin()], framing="length", length=99), End.ABORTED),
        (Reply(body=[b"data: a\n\n", Rst()], framing="length", length=99), End.RESET),
        (stream(b"data: a\n\n", framing="close"), End.CLEAN),
        (stream(b"data: a\n\n", Rst(), framing="close"), End.RESET),
    ],
)
async def test_end_of_a_response_is_told(reply: Reply, end: End) -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(reply)

        response = await client.request("GET", "/")
        body = await response.read()

        assert body == b"data: a\n\n"
        assert response.end is end


async def test_raw_bytes_and_chunks_are_kept() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(body=[b"one", b"three"], trailers=[("Sum", "8")]))

        response = await client.request("GET", "/")
        await response.read()

        assert response.raw == b"3\r\none\r\n5\r\nthree\r\n0\r\nSum: 8\r\n\r\n"
        assert response.chunks == [3, 5]
        assert response.trailers == [(b"Sum", b"8")]
        assert [piece.data for piece in response.reads] == [b"one", b"three"]


async def test_events_are_dated_as_they_come() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(Drip(b"id: 1\ndata: a\n\n"), Gate("more"), DONE))
        response = await client.request("GET", "/")

        events = response.events()
        first = await anext(events)
        assert response.end is None
        upstream.open("more")
        second = await anext(events)

        assert (first.event, second.event) == (Event("message", "a", "1"), Event("message", "[DONE]", "1"))
        assert first.at < second.at
        assert [event async for event in events] == []
        assert response.end is End.CLEAN


async def test_read_until_stops_at_the_marker() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(b"data: a\n\n", Gate("never"), b"data: b\n\n"))
        response = await client.request("GET", "/")

        assert await response.read_until(b"a\n\n") == b"data: a\n\n"
        assert response.end is None


async def test_read_until_fails_at_the_end() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(b"data: a\n\n"))
        response = await client.request("GET", "/")

        with pytest.raises(AssertionError, match="did not come before the end"):
            await response.read_until(b"b")


async def test_waiting_for_a_body_ends() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(Hang()))
        response = await client.request("GET", "/")

        with pytest.raises(AssertionError, match="in vain"):
            await response.read(within=0.01)


async def test_informational_responses_are_kept_apart() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(before=[Informational(103, [("Link", "x")])], body=[b"a"]))

        response = await client.request("GET", "/")

        assert response.status == 200
        assert [head.header("link") for head in response.informational] == ["x"]


async def test_next_response_on_the_connection_starts_after_the_last() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        both = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + b"HTTP/1.1 204 No Content\r\n\r\n"
        upstream.script(verbatim(both))

        first = await client.request("GET", "/")
        await first.read()
        second = await client.response()

        assert (first.status, bytes(first.body)) == (200, b"a")
        assert (second.status, second.end) == (204, End.CLEAN)


async def test_http_1_0_asks_without_a_host_and_ends_with_the_connection() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(version="1.0", body=[b"a"], framing="close"))

        response = await client.request("GET", "/", version="1.0")
        body = await response.read()

        assert (await upstream.request()).head.raw == b"GET / HTTP/1.0\r\n\r\n"
        assert (response.version, body, response.end) == (b"HTTP/1.0", b"a", End.CLEAN)


async def test_connection_that_ends_without_a_response_fails() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(verbatim(Fin()))

        with pytest.raises(AssertionError, match="without a response"):
            await client.request("GET", "/")


async def test_answer_that_is_not_http_fails() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(verbatim(b"SSH-2.0\r\n\r\n"))

        with pytest.raises(BadMessage):
            await client.request("GET", "/")


async def test_slow_reader_fills_the_way() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port, receive_buffer=4096) as client:
        upstream.script(Reply(body=(bytes(65_536) for _ in range(128)), framing="close"))
        client.pause()
        await client.send_request("GET", "/")
        connection = await upstream.connected()
        await connection.bell.until(lambda: connection.congested, "a full socket")
        stuck = connection.sent_bytes

        client.resume()
        response = await client.response()

        assert stuck < 128 * 65_536
        assert len(await response.read()) == 128 * 65_536


async def test_leaving_is_seen_as_it_was_done() -> None:
    async with Upstream() as upstream:
        for _ in range(3):
            upstream.script(stream(b"data: a\n\n", Hang()))
        async with RawClient(HOST, upstream.port) as closing, RawClient(HOST, upstream.port) as resetting:
            for client in (closing, resetting):
                response = await client.request("GET", "/")
                await response.read_until(b"a\n\n")

            left = await closing.close()
            resetting.reset()

            closed = await upstream.closed(0)
            assert closed.how is How.FIN
            assert 0 <= closed.at - left < 1
            assert (await upstream.closed(1)).how is How.RST


async def test_half_close_is_a_fin() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        client.half_close()

        assert (await upstream.closed()).how is How.FIN
        assert (await client.closed()).how is How.FIN


async def test_silence_is_watched() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        assert await client.silent(0.01)

        upstream.script(stream(b"data: a\n\n"))
        await client.send_request("GET", "/")

        assert not await client.silent(0.05)


async def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        Upstream(tls=authority.server_context()) as upstream,
        RawClient(HOST, upstream.port, tls=authority.client_context()) as client,
    ):
        upstream.script(stream(b"data: a\n\n"))

        response = await client.request("GET", "/")

        assert await response.read() == b"data: a\n\n"
        assert response.end is End.CLEAN


async def test_json_is_parsed() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer({"a": 1}, status=404, headers=[("X-B", "c")]))

        response = await client.request("GET", "/")
        await response.read()

        assert (response.status, response.reason, response.header("x-b"), response.json()) == (404, b"Not Found", "c", {"a": 1})


async def test_a_port_refuses_when_nobody_listens_any_more() -> None:
    async with Upstream() as upstream:
        before = await refused(HOST, upstream.port)
        await upstream.stop()

        assert (before, await refused(HOST, upstream.port)) == (False, True)


async def test_a_listener_that_closes_under_a_connection_refuses_it() -> None:
    """The kernel resets what has not been accepted yet."""
    tasks = Tasks()
    with socket.create_server((HOST, 0)) as listener:
        asked = tasks.spawn(refused(*listener.getsockname()), name="connection")
        await asyncio.sleep(0)
        listener.close()

        assert await asked
