"""Everything under `limits:`: what is over it gets its own answer, what is slow is cut off, and every slot is given back."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import BUSY, GOOD, WHOLE, ask, look, until, without_comments
from tests.support.answers import TOKEN, delta
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.loops import both_loops
from tests.support.upstream import DONE, Drip, Fin, Gate, Hang, How, Rst, Upstream, answer, closed_port, stream, verbatim

pytestmark = both_loops

OTHER_KEY = "lp_test_of_another_tenant_0123456789"
FILES = "/upstream/a/v1/files"
OFTEN = {"keepalive_interval": "200ms"}
HELD = stream(TOKEN, Gate("rest"), DONE)
BIG = chat(padding="x" * 40_000)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def limited(upstream: Upstream, streaming: dict[str, str] | None = None, **limits: Any) -> Settings:
    """Return settings with these limits."""
    keys = [
        {"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()},
        {"id": "other", "sha256": hashlib.sha256(OTHER_KEY.encode()).hexdigest(), "max_streams": 2},
    ]
    return settings(
        upstream.url,
        auth={"api_keys": keys},
        limits=limits,
        streaming=streaming or {},
        retry={"max_body": "8KiB", "attempts": 1},
        upstreams={"a": {"passthrough": ["/v1/files"]}},
    )


async def assert_refused(house: House, response: Response, status: int, code: str, *, number: int = 0) -> None:
    """Assert that the answer and the record of a request speak of this limit."""
    assert (response.status, response.json()["error"]["code"], response.end) == (status, code, End.CLEAN)
    record = (await house.records(number + 1))[number]
    assert (record["outcome"], record["code"], record["status"]) == ("rejected_limit", code, status)
    assert await house.metric("llm_proxy_requests_total", outcome="rejected_limit", status=str(status)) == 1


async def assert_nothing_held(house: House) -> None:
    """Assert that no slot and no byte of a body is accounted for."""

    async def idle() -> bool:
        server = house.server
        return not len(server.lifecycle) and not server.lifecycle._subjects and not server._current.runtime.bodies.used

    await until(idle, "the last slot to be given back")


# How many at a time.


async def test_request_over_the_limit_of_the_process_gets_a_503(upstream: Upstream) -> None:
    upstream.script(HELD, GOOD)
    async with open_house(limited(upstream, streams=1)) as house, house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        over = await ask(house)
        health = await look(house, "/healthz")
        upstream.open("rest")
        await held.read()
        after = await ask(house)

        await assert_refused(house, over, 503, "too_many_streams")
        assert over.header("retry-after") == "1"
        assert (health.status, held.end, after.status) == (200, End.CLEAN, 200)
        assert len(upstream.requests) == 2


async def test_request_over_the_limit_is_shed_before_its_credential_is_looked_at(upstream: Upstream) -> None:
    upstream.script(HELD)
    async with open_house(limited(upstream, streams=1)) as house, house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        over = await ask(house, headers=[("Authorization", "Bearer wrong")])
        upstream.open("rest")
        await held.read()

        assert over.status == 503
        assert await house.metric("llm_proxy_auth_failures_total") == 0


async def test_subject_over_its_limit_gets_a_429_and_others_do_not(upstream: Upstream) -> None:
    upstream.script(HELD, GOOD, GOOD)
    async with open_house(limited(upstream, streams_per_subject=1)) as house, house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        over = await ask(house)
        another = await ask(house, headers=[("Authorization", f"Bearer {OTHER_KEY}")])
        upstream.open("rest")
        await held.read()
        after = await ask(house)

        await assert_refused(house, over, 429, "too_many_streams_of_subject")
        assert over.header("retry-after") == "1"
        assert (another.status, after.status) == (200, 200)
        assert (await house.records())[0]["subject"] == "tester"


async def test_key_may_have_a_limit_of_its_own(upstream: Upstream) -> None:
    upstream.script(HELD, HELD)
    headers = [("Authorization", f"Bearer {OTHER_KEY}")]
    async with open_house(limited(upstream, streams_per_subject=1)) as house, house.client() as first, house.client() as second:
        held = [await client.request("POST", CHAT, headers, chat()) for client in (first, second)]

        over = await ask(house, headers=headers)
        upstream.open("rest")
        for response in held:
            await response.read()

        assert [response.status for response in held] == [200, 200]
        await assert_refused(house, over, 429, "too_many_streams_of_subject")


# Bodies.


async def test_body_that_has_no_place_in_memory_gets_a_503(upstream: Upstream) -> None:
    """The memory is given back at the first relayed event, long before the end of the answer."""
    upstream.script(stream(Gate("begin"), TOKEN, Gate("rest"), DONE), GOOD, GOOD)
    async with open_house(limited(upstream, bodies="64KiB")) as house, house.client() as client:
        await client.send_request("POST", CHAT, BEARER, BIG)
        await upstream.reached("begin")

        over = await ask(house, BIG)
        small = await ask(house)
        upstream.open("begin")
        held = await client.response()
        await held.read_until(TOKEN)
        after = await ask(house, BIG)
        upstream.open("rest")
        await held.read()

        await assert_refused(house, over, 503, "bodies_full")
        assert over.header("retry-after") == "1"
        assert (small.status, after.status, held.end) == (200, 200, End.CLEAN)
        assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    "framing", [("Content-Length", "40000"), ("Transfer-Encoding", "chunked")], ids=["content-length", "chunked"]
)
async def test_body_counts_from_its_announcement_or_its_first_byte(upstream: Upstream, framing: tuple[str, str]) -> None:
    async with open_house(limited(upstream, bodies="64KiB")) as house:
        async with house.client() as client:
            await client.send_request("POST", CHAT, [*BEARER, framing])
            await client.send(b"%x\r\n" % 40_000 + bytes(39_000) if framing[1] == "chunked" else b"{")
            bodies = house.server._current.runtime.bodies

            async def counted() -> bool:
                return bodies.used >= 39_000

            await until(counted, "the first body to be counted")
            over = await ask(house, BIG)

        await assert_refused(house, over, 503, "bodies_full")
        assert (await house.records(2))[1]["outcome"] == "client_gone"
        await assert_nothing_held(house)


async def test_body_that_trickles_in_is_cut_off_at_its_deadline(upstream: Upstream) -> None:
    async with open_house(limited(upstream, body_timeout="1s")) as house, house.client() as client:
        began = time.monotonic()
        await client.send_request("POST", CHAT, [*BEARER, ("Content-Length", "1000")])
        async with asyncio.timeout(5):
            while not client.wire.inbox:
                await client.send(b" ")
                await asyncio.sleep(0.05)
        response = await client.response()
        took = time.monotonic() - began
        await response.read()

        assert took == pytest.approx(1, abs=0.2)
        await assert_refused(house, response, 408, "body_timeout")
        assert upstream.connections == []


async def test_upload_that_stops_is_cut_off_at_its_deadline_and_its_upstream_closed(upstream: Upstream) -> None:
    async with open_house(limited(upstream, body="1MiB", body_timeout="500ms")) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Content-Length", "100000")])
        began = await client.send(bytes(50_000))

        response = await client.response()
        took = time.monotonic() - began
        await response.read()

        assert 0.4 < took < 1
        await assert_refused(house, response, 408, "body_timeout")
        await upstream.closed()
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


# Heads, and connections between requests.


async def test_head_that_trickles_in_is_cut_off_at_its_deadline(upstream: Upstream) -> None:
    async with open_house(limited(upstream, header_timeout="1s")) as house, house.client() as client:
        began = time.monotonic()
        await client.send(b"GET /auth/ping HTTP/1.1\r\nHost: proxy\r\nX-Slow: ")
        async with asyncio.timeout(5):
            while not client.wire.inbox:
                await client.send(b"x")
                await asyncio.sleep(0.05)
        response = await client.response()
        took = time.monotonic() - began
        await response.read()

        assert 0.9 < took < 2, "the ticker looks every 200 ms"
        assert response.header("content-type") == "application/json"
        await assert_refused(house, response, 408, "header_timeout")
        await client.closed()  # by a RST, if a byte came in the last moment
        assert len(await house.records()) == 1


async def test_connection_that_never_speaks_is_closed(upstream: Upstream) -> None:
    async with open_house(limited(upstream, header_timeout="500ms")) as house:
        began = time.monotonic()
        async with house.client() as client:
            closed = await client.closed()

            assert 0.4 < closed.at - began < 1
            assert not client.wire.inbox, "there was no request to answer"


async def test_slow_head_of_a_second_request_is_cut_off_too(upstream: Upstream) -> None:
    async with open_house(limited(upstream, header_timeout="500ms")) as house, house.client() as client:
        await (await client.request("GET", "/auth/ping", BEARER)).read()
        await client.send(b"GET /auth/ping HTTP/1.1\r\n")

        response = await client.response()
        await response.read()

        await assert_refused(house, response, 408, "header_timeout", number=1)


async def test_idle_connection_may_wait_longer_than_a_head_may_take(upstream: Upstream) -> None:
    """Otherwise a front proxy's pooled connections would be closed under its requests."""
    async with open_house(limited(upstream, header_timeout="200ms", keepalive_timeout="10s")) as house, house.client() as client:
        await (await client.request("GET", "/auth/ping", BEARER)).read()

        quiet = await client.silent(0.7)
        response = await client.request("GET", "/auth/ping", BEARER)

        assert (quiet, response.status) == (True, 200)


