"""What reaches the client of a live stream: every byte, in order, at once, with frames between events only (P1 to P11)."""

from __future__ import annotations

import asyncio
import gzip
import os
import select
import socket
import statistics
from dataclasses import replace

import pytest

from proxy.exchange import Phase
from proxy.upstream.connection import UpstreamConnection
from tests.support.answers import FINISH, KEEPALIVE, TOKEN, ask, delta, intervals_pass, phase_of, quick, send, until
from tests.support.client import End
from tests.support.house import FAR, open_house
from tests.support.http1 import chunk
from tests.support.loops import both_loops
from tests.support.streams import BOM, Case, Tick, random_cases
from tests.support.upstream import DONE, Drip, Gate, Pause, Reply, RequestSeen, Upstream, answer, stream
from tests.support.whatwg import events, openai_events

pytestmark = both_loops

BOUND = 0.02  # seconds from the upstream's write to the client's read
FRAME = b": put in by the proxy\n"
ONLY_ITS_BYTES = {"keepalive_style": "off"}
TOKENS = [delta(content=f"word {number}") for number in range(12)]


async def test_p1_each_event_arrives_at_once_and_alone() -> None:
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, streaming=ONLY_ITS_BYTES)) as house,
        house.client() as client,
    ):
        upstream.script(stream(*[step for token in TOKENS for step in (token, Pause(0.05))], DONE))

        response = await ask(client)
        came = [dated.at async for dated in response.events()]

        sent = [piece.at for piece in upstream.connections[0].sent]
        assert response.chunks == [len(data) for data in (*TOKENS, DONE)]
        assert statistics.median(there - here for here, there in zip(sent, came, strict=True)) < BOUND


