"""A client that leaves: whatever its request was waiting for, the upstream is let go at once and nothing is retried (P15, P16)."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.exchange import Phase
from proxy.settings import Settings
from proxy.tasks import Tasks
from tests.support.answers import FINISH, KEEPALIVE, TOKEN, ask, at_rest, only_record, phase_of, quick, send, until
from tests.support.client import End, RawClient
from tests.support.house import BEARER, FAR, chat, open_house
from tests.support.loops import both_loops
from tests.support.steps import Script
from tests.support.upstream import DONE, Gate, Hang, How, Reply, Upstream, answer, silent_port, stream, verbatim

pytestmark = both_loops

BOUND = 0.1  # seconds from the client's FIN or RST to the end of the upstream's connection
HALF = b'data: {"choices": [{"del'
JSON = b'{"choices": [{"message": {"content": "Hi"}}]}'
BUSY = {"error": {"message": "please wait", "type": "server_error", "code": "busy"}}
UPLOAD = [*BEARER, ("Content-Length", str(1 << 30))]
SYN_SENT = 2  # netinet/tcp.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a request stands when its client leaves."""

    reply: Script
    phase: str
    shown: bytes = b""  # what the client has read before it leaves; nothing: the upstream's gate says when
    stream: bool = True
    streaming: dict[str, Any] = field(default_factory=dict)


HERE = Gate("here")
MOMENTS = {
    "waiting for headers": Moment(reply=verbatim(HERE), phase="headers"),
    "inside the head": Moment(reply=verbatim(b"HTTP/1.1 200 OK\r\nContent-Ty", HERE), phase="headers"),
    "waiting for the first event": Moment(reply=stream(HERE), phase="first_token"),
    "inside the first event": Moment(reply=stream(HALF, HERE), phase="first_token"),
    "between comments": Moment(reply=stream(b": processing\n\n", HERE), phase="first_token"),
    "behind an early commit": Moment(reply=verbatim(HERE), phase="headers", shown=KEEPALIVE, streaming={"commit_after": "0s"}),
    "inside a refusal": Moment(reply=Reply(status=503, body=[b"{", HERE], framing="length", length=99), phase="first_token"),
    "between tokens": Moment(reply=stream(TOKEN, HERE), phase="streaming", shown=TOKEN),
    "inside an event": Moment(reply=stream(TOKEN, HALF, HERE), phase="streaming", shown=TOKEN + HALF),
    "behind keepalives": Moment(reply=stream(TOKEN, HERE), phase="streaming", shown=TOKEN + KEEPALIVE),
    "no stream, waiting for headers": Moment(reply=verbatim(HERE), phase="headers", stream=False),
    "no stream, waiting for the body": Moment(reply=Reply(body=[HERE]), phase="first_token", stream=False),
    "no stream, inside the body": Moment(reply=Reply(body=[JSON[:9], HERE]), phase="streaming", shown=JSON[:9], stream=False),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
async def test_p15_p16_the_upstream_is_closed_within_100_ms_in_every_phase(moment: Moment) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=moment.streaming)) as house:
        upstream.always(moment.reply)

        delays: dict[str, list[float]] = {name: [] for name in LEAVE}
        for number, name in enumerate(list(LEAVE) * 3):
            async with house.client() as client:
                await send(client, stream=moment.stream)
                await upstream.reached("here", times=number + 1)
                if moment.shown:
                    await (await client.response()).read_until(moment.shown)
                left = time.monotonic()
                LEAVE[name](client)
                closed = await upstream.closed(number)
                delays[name].append(closed.at - left)
                assert closed.how is not How.LOCAL
        records = await house.records(number + 1)

        assert {name: statistics.median(taken) < BOUND for name, taken in delays.items()} == dict.fromkeys(LEAVE, True), delays
        assert {(record["outcome"], record["phase"]) for record in records} == {("client_gone", moment.phase)}
        assert len(upstream.requests) == len(upstream.connections) == len(records), "retried, or returned to the pool"
        assert await house.metric("llm_proxy_requests_total", outcome="client_gone") == len(records)
        assert await house.metric("llm_proxy_client_disconnects_total", phase=moment.phase) == len(records)
        assert await house.metric("llm_proxy_cancel_seconds_count") == len(records)
        assert await house.metric("llm_proxy_cancel_seconds_bucket", le="0.1") >= len(records) / 2
        assert await house.metric("llm_proxy_streams_in_flight") == 0


async def test_p15_a_client_that_leaves_while_the_upstream_is_dialed_ends_the_dialing() -> None:
    with silent_port() as port:
        async with open_house(quick(f"http://127.0.0.1:{port}")) as house, house.client() as client:
            before = dialing()

            await send(client)
            await until(lambda: phase_of(house) is Phase.CONNECTING and dialing() > before)
            left = time.monotonic()
            client.half_close()
            await until(lambda: dialing() == before)
            took = time.monotonic() - left

            assert took < BOUND
            record = await only_record(house)
            assert (record["outcome"], record["phase"]) == ("client_gone", "connecting")


