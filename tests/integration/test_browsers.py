"""What browsers need: preflights, answers and errors that a page may read, and their cookies where they are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import FILES, GOOD, WHOLE, ask, listed, look, without_comments
from tests.support.answers import TOKEN
from tests.support.house import BEARER, CHAT, chat, open_house, settings
from tests.support.upstream import DONE, Gate, Upstream, answer, stream

JSON = {"ok": True}
SITE = "https://app.example"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def with_site(upstream: Upstream, **changes: Any) -> Settings:
    return settings(upstream.url, cors={"origins": [SITE], "max_age": "5m"}, **changes)


def preflight(origin: str = SITE) -> list[tuple[str, str]]:
    return [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type,last-event-id"),
    ]


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/test/stream", FILES])
async def test_preflight_is_answered_before_authentication_and_without_an_upstream(upstream: Upstream, path: str) -> None:
    async with open_house(with_site(upstream)) as house:
        response = await look(house, path, preflight(), method="OPTIONS")

        allowed = (response.header("access-control-allow-headers") or "").lower()
        assert (response.status, response.header("access-control-allow-origin")) == (204, SITE)
        assert "POST" in (response.header("access-control-allow-methods") or "")
        assert {"authorization", "content-type", "last-event-id", "x-api-key"} <= set(allowed.split(", "))
        assert response.header("access-control-max-age") == "300"
        assert "Origin" in (response.header("vary") or "")
        assert upstream.connections == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", SITE + "/"])
async def test_preflight_of_another_origin_gets_no_permission(upstream: Upstream, origin: str) -> None:
    async with open_house(with_site(upstream)) as house:
        response = await look(house, CHAT, preflight(origin), method="OPTIONS")

        assert (response.status, response.header("access-control-allow-origin")) == (405, None)
        assert response.header("vary") == "Origin"


READABLE = {
    "no credential": ("POST", CHAT, [], b"{}", 401),
    "unknown path": ("GET", "/nothing", BEARER, b"", 404),
    "method": ("GET", CHAT, BEARER, b"", 405),
    "bad body": ("POST", CHAT, BEARER, b"{", 400),
    "too large": ("POST", CHAT, BEARER, bytes(70_000), 413),
    "path": ("GET", "/a//b", BEARER, b"", 400),
    "upstream's error": ("POST", CHAT, BEARER, chat(), 418),
    "answer": ("POST", CHAT, BEARER, chat(stream=False), 200),
    "stream": ("POST", CHAT, BEARER, chat(), 200),
    "page": ("GET", "/auth/ping", BEARER, b"", 200),
    "health": ("GET", "/healthz", [], b"", 200),
}


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), READABLE.values(), ids=READABLE.keys())
async def test_every_answer_is_readable_for_the_configured_origin(
    upstream: Upstream, method: str, path: str, headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    theirs = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")]
    if status in (200, 418) and path == CHAT:
        upstream.script(
            answer(JSON, status, headers=theirs) if status == 418 or b"false" in body else stream(TOKEN, DONE, headers=theirs)
        )
    async with open_house(with_site(upstream)) as house, house.client() as client:
        response = await client.request(method, path, [*headers, ("Origin", SITE)], body)
        await response.read()

        assert response.status == status
        assert response.head.header_values("access-control-allow-origin") == [SITE]
        assert response.header("access-control-allow-credentials") is None
        assert "Retry-After" in (response.header("access-control-expose-headers") or "")
        assert "X-Request-Id" in (response.header("access-control-expose-headers") or "")
        assert "Origin" in response.head.header_values("vary")


async def test_stream_that_is_committed_early_is_readable_too(upstream: Upstream) -> None:
    upstream.script(stream(Gate("begin"), TOKEN, DONE))
    configured = with_site(upstream, streaming={"commit_after": "20ms", "keepalive_interval": "20ms"})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", CHAT, [*BEARER, ("Origin", SITE)], chat())
        upstream.open("begin")
        await response.read()

        assert response.header("access-control-allow-origin") == SITE
        assert response.header("vary") == "Origin"
        assert without_comments(response) == WHOLE


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_other_origins_may_not_read_and_caches_are_told(upstream: Upstream, origin: str) -> None:
    upstream.script(GOOD)
    async with open_house(with_site(upstream)) as house:
        response = await ask(house, headers=[*BEARER, ("Origin", origin)])

        assert (response.status, response.header("vary")) == (200, "Origin")
        assert response.header("access-control-allow-origin") is None


async def test_unreadable_head_is_told_to_caches_too(upstream: Upstream) -> None:
    async with open_house(with_site(upstream)) as house, house.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n")

        response = await client.response()

        assert (response.status, response.header("vary")) == (400, "Origin")


async def test_without_origins_no_answer_speaks_of_them(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, "/auth/ping", [*BEARER, ("Origin", SITE)])
        asked_first = await look(house, CHAT, preflight(), method="OPTIONS")

        assert (response.status, asked_first.status) == (200, 405)
        for each in (response, asked_first):
            assert not [name for name, _ in each.head.headers if name.lower().startswith(b"access-control")]


BROWSER = [("Cookie", "session=1"), ("Origin", SITE)]
ACCESS = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Max-Age", "1"), ("Set-Cookie", "s=2")]


@pytest.mark.parametrize("transparent", [True, False])
async def test_only_a_transparent_upstream_sees_and_sets_what_belongs_to_browsers(upstream: Upstream, transparent: bool) -> None:
    upstream.script(answer(JSON, headers=ACCESS))
    configured = listed(upstream, a={"transparent": transparent}, cors={"origins": [SITE]})
    async with open_house(configured) as house:
        response = await look(house, FILES, [*BEARER, *BROWSER])

        seen = await upstream.request()
        assert (seen.header("cookie"), seen.header("origin")) == (("session=1", SITE) if transparent else (None, None))
        assert response.header("access-control-allow-origin") == ("*" if transparent else SITE)
        assert response.header("access-control-max-age") == ("1" if transparent else None)
        assert response.header("vary") == (None if transparent else "Origin")
        assert response.header("set-cookie") == "s=2"
        assert seen.header("authorization") == "Bearer sk-upstream-a"
