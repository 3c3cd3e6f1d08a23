"""What the integration tests ask and answer again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from proxy.settings import Settings
from tests.support.answers import TOKEN
from tests.support.client import Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, settings
from tests.support.upstream import DONE, Upstream, stream
from tests.support.wire import WITHIN

BUSY: Final = {"error": {"message": "please wait", "type": "server_error", "code": "busy"}}
GOOD: Final = stream(TOKEN, DONE)
WHOLE: Final = TOKEN + DONE
FILES: Final = "/upstream/a/v1/files"


def listed(upstream: Upstream, **changes: Any) -> Settings:
    """Return settings under which the upstream's files may be asked for by name; `a` are further keys of that upstream."""
    return settings(upstream.url, upstreams={"a": {"passthrough": ["/v1/files"], **changes.pop("a", {})}}, **changes)


def head(start: str, *lines: str) -> bytes:
    """Write a head with a Host and a good credential."""
    return "".join(f"{line}\r\n" for line in (start, "Host: proxy", f"Authorization: Bearer {KEY}", *lines, "")).encode("latin-1")


async def ask(
    house: House, body: bytes = b"", headers: list[tuple[str, str]] | None = None, *, method: str = "POST", target: str = CHAT
) -> Response:
    """Send one request (default: a streamed chat) on a connection of its own and read its answer to the end."""
    async with house.client() as client:
        response = await client.request(method, target, BEARER if headers is None else headers, body or chat())
        await response.read()
        return response


async def look(house: House, target: str, headers: list[tuple[str, str]] | None = None, *, method: str = "GET") -> Response:
    """Send one request without a body on a connection of its own and read its answer to the end."""
    async with house.client() as client:
        response = await client.request(method, target, BEARER if headers is None else headers)
        await response.read()
        return response


def attempts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return upstream and result of each attempt in a log line."""
    return [(attempt["upstream"], attempt["result"]) for attempt in record.get("attempts", ())]


def without_comments(response: Response) -> bytes:
    """Return what was read of an event stream, without its comments."""
    blocks = bytes(response.body).split(b"\n\n")
    return b"\n\n".join(block for block in blocks if not block.startswith(b":"))


async def until(seen: Callable[[], Awaitable[bool]], what: str, within: float = WITHIN) -> None:
    """Ask *seen* until it says yes, for what only a look from outside can tell; fails after *within* seconds."""
    deadline = time.monotonic() + within
    while not await seen():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


async def assert_recorded_once(house: House, outcome: str, code: str, status: int) -> None:
    """Assert that the only request is in the log once, and once in the metrics, under this outcome."""
    records = await house.records()
    assert [(record["outcome"], record["code"], record["status"]) for record in records] == [(outcome, code, status)]
    assert await house.metric("llm_proxy_requests_total") == 1
    assert await house.metric("llm_proxy_requests_total", outcome=outcome, status=str(status)) == 1
