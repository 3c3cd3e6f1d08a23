"""Uploads that are too large to be tried again: they flow through once, at the pace of both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import BUSY, FILES, ask, listed, look, until
from tests.support.house import BEARER, open_house
from tests.support.loops import both_loops
from tests.support.upstream import Close, Fin, Gate, Reply, Upstream, answer

JSON = {"ok": True}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


LARGE = bytes(range(256)) * 1200  # above what the kernel and the parser hold back


def uploading(upstream: Upstream, **changes: Any) -> Settings:
    """Return settings under which 8 KiB may be tried again, and 1 MiB be sent."""
    limits = {"body": "1MiB", **changes.pop("limits", {})}
    return listed(upstream, retry={"max_body": "8KiB"}, limits=limits, **changes)


def framed(data: bytes, *, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if chunked else data


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_large_upload_flows_through_as_it_comes(upstream: Upstream, chunked: bool) -> None:
    upstream.script(answer(JSON))
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(LARGE)))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, framing])
        await client.send(framed(LARGE[:100_000], chunked=chunked))
        await upstream.connected()

        async def half_is_there() -> bool:
            return bool(upstream.requests) and len(upstream.requests[0].body) == 100_000

        await until(half_is_there, "the first half of the upload")
        await client.send(framed(LARGE[100_000:], chunked=chunked) + (b"0\r\n\r\n" if chunked else b""))
        response = await client.response()
        await response.read()

        seen = await upstream.request()
        assert (response.json(), seen.body) == (JSON, LARGE)
        assert seen.header("content-length") == (None if chunked else str(len(LARGE)))
        assert (await house.records())[0]["bytes_in"] == len(LARGE)


@pytest.mark.parametrize(("size", "calls"), [(8192, 3), (8193, 1)])
async def test_upload_above_the_retry_limit_is_sent_once(upstream: Upstream, size: int, calls: int) -> None:
    upstream.always(answer(BUSY, 503))
    async with open_house(uploading(upstream)) as house:
        response = await ask(house, bytes(size), target=FILES)

        assert (response.status, response.json()) == (503, BUSY)
        assert [len(request.body) for request in upstream.requests] == [size] * calls


@pytest.mark.parametrize("after", [[Fin()], [Close()], []], ids=["closes", "resets", "stays"])
async def test_early_refusal_of_an_upload_is_delivered_at_once(upstream: Upstream, after: list[Fin | Close]) -> None:
    """It is worth more to the client than the news of a closed connection; and the connection is out of step."""
    refusal = Reply(status=413, early=True, framing="length", before=[Gate("answer")], body=[b"too large"], after=after)
    upstream.script(refusal, answer(JSON))
    async with open_house(uploading(upstream)) as house:
        async with house.client() as client:
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
            await client.send(LARGE[:100])
            await upstream.reached("answer")
            upstream.open("answer")

            response = await client.response()
            await response.read()
        following = await look(house, FILES)

        assert (response.status, bytes(response.body)) == (413, b"too large")
        assert (following.json(), upstream.requests[1].connection) == (JSON, 1)
        assert (await house.records(2))[0]["outcome"] == "upstream_error"


@both_loops
@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("sent", [100, 100_000], ids=["nothing waits", "some of it waits"])
async def test_rest_of_an_upload_that_was_answered_early_is_read_and_the_next_request_served(
    upstream: Upstream, status: int, sent: int
) -> None:
    upstream.script(Reply(status=status, early=True, framing="length", body=[b"early"]), answer(JSON))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
        await client.send(LARGE[:sent])
        early = await client.response()
        await early.read()

        await client.send(LARGE[sent:])
        following = await client.request("GET", FILES, BEARER)
        await following.read()

        assert (early.status, following.status, following.json()) == (status, 200, JSON)


async def test_upload_that_a_forward_proxy_refuses_is_not_tried_again(upstream: Upstream) -> None:
    """What has been read of it is gone: a second attempt would tell the upstream that nothing was all of it."""
    upstream.script(Reply(status=407, early=True, framing="length", before=[Gate("answer")], length=0), answer(JSON))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Transfer-Encoding", "chunked")])
        await client.send(framed(LARGE[:9000], chunked=True))
        await upstream.reached("answer")
        upstream.open("answer")

        response = await client.response()
        await response.read()

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_connect_failed")
        assert len(upstream.requests) == 1


async def test_chunked_upload_over_the_limit_gets_a_413_and_its_upstream_is_closed(upstream: Upstream) -> None:
    upstream.script(answer(JSON))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Transfer-Encoding", "chunked")])
        for _ in range(17):
            await client.send(framed(bytes(65536), chunked=True))

        response = await client.response()
        await response.read()

        assert (response.status, response.json()["error"]["code"]) == (413, "body_too_large")
        assert (await house.records())[0]["outcome"] == "rejected_limit"
        await upstream.closed()
        assert not upstream.requests[0].complete


async def test_client_that_leaves_during_its_upload_closes_the_upstream(upstream: Upstream) -> None:
    async with open_house(uploading(upstream)) as house:
        async with house.client() as client:
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
            await client.send(LARGE[:100_000])
            await upstream.connected()

            left = await client.close()

        assert (await upstream.closed()).at - left < 0.1
        assert (await house.records())[0]["outcome"] == "client_gone"


async def test_slow_upload_is_not_the_upstreams_delay(upstream: Upstream) -> None:
    """The upstream's clock stands still while it is the client that is waited for."""
    upstream.script(answer(JSON))
    configured = uploading(upstream, streaming={"first_token_timeout": "300ms"}, circuit={"failures": 1})
    async with open_house(configured) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
        for start in range(0, len(LARGE), 60_000):
            await client.send(LARGE[start : start + 60_000])
            await asyncio.sleep(0.1)  # six times: more than the upstream's deadline

        response = await client.response()

        assert response.status == 200
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


async def test_upstream_that_does_not_take_an_upload_gets_its_deadline(upstream: Upstream) -> None:
    async with Upstream(reads=False) as stuck:
        configured = uploading(stuck, limits={"body": "64MiB"}, streaming={"first_token_timeout": "500ms"})
        async with open_house(configured) as house, house.client() as client:
            size = 32 << 20
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(size))])
            client.wire.transport.write(bytes(size))

            response = await client.response()

            assert (response.status, (await house.records())[0]["outcome"]) == (504, "upstream_timeout")