@pytest.mark.parametrize("commit_after", [FAR, "0s"], ids=["before the commit", "behind an early commit"])
async def test_p15_a_client_that_leaves_during_a_backoff_gets_no_further_attempt(commit_after: str) -> None:
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, streaming={"commit_after": commit_after})) as house,
        house.client() as client,
    ):
        upstream.script(answer(BUSY, 503, headers=[("Retry-After", "2")]))

        await send(client)
        await until(lambda: phase_of(house) is Phase.BACKOFF)
        left = time.monotonic()
        client.half_close()
        await house.server.lifecycle.idle()
        took = time.monotonic() - left

        assert took < BOUND
        record = await only_record(house)
        assert (record["outcome"], record["phase"]) == ("client_gone", "backoff")
        assert len(upstream.requests) == 1


async def test_p15_a_client_that_leaves_inside_its_own_request_reaches_no_upstream() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        body = chat()

        await client.send_request("POST", "/v1/chat/completions", [*BEARER, ("Content-Length", str(len(body)))], body[:9])
        await until(lambda: phase_of(house) is Phase.REQUEST)
        client.half_close()

        record = await only_record(house)
        assert (record["outcome"], record["phase"]) == ("client_gone", "request")
        assert not upstream.connections


async def test_p15_a_client_that_leaves_inside_an_upload_ends_it() -> None:
    async with Upstream() as upstream, open_house(uploading(upstream.url)) as house, house.client() as client:
        await client.send_request("POST", "/upstream/a/v1/files", UPLOAD, bytes(100_000))
        await until(lambda: bool(upstream.requests))
        left = time.monotonic()
        client.reset()
        closed = await upstream.closed()

        assert closed.at - left < BOUND
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_p15_a_client_that_leaves_inside_an_upload_is_missed_also_while_nothing_is_read_from_it() -> None:
    async with Upstream(reads=False) as upstream, open_house(uploading(upstream.url)) as house, house.client() as client:
        sending = Tasks().spawn(client.send_request("POST", "/upstream/a/v1/files", UPLOAD, bytes(32 << 20)), name="upload")
        await upstream.connected()
        await until(lambda: client.wire.congested)
        await at_rest(client.wire.transport.get_write_buffer_size)
        left = time.monotonic()
        client.reset()
        await house.server.lifecycle.idle()
        took = time.monotonic() - left
        upstream.read()  # a FIN arrives behind what was sent before it
        await upstream.closed()
        await sending

        assert took < BOUND
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_p16_the_gauge_of_streams_in_flight_goes_back_to_zero() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        response = await ask(client)
        await response.read_until(TOKEN)
        during = await house.metric("llm_proxy_streams_in_flight", route="chat", upstream="a")
        await client.close()
        await only_record(house)

        assert during == 1
        assert await house.metric("llm_proxy_streams_in_flight") == 0
        assert await house.metric("llm_proxy_upstream_attempts_total", result="cancelled") == 1


async def test_p16_a_pooled_connection_is_closed_too_and_not_pooled_again() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, DONE), stream(TOKEN, Hang()), stream(TOKEN, DONE))

        await (await ask(client)).read()
        await (await ask(client)).read_until(TOKEN)
        left = await client.close()
        closed = await upstream.closed()
        async with house.client() as another:
            await (await ask(another)).read()

        assert not (await upstream.request(1)).fresh
        assert closed.at - left < BOUND
        assert (await upstream.request(2)).fresh


async def test_p16_a_client_that_half_closes_over_http_1_0_does_not_get_a_good_end() -> None:
    """It may still be reading, and for it a FIN says that the answer is complete."""
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        response = await ask(client, version="1.0")
        await response.read_until(TOKEN)
        client.half_close()
        await response.read()

        assert response.end is End.RESET


async def test_each_request_is_recorded_once_however_its_client_and_its_upstream_race() -> None:
    """Invariant 7: the client leaves at every turn of the event loop between its request and the end of the answer."""
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house:
        upstream.always(stream(TOKEN, FINISH, DONE))

        async def leave_after(turns: int) -> None:
            async with house.client() as client:
                await send(client)
                await until(lambda: phase_of(house) is not None)
                for _ in range(turns):
                    await asyncio.sleep(0)

        for turns in range(40):
            await leave_after(turns)
            await house.server.lifecycle.idle()
        records = await house.records(40)

        outcomes = Counter(record["outcome"] for record in records)
        assert len({record["id"] for record in records}) == len(records) == 40
        assert set(outcomes) == {"client_gone", "completed"}
        for outcome, count in outcomes.items():
            assert await house.metric("llm_proxy_requests_total", outcome=outcome) == count
        assert await house.metric("llm_proxy_requests_total") == 40


LEAVE: dict[str, Callable[[RawClient], None]] = {
    "closed": lambda client: client.wire.close(),
    "reset": RawClient.reset,
    "half-closed": RawClient.half_close,
}


def uploading(url: str) -> Settings:
    upstream = {"a": {"passthrough": ["/v1/files"]}}
    return quick(url, upstreams=upstream, retry={"max_body": "16KiB"}, limits={"body": "2GiB"})


def dialing() -> int:
    """Return how many sockets of this process wait for an answer to their SYN, as the kernel knows it."""
    return sum(tcp_state(f"/proc/self/fd/{descriptor}") == SYN_SENT for descriptor in os.listdir("/proc/self/fd"))


def tcp_state(path: str) -> int | None:
    """Return a socket's state; None for anything else."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return None
    with socket.socket(fileno=os.dup(int(path.rpartition("/")[2]))) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] if sock.family == socket.AF_INET else None
