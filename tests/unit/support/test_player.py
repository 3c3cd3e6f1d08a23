"""A scripted reply goes onto the wire to the byte: framing, cuts, gates, ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import End, RawClient
from tests.support.http1 import chunk, last_chunk
from tests.support.upstream import (
    Close,
    Drip,
    Fin,
    Gate,
    Hang,
    How,
    Pause,
    Reply,
    Rst,
    Send,
    Upstream,
    answer,
    stream,
    verbatim,
)

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("reply", "raw"),
    [
        (Reply(body=[b"ab", b"c"]), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        (Reply(body=[Drip(b"abc", size=2)]), b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        (Reply(body=[b"ab"], trailers=[("T", "1")]), b"2\r\nab\r\n0\r\nT: 1\r\n\r\n"),
        (Reply(body=[b"a", Drip(b"bc")], framing="length"), b"abc"),
        (Reply(body=[b"abc"], framing="close"), b"abc"),
        (Reply(body=[Send(b"3\r\nab", raw=True), Drip(b"c\r\n0\r\n\r\n", raw=True)]), b"3\r\nabc\r\n0\r\n\r\n"),
        (Reply(headers=[("Content-Length", "2")], body=[b"ab"], framing="raw"), b"ab"),
    ],
)
async def test_body_is_framed_as_told(reply: Reply, raw: bytes) -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(reply)

        response = await client.request("GET", "/")
        await response.read()

        assert response.raw == raw
        assert response.end is End.CLEAN


async def test_each_dripped_byte_is_a_read_of_its_own() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(Drip(chunk(b"data: a\n\n") + last_chunk(), raw=True), framing="raw"))

        response = await client.request("GET", "/")
        reads: list[bytes] = []
        while (piece := await client.wire.take()) and not b"".join(reads).endswith(b"0\r\n\r"):
            reads.append(piece.data)

        assert set(map(len, reads)) == {1}
        assert response.header("transfer-encoding") is None


async def test_head_can_be_dripped_too() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(verbatim(Drip(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok", size=3)))

        response = await client.request("GET", "/")

        assert response.reason == b"Fine"
        assert await response.read() == b"ok"


async def test_gate_holds_the_head_back() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(before=[Gate("head")], body=[b"a", Pause(0.001), b"b"]))
        await client.send_request("GET", "/")

        await upstream.reached("head")
        assert client.wire.received == 0
        upstream.open("head")

        assert await (await client.response()).read() == b"ab"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_bodiless_answer_sends_no_body_and_keeps_the_connection(method: str, status: int) -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(status=status, body=[b"abc"], framing="length"), answer("next"))

        first = await client.request(method, "/")
        second = await client.request("GET", "/")

        assert first.header("content-length") == ("3" if method == "HEAD" else None)
        assert await second.read() == b'"next"'
        assert [request.fresh for request in upstream.requests] == [True, False]


async def test_bytes_after_the_end_are_sent() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(status=204, after=[Send(b"surplus", raw=True)]))

        await client.request("GET", "/")
        piece = await client.wire.take()

        assert piece is not None
        assert piece.data == b"surplus"


@pytest.mark.parametrize(("step", "how"), [(Fin(), How.FIN), (Close(), How.FIN), (Rst(), How.RST)])
async def test_connection_ends_before_the_head_as_told(step: Fin | Close | Rst, how: How) -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(verbatim(step))

        await client.send_request("GET", "/")

        assert (await client.closed()).how is how
        assert client.wire.received == 0


async def test_hanging_reply_ends_with_its_peer() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(b"data: a\n\n", Hang()))
        response = await client.request("GET", "/")
        await response.read_until(b"a")
        assert upstream.open_connections == 1

        await client.close()

        assert (await upstream.closed()).how is How.FIN
        assert upstream.open_connections == 0


async def test_endless_body_ends_with_its_peer() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65_536)

    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(Reply(body=endless(), framing="close"))
        await client.request("GET", "/")

        await client.close()

        connection = await upstream.connected()
        await connection.until_lost()
        assert connection.serving is not None
        await asyncio.wait([connection.serving], timeout=1)
        assert connection.serving.cancelled()


async def test_sent_pieces_are_dated() -> None:
    async with Upstream() as upstream, RawClient(HOST, upstream.port) as client:
        upstream.script(stream(b"data: a\n\n", Pause(0.02), b"data: b\n\n"))

        response = await client.request("GET", "/")
        await response.read()

        sent = upstream.connections[0].sent
        assert [piece.data for piece in sent] == [b"data: a\n\n", b"data: b\n\n"]
        assert all(0 <= read.at - write.at < 1 for read, write in zip(response.reads, sent, strict=True))
        assert sent[1].at - sent[0].at > 0.01


@pytest.mark.parametrize("step", [Fin(), Fin(notify=False), Rst()])
async def test_tls_streams_are_cut_as_told(tmp_path: Path, step: Fin | Rst) -> None:
    authority = Authority(tmp_path)
    async with (
        Upstream(tls=authority.server_context()) as upstream,
        RawClient(HOST, upstream.port, tls=authority.client_context()) as client,
    ):
        upstream.script(stream(b"data: a\n\n", step))

        response = await client.request("GET", "/")
        body = await response.read()

        assert body == b"data: a\n\n"
        assert response.end is (End.RESET if isinstance(step, Rst) else End.ABORTED)
