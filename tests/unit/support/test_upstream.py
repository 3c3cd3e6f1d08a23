"""The scripted upstream answers request by request as it is told, remembers what it saw, and fails the test at a surprise."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.support.client import RawClient
from tests.support.http1 import BadMessage
from tests.support.upstream import (
    Close,
    Fin,
    Gate,
    How,
    Reply,
    RequestSeen,
    Rst,
    Upstream,
    answer,
    closed_port,
    silent_port,
    verbatim,
)

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def eager_client(port: int) -> AsyncIterator[None]:
    """Send a request before the server can even have accepted the connection."""
    with socket.create_connection((HOST, port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        yield


async def test_replies_come_in_order_and_the_last_repeats_when_asked() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer(1), answer(2), repeat_last=True)

        bodies = [await (await client.request("GET", "/")).read() for _ in range(4)]

        assert bodies == [b"1", b"2", b"2", b"2"]


async def test_callable_sees_the_whole_request() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:

        def echo(request: RequestSeen) -> Reply:
            return answer({"said": request.json()})

        upstream.always(echo)

        response = await client.request("POST", "/", body=b'"hello"')

        assert await response.read() == b'{"said": "hello"}'


async def test_request_without_a_script_fails_the_test() -> None:
    async def surprised_test() -> None:
        async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
            response = await client.request("GET", "/")
            assert response.status == 599

    with pytest.raises(AssertionError, match=r"nothing is scripted for request 0, b'GET / HTTP/1\.1'"):
        await surprised_test()


async def test_failure_in_a_callable_fails_the_test() -> None:
    def broken(request: RequestSeen) -> Reply:
        raise LookupError(request.method)

    async def test() -> None:
        async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
            upstream.script(broken)
            await client.send_request("GET", "/")
            assert (await client.closed()).how is How.RST

    with pytest.raises(AssertionError, match="GET"):
        await test()


async def test_failing_test_is_told_of_the_upstreams_troubles() -> None:
    async def failing_test() -> None:
        async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
            await client.request("GET", "/")
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await failing_test()

    assert "nothing is scripted" in caught.value.__notes__[0]


@pytest.mark.parametrize("garbage", [b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nno field\r\n\r\n"])
async def test_request_that_is_not_http_fails_the_test(garbage: bytes) -> None:
    async def test() -> None:
        async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
            await client.send(garbage)
            await client.closed()

    with pytest.raises(AssertionError) as caught:
        await test()

    assert isinstance(caught.value.__cause__, BadMessage)


async def test_peer_that_leaves_in_mid_request_is_no_fault_and_gets_no_reply() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as head, RawClient(HOST, upstream.port) as body:
        upstream.script(answer({}))
        await head.send(b"GET / HT")
        await body.send(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        await upstream.bell.until(lambda: len(upstream.requests) == 1, "a head")
        await head.close()
        await body.close()
        await upstream.closed(0)
        await upstream.closed(1)

        assert [request.complete for request in upstream.requests] == [False]
        async with RawClient(HOST, upstream.port) as third:
            assert (await third.request("GET", "/")).status == 200  # the reply is still there


async def test_promised_keepalive_can_be_broken_at_a_chosen_moment() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer({}))
        await (await client.request("GET", "/")).read()

        await upstream.close_idle()

        assert upstream.connections[0].lost
        assert (await client.closed()).how is How.FIN


async def test_reused_connection_can_be_closed_on_receipt_of_a_request() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer({}), verbatim(Rst()))
        await (await client.request("GET", "/")).read()

        await client.send_request("POST", "/", body=b"x")

        assert (await client.closed()).how is How.RST
        assert [request.method for request in upstream.requests] == ["GET", "POST"]


@pytest.mark.parametrize(("step", "how"), [(Close(), How.RST), (Fin(), How.FIN)])
async def test_early_answer_leaves_the_body_unread(step: Close | Fin, how: How) -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(status=413, early=True, framing="length", before=[Gate("answer")], after=[step]))
        await client.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        await upstream.reached("answer")
        await client.send(b"x" * 50)
        upstream.open("answer")

        response = await client.response()

        assert response.status == 413
        assert not upstream.requests[0].complete
        assert (await client.closed()).how is how


async def test_early_answer_on_a_connection_that_stays_reads_the_body_afterwards() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(early=True, framing="length"), answer("next"))

        first = await client.request("POST", "/", [("Content-Length", "3")])
        await client.send(b"abc")
        second = await client.request("GET", "/")

        assert first.status == 200
        assert await second.read() == b'"next"'
        assert upstream.requests[0].body == b"abc"


async def test_upstream_that_never_reads_still_sees_a_reset() -> None:
    async with Upstream(reads=False) as upstream, RawClient(HOST, upstream.port) as client:
        await client.send_request("GET", "/")
        await upstream.connected()

        client.reset()

        assert (await upstream.closed()).how is How.RST
        assert upstream.requests == []


async def test_early_answer_that_ends_with_a_fin_lets_the_rest_of_the_body_flow_away() -> None:
    """Otherwise the peer would be stuck in writing, or a RST would destroy the answer before it is read."""
    size = 10_000_000
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(status=413, early=True, framing="length", after=[Fin()]))

        response = await client.request("POST", "/", [("Content-Length", str(size))])
        async with asyncio.timeout(5):
            await client.send(bytes(size))

        assert response.status == 413


async def test_upstream_that_never_reads_ignores_what_comes_with_the_connection() -> None:
    """uvloop has taken it before it can be told not to."""
    async with Upstream(reads=False) as upstream, eager_client(upstream.port):
        connection = await upstream.connected()
        await connection.settle()

        assert upstream.requests == []


async def test_upstream_begins_to_read_when_told() -> None:
    async with Upstream(reads=False) as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(answer("late"))
        await client.send_request("GET", "/")
        await upstream.connected()

        upstream.read()

        assert await (await client.response()).read() == b'"late"'


async def test_http_1_0_and_connection_close_end_the_connection() -> None:
    async with Upstream() as upstream:
        upstream.always(answer({}))
        for headers, version in [([], "1.0"), ([("Connection", "Close")], "1.1")]:
            async with RawClient(HOST, upstream.port) as client:
                await (await client.request("GET", "/", headers, version=version)).read()

                assert (await client.closed()).how is How.FIN


async def test_upstream_can_come_back_on_its_port() -> None:
    async with Upstream() as before:
        await before.stop()
        with pytest.raises(ConnectionRefusedError):
            async with RawClient(HOST, before.port):
                pass

        async with Upstream(port=before.port) as after, RawClient(HOST, after.port) as client:
            after.script(answer({}))

            assert (await client.request("GET", "/")).status == 200


async def test_closed_port_refuses() -> None:
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        async with RawClient(HOST, port):
            pass


async def test_silent_port_never_answers() -> None:
    with silent_port() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), RawClient(HOST, port):
            pass