async def test_p1_a_byte_is_in_the_clients_socket_when_the_callback_that_got_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 2. A median cannot see a task switch; the kernel can, because the event loop has had no turn yet."""
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        waiting_for_client: list[bytes] = []
        receive = UpstreamConnection.data_received

        def watched(connection: UpstreamConnection, data: bytes) -> None:
            receive(connection, data)
            waiting_for_client.append(in_kernel(client.wire.transport.get_extra_info("socket").fileno()))

        monkeypatch.setattr(UpstreamConnection, "data_received", watched)
        upstream.script(stream(TOKENS[0], Gate("live"), *TOKENS[1:], DONE))

        response = await ask(client)
        await response.read_until(TOKENS[0])
        waiting_for_client.clear()
        upstream.open("live")
        await response.read()

        assert waiting_for_client[: len(TOKENS)] == [chunk(data) for data in (*TOKENS[1:], DONE)]


async def test_p2_an_event_that_comes_byte_by_byte_goes_on_byte_by_byte() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("live"), Drip(TOKEN), Drip(chunk(TOKEN), raw=True), DONE))

        response = await ask(client)
        await response.read_until(TOKEN)
        upstream.open("live")
        body = await response.read()

        assert body == TOKEN * 3 + DONE
        assert response.chunks[1:] == [1] * 2 * len(TOKEN) + [len(DONE)]


async def test_p3_keepalives_fill_a_silence_between_events_and_nothing_else_changes() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("first"), TOKEN, Gate("second"), FINISH, DONE))

        response = await ask(client)
        await response.read_until(TOKEN + KEEPALIVE * 3)
        upstream.open("first")
        await response.read_until(TOKEN + KEEPALIVE * 3 + TOKEN + KEEPALIVE * 3)
        upstream.open("second")
        body = await response.read()

        assert body.replace(KEEPALIVE, b"") == TOKEN * 2 + FINISH + DONE
        assert response.end is End.CLEAN


@pytest.mark.parametrize(
    ("stalled", "rest"),
    [
        pytest.param(b'data: {"a"', b": 1}\n\n", id="P4 inside a line"),
        pytest.param(b"data: x\r", b"\n\r\n", id="P5 between CR and LF"),
        pytest.param(b"data: x\r\n", b"\r\n", id="P6 after one CRLF"),
        pytest.param(b"data: x\n", b"\n", id="after one LF"),
        pytest.param(b"data: x\r\n\r", b"\n", id="in the last CRLF"),
        pytest.param(b"event: e\ndata: x\n", b"data: y\n\n", id="between two lines"),
        pytest.param(b"data: \xe2\x82", b"\xac\n\n", id="inside a character"),
        pytest.param(b": half a comment", b"\n\n", id="inside a comment"),
    ],
)
async def test_nothing_is_put_into_an_event_that_stalls(stalled: bytes, rest: bytes) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, stalled, Gate("rest"), rest, Gate("end"), DONE))

        response = await ask(client)
        await response.read_until(stalled)
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")
        await response.read_until(stalled + rest + KEEPALIVE)
        upstream.open("end")
        body = await response.read()

        assert body.replace(KEEPALIVE, b"") == TOKEN + stalled + rest + DONE
        assert events(body) == events(TOKEN + stalled + rest + DONE)


@pytest.mark.parametrize("frames_first", [True, False], ids=["behind a keepalive", "untouched"])
@pytest.mark.parametrize("marks", [BOM, BOM + BOM], ids=["format-bom", "format-bom-2"])
async def test_p7_a_byte_order_mark_never_costs_the_first_event(marks: bytes, frames_first: bool) -> None:
    """After a frame of ours a BOM is no longer the first of the stream, and would spoil the field behind it."""
    body = b"data: 1\n\ndata: 2\n\n" + DONE
    streaming = {"commit_after": "0s" if frames_first else FAR}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(Gate("late"), Drip(marks), body))

        await send(client)
        await upstream.reached("late")
        if frames_first:
            response = await client.response()
            await response.read_until(KEEPALIVE)
            upstream.open("late")
        else:
            upstream.open("late")
            response = await client.response()
        got = await response.read()

        assert got.replace(KEEPALIVE, b"") == marks[len(BOM) if frames_first else 0 :] + body
        assert events(got) == events(marks + body)


async def test_p8_after_an_id_no_frame_makes_openai_python_see_an_empty_event() -> None:
    numbered = b"id: 7\n" + TOKEN
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(numbered, Gate("rest"), TOKEN, DONE))

        response = await ask(client)
        await response.read_until(numbered + b": keepalive\n" * 3)
        upstream.open("rest")
        body = await response.read()

        assert openai_events([body]) == openai_events([numbered + TOKEN + DONE])


@pytest.mark.parametrize("asked_for_stream", [True, False])
async def test_p9_nothing_is_put_into_a_slow_json_body(asked_for_stream: bool) -> None:
    """Also where a stream was asked for: then the head of the answer says that no event stream will come."""
    text = b'{"id": "1", "choices": []}'
    streaming = {"commit_after": "50ms"}
    reply = replace(answer(text), body=[Gate("head"), text[:9], Gate("rest"), text[9:]], length=len(text))
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(reply)

        house.server.ticker.stop()  # no time passes until the head of the answer is in
        await send(client, stream=asked_for_stream)
        await upstream.reached("head")
        await until(lambda: phase_of(house) is Phase.FIRST_TOKEN)
        house.server.ticker.start()
        await intervals_pass(house, upstream)
        upstream.open("head")
        response = await client.response()
        await response.read_until(text[:9])
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")
        body = await response.read()

        assert response.header("content-type") == "application/json"
        assert response.header("content-length") == str(len(text))
        assert body == text


async def test_p10_an_event_stream_with_a_length_is_framed_anew() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        body = TOKEN + TOKEN + DONE
        upstream.script(stream(TOKEN, Gate("rest"), TOKEN, DONE, framing="length"))

        response = await ask(client)
        await response.read_until(TOKEN + KEEPALIVE)
        upstream.open("rest")
        got = await response.read()

        assert response.header("content-length") is None
        assert response.header("transfer-encoding") == "chunked"
        assert response.end is End.CLEAN
        assert got.replace(KEEPALIVE, b"") == body


async def test_p11_an_encoded_event_stream_passes_unchanged() -> None:
    packed = gzip.compress(TOKEN + DONE)
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(packed[:20], Gate("rest"), packed[20:], headers=[("Content-Encoding", "gzip")]))

        response = await ask(client)
        await response.read_until(packed[:20])
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")
        body = await response.read()

        assert response.header("content-encoding") == "gzip"
        assert body == packed
        assert response.end is End.CLEAN


@pytest.mark.parametrize(
    ("commit_after", "lead"), [("0s", b""), (FAR, TOKEN)], ids=["frames from the start", "frames behind an event"]
)
async def test_every_stream_keeps_its_bytes_and_its_events_whatever_is_put_between(commit_after: str, lead: bytes) -> None:
    """Invariant 1, over sockets: the pure rules have their own properties, this is the way through the house."""
    made = [Case(case.stream + b"\n\n" + DONE, case.cuts, case.ticks) for case in random_cases(40, seed=11)]
    clocks = {"commit_after": commit_after, "keepalive_interval": "5ms"}
    style = {"keepalive_style": "comment-lf", "keepalive_text": "put in by the proxy"}
    patient = {"a": {"connect_timeout": "20s"}}  # all of them dial at once, and frames keep the loop busy
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=clocks | style, upstreams=patient)) as house:
        upstream.always(lambda request: reply_to(request, lead, made))

        async def through(number: int) -> bytes:
            async with house.client() as client:
                response = await ask(client, seed=number)
                body = await response.read()
                assert response.end is End.CLEAN
                return body

        bodies = await asyncio.gather(*map(through, range(len(made))))

    assert sum(FRAME in body for body in bodies) > len(made) / 3, "hardly any frame was put in"
    for case, body in zip(made, bodies, strict=True):
        expected = lead + case.stream
        assert body.replace(FRAME, b"") == (expected.removeprefix(BOM) if body.startswith(FRAME) else expected)
        assert events(body) == events(expected)


def in_kernel(descriptor: int) -> bytes:
    """Return what waits in a socket, unread. The event loop stands still meanwhile; loopback itself may take a moment."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT) if select.select([sock], [], [], BOUND)[0] else b""


def reply_to(request: RequestSeen, lead: bytes, made: list[Case]) -> Reply:
    """Answer with *lead* and the case whose number stands in the request's `seed`; a tick is a silence of a few intervals."""
    steps = [Pause(0.015) if isinstance(step, Tick) else step for step in made[request.json()["seed"]].steps()]
    return stream(lead, *steps) if lead else stream(*steps)