async def test_long_answer_is_no_slow_head(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with (
        open_house(limited(upstream, OFTEN, header_timeout="200ms", keepalive_timeout="300ms")) as house,
        house.client() as client,
    ):
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(b": keepalive\n\n" * 3)
        upstream.open("rest")
        await response.read()

        assert response.end is End.CLEAN


async def test_idle_connection_is_closed_at_its_limit(upstream: Upstream) -> None:
    async with open_house(limited(upstream, header_timeout="5s", keepalive_timeout="600ms")) as house, house.client() as client:
        await (await client.request("GET", "/auth/ping", BEARER)).read()
        began = time.monotonic()

        closed = await client.closed()

        assert closed.how is How.FIN
        assert 0.5 < closed.at - began < 1.2
        assert len(await house.records()) == 1


# Live streams.


async def test_stream_that_is_too_old_is_told_so_and_cut(upstream: Upstream) -> None:
    upstream.script(stream(Drip(TOKEN * 200, size=len(TOKEN), gap=0.02)))
    async with open_house(limited(upstream, stream_age="1s")) as house:
        began = time.monotonic()
        response = await ask(house)
        took = time.monotonic() - began

        assert 0.9 < took < 2.5  # the last words have a moment to be read
        assert response.end in (End.ABORTED, End.RESET)
        assert b'"code":"expired"' in bytes(response.body).split(b"\n\n")[-2]
        assert b"[DONE]" not in response.body
        assert (await house.records())[0]["outcome"] == "expired"
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0
        await upstream.closed()


async def test_request_that_waits_too_long_for_its_first_token_is_too_old_as_well(upstream: Upstream) -> None:
    upstream.script(verbatim(Hang()))
    async with open_house(limited(upstream, stream_age="500ms")) as house:
        response = await ask(house)

        assert (response.status, response.json()["error"]["code"]) == (504, "expired")
        assert (await house.records())[0]["outcome"] == "expired"
        await upstream.closed()


async def test_client_that_does_not_read_is_cut_off(upstream: Upstream) -> None:
    upstream.script(stream(*[delta(content="x" * 60_000)] * 400, Hang()))
    async with open_house(limited(upstream, write_stall="1s")) as house, house.client(receive_buffer=4096) as client:
        client.pause()
        await client.send_request("POST", CHAT, BEARER, chat())

        await upstream.closed(within=10)

        record = (await house.records())[0]
        assert (record["outcome"], record["code"]) == ("client_stalled", "client_stalled")
        assert record["duration_ms"] > 900
        assert upstream.connections[0].sent_bytes < 24_000_000, "the upstream was held back"
        await assert_nothing_held(house)


# Slots.


async def leaves_before_the_answer(house: House, upstream: Upstream) -> None:
    async with house.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat())
        await upstream.request()


