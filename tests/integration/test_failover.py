"""Failover in every window, P17 to P21: another target answers as long as nothing of an answer was relayed, and never after."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from proxy.settings import Settings
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, CHAT, House, chat, open_house, settings
from tests.support.upstream import (
    DONE,
    Fin,
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

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
KEEPALIVE = b": keepalive\n\n"
BUSY = {"error": {"message": "please wait", "type": "server_error", "code": "busy"}}
LIMITED = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
SPENT = {"error": {"message": "no money left", "type": "insufficient_quota", "code": "insufficient_quota"}}
ERROR_EVENT = b'data: {"error":{"message":"overloaded","code":"overloaded_error"}}\n\n'
GOOD = stream(CHUNK, DONE)
TIMEOUT = "upstream_timeout"

FAULTS = {
    "error status": (answer(BUSY, 503), "overloaded"),
    "error as first event": (stream(ERROR_EVENT), "upstream_error_event"),
    "error event behind comments": (stream(b": processing\n\n", ERROR_EVENT, Hang()), "upstream_error_event"),
    "hung before headers": (verbatim(Hang()), TIMEOUT),
    "hung inside the head": (verbatim(b"HTTP/1.1 200 OK\r\nContent-Ty", Hang()), TIMEOUT),
    "hung before the first event": (stream(Hang()), TIMEOUT),
    "hung inside the first event": (stream(CHUNK[:-2], Hang()), TIMEOUT),
    "closed before headers": (verbatim(Fin()), "upstream_closed"),
    "reset before headers": (verbatim(Rst()), "upstream_reset"),
    "reset inside the head": (verbatim(b"HTTP/1.1 200 OK\r\nContent-Ty", Rst()), "upstream_reset"),
    "ended without an event": (stream(), "upstream_truncated"),
    "closed inside the first event": (stream(CHUNK[:-2], Fin()), "upstream_truncated"),
    "reset inside the first event": (stream(CHUNK[:-2], Rst()), "upstream_reset"),
    "not HTTP": (verbatim(b"SSH-2.0-OpenSSH\r\n\r\n", Hang()), "upstream_malformed"),
}
windows = pytest.mark.parametrize(("fault", "result"), FAULTS.values(), ids=FAULTS.keys())


@pytest.fixture
async def upstreams() -> AsyncIterator[tuple[Upstream, Upstream]]:
    async with Upstream() as first, Upstream() as second:
        yield first, second


def quick(*urls: str, streaming: dict[str, str] | None = None, **changes: Any) -> Settings:
    """Return settings under which nothing is committed before an answer, unless *streaming* says so."""
    clocks = {"commit_after": "4s", "keepalive_interval": "50ms", "attempt_timeout": "4s", "first_token_timeout": "4s"}
    return settings(*urls, streaming={**clocks, **(streaming or {})}, **changes)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def ask(house: House, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Response:
    """Send one chat request on a connection of its own and read its answer to the end."""
    async with house.client() as client:
        response = await client.request("POST", CHAT, headers=[*BEARER, *(headers or [])], body=body or chat())
        await response.read()
        return response


async def begin_behind_keepalives(client: RawClient) -> Response:
    """Send a chat request and return once the client has seen the 200 and two keepalives."""
    response = await client.request("POST", CHAT, headers=BEARER, body=chat())
    await response.read_until(KEEPALIVE * 2)
    return response


def attempts(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(attempt["upstream"], attempt["result"]) for attempt in record["attempts"]]


async def assert_told(house: House, expected: list[tuple[str, str]], *, outcome: str = "completed", status: int = 200) -> None:
    """Assert that the only request's *expected* attempts are in its log line and in the metrics, each exactly once."""
    record = (await house.records())[0]
    assert attempts(record) == expected
    assert (record["outcome"], record["status"], record.get("retries", 0)) == (outcome, status, len(expected) - 1)
    for (upstream, result), count in Counter(expected).items():
        assert await house.metric("llm_proxy_upstream_attempts_total", upstream=upstream, result=result) == count
    assert await house.metric("llm_proxy_upstream_attempts_total") == len(expected)
    for (upstream, reason), count in Counter(expected[:-1]).items():
        assert await house.metric("llm_proxy_retries_total", upstream=upstream, reason=reason) == count
    assert await house.metric("llm_proxy_requests_total", upstream=expected[-1][0], status=str(status), outcome=outcome) == 1


# Before anything was sent to the client.


async def test_p17_refused_connection_is_replaced_by_the_next_target(upstreams: tuple[Upstream, Upstream]) -> None:
    _, b = upstreams
    b.script(GOOD)
    with closed_port() as port:
        async with open_house(quick(url(port), b.url)) as house:
            response = await ask(house)

            assert (response.status, bytes(response.body), response.end) == (200, CHUNK + DONE, End.CLEAN)
            assert len(b.requests) == 1
            await assert_told(house, [("a", "upstream_connect_failed"), ("b", "ok")])


@windows
async def test_fault_before_the_first_event_is_replaced_by_the_next_target(
    upstreams: tuple[Upstream, Upstream], fault: Reply, result: str
) -> None:
    a, b = upstreams
    a.script(fault)
    b.script(GOOD)
    limit = {"attempt_timeout": "200ms" if result == TIMEOUT else "4s"}
    async with open_house(quick(a.url, b.url, streaming=limit)) as house:
        response = await ask(house)

        assert (response.status, bytes(response.body), response.end) == (200, CHUNK + DONE, End.CLEAN)
        assert (len(a.requests), len(b.requests)) == (1, 1)
        assert await a.closed() if result != "overloaded" else a.open_connections == 1
        await assert_told(house, [("a", result), ("b", "ok")])


@windows
async def test_fault_of_a_request_without_stream_is_replaced_by_the_next_target(
    upstreams: tuple[Upstream, Upstream], fault: Reply, result: str
) -> None:
    a, b = upstreams
    if fault.headers:
        pytest.skip("an event stream is no answer to a request without stream")
    a.script(fault)
    b.script(answer({"choices": []}))
    limit = {"attempt_timeout": "200ms" if result == TIMEOUT else "4s", "response_timeout": "4s"}
    async with open_house(quick(a.url, b.url, streaming=limit)) as house:
        response = await ask(house, chat(stream=False))

        assert (response.status, response.json()) == (200, {"choices": []})
        await assert_told(house, [("a", result), ("b", "ok")])