async def leaves_in_the_middle(house: House, upstream: Upstream) -> None:
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)


async def leaves_inside_its_body(house: House, upstream: Upstream) -> None:
    async with house.client() as client:
        await client.send_request("POST", CHAT, [*BEARER, ("Content-Length", "30000")])
        await client.send(b"{")

        async def admitted() -> bool:
            return len(house.server.lifecycle) == 1

        await until(admitted, "the request to be admitted")


async def asks(house: House, upstream: Upstream) -> None:
    await ask(house)


async def has_no_credential(house: House, upstream: Upstream) -> None:
    await ask(house, headers=[])


async def has_a_bad_body(house: House, upstream: Upstream) -> None:
    await ask(house, b"{" * 1000)


async def has_too_large_a_body(house: House, upstream: Upstream) -> None:
    await ask(house, bytes(70_000))


async def asks_for_an_unknown_model(house: House, upstream: Upstream) -> None:
    await ask(house, chat(model="none"))


async def asks_for_an_unknown_path(house: House, upstream: Upstream) -> None:
    await look(house, "/nothing")


async def leaves_the_test_stream(house: House, upstream: Upstream) -> None:
    async with house.client() as client:
        response = await client.request("GET", "/test/stream?count=10&interval=60", BEARER)
        await response.read_until(b"tick")


ENDS: dict[str, tuple[Callable[[House, Upstream], Awaitable[None]], list[Any]]] = {
    "completed": (asks, [GOOD]),
    "upstream's error": (asks, [answer(BUSY, 400)]),
    "upstream's failure": (asks, [answer(BUSY, 500)]),
    "cut by the upstream": (asks, [stream(TOKEN, Fin())]),
    "reset by the upstream": (asks, [stream(TOKEN, Rst())]),
    "no answer": (asks, [verbatim(Rst())]),
    "too late": (asks, [verbatim(Hang())]),
    "stalled": (asks, [stream(TOKEN, Hang())]),
    "left before the answer": (leaves_before_the_answer, [verbatim(Hang())]),
    "left in the middle": (leaves_in_the_middle, [stream(TOKEN, Hang())]),
    "left inside its body": (leaves_inside_its_body, []),
    "left the test stream": (leaves_the_test_stream, []),
    "no credential": (has_no_credential, []),
    "bad body": (has_a_bad_body, []),
    "too large": (has_too_large_a_body, []),
    "unknown model": (asks_for_an_unknown_model, []),
    "unknown path": (asks_for_an_unknown_path, []),
}


@pytest.mark.parametrize(("use", "script"), ENDS.values(), ids=ENDS.keys())
async def test_slots_are_given_back_however_a_request_ends(
    upstream: Upstream, use: Callable[[House, Upstream], Awaitable[None]], script: list[Any]
) -> None:
    upstream.script(*script)
    clocks = {"first_token_timeout": "300ms", "idle_timeout": "300ms"}
    async with open_house(limited(upstream, clocks, streams=1, streams_per_subject=1, bodies="32KiB", body="32KiB")) as house:
        await use(house, upstream)
        await house.records()
        await assert_nothing_held(house)
        upstream.script(GOOD)

        response = await ask(house, chat(padding="x" * 30_000))

        assert (response.status, without_comments(response)) == (200, WHOLE)
        assert len(await house.records(2)) == 2


async def test_slot_of_a_request_that_finds_no_upstream_is_given_back() -> None:
    with closed_port() as port:
        configured = settings(f"http://127.0.0.1:{port}", limits={"streams": 1}, retry={"attempts": 1})
        async with open_house(configured) as house:
            statuses = [(await ask(house)).status for _ in range(3)]

            assert statuses == [502] * 3
            await assert_nothing_held(house)
