"""Cookie mode over real sockets: the browser's cookie speaks for its owner, on pages that may use it, and goes no further."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from proxy.settings import Settings
from tests.integration.asking import FILES, ask, listed, look
from tests.support.house import BEARER, CHAT, KEY, open_house
from tests.support.upstream import Upstream, answer

SITE: Final = "https://app.example"
PING: Final = "/auth/ping"
COOKIE: Final = ("Cookie", f"theme=dark; session={KEY}; lang=en")
OTHER: Final = "lp_test_other_0123456789abcdefghijk"
KEYS: Final = [
    {"id": each, "sha256": hashlib.sha256(key.encode()).hexdigest()} for each, key in (("tester", KEY), ("other", OTHER))
]
ALLOWED: Final = "access-control-allow-credentials"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        running.always(answer({"ok": True}))
        yield running


def baking(upstream: Upstream, **changes: Any) -> Settings:
    auth = {"api_keys": KEYS, "cookie": "session", **changes.pop("auth", {})}
    return listed(upstream, auth=auth, cors={"origins": [SITE]}, **changes)


async def test_the_cookie_speaks_for_its_owner_and_the_listed_page_may_read(upstream: Upstream) -> None:
    async with open_house(baking(upstream)) as house:
        response = await look(house, PING, [COOKIE, ("Origin", SITE)])

        assert (response.status, response.json()["subject"]) == (200, "tester")
        assert (response.header("access-control-allow-origin"), response.header(ALLOWED)) == (SITE, "true")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", [("Origin", "https://evil.example")]),
        ("GET", [("Origin", "null")]),
        ("GET", [("Sec-Fetch-Site", "cross-site")]),
        ("POST", [("Origin", "https://evil.example")]),
        ("POST", []),
        ("DELETE", [("Sec-Fetch-Site", "same-origin")]),
    ],
)
async def test_no_other_page_spends_its_visitor_s_cookie(upstream: Upstream, method: str, headers: list[tuple[str, str]]) -> None:
    async with open_house(baking(upstream)) as house:
        response = await look(house, FILES, [COOKIE, *headers], method=method)

        assert (response.status, response.json()["error"]["code"]) == (401, "invalid_credentials")
        assert response.header(ALLOWED) is None
        assert (await house.records())[0]["auth_failure"] == "cookie_from_another_origin"
        assert await house.metric("llm_proxy_auth_failures_total", reason="cookie_from_another_origin") == 1
        assert upstream.connections == []


@pytest.mark.parametrize("cookie", [None, "session"])
async def test_preflight_allows_cookies_only_in_cookie_mode(upstream: Upstream, cookie: str | None) -> None:
    async with open_house(baking(upstream, auth={"cookie": cookie})) as house:
        asking = [("Origin", SITE), ("Access-Control-Request-Method", "POST")]

        response = await look(house, CHAT, asking, method="OPTIONS")

        assert (response.status, response.header(ALLOWED)) == (204, cookie and "true")


@pytest.mark.parametrize(("transparent", "passed"), [(True, "theme=dark; lang=en"), (False, None)])
async def test_the_cookie_with_the_credential_reaches_no_upstream(upstream: Upstream, transparent: bool, passed: str) -> None:
    async with open_house(baking(upstream, a={"transparent": transparent})) as house:
        response = await look(house, FILES, [COOKIE])

        seen = await upstream.request()
        assert (response.status, seen.header("cookie")) == (200, passed)
        assert response.header("cache-control") == "no-store"  # shared caches know by Authorization only whose an answer is
        assert KEY not in house.log_text()


async def test_a_connection_does_not_take_the_next_request_for_the_owner_of_a_cookie(upstream: Upstream) -> None:
    """A server in front sends the requests of many over one connection."""
    other = ("Cookie", f"session={OTHER}")
    evil = [COOKIE, ("Origin", "https://evil.example")]
    async with open_house(baking(upstream)) as house, house.client() as client:
        seen = []
        for headers in ([COOKIE], [], [other], evil, [COOKIE], [*BEARER, other], [other]):
            response = await client.request("GET", PING, headers)
            await response.read()
            seen.append(response.json().get("subject", response.status))

        assert seen == ["tester", 401, "other", 401, "tester", "tester", "other"]


async def test_where_anonymous_use_is_allowed_who_has_a_cookie_is_not_taken_for_who_had_none(upstream: Upstream) -> None:
    async with open_house(baking(upstream, auth={"allow_anonymous": True})) as house, house.client() as client:
        seen = []
        for headers in ([], [COOKIE], []):
            response = await client.request("GET", PING, headers)
            await response.read()
            seen.append(response.json()["subject"])

        assert seen == ["anonymous", "tester", "anonymous"]


async def test_a_page_may_ask_for_a_ticket_with_its_visitor_s_cookie(upstream: Upstream) -> None:
    page = [COOKIE, ("Origin", SITE)]
    async with open_house(baking(upstream)) as house:
        told = await ask(house, b'{"method": "GET", "path": "/auth/ping"}', page, target="/auth/tickets")
        response = await look(house, f"{PING}?ticket={told.json()['ticket']}", page)

        assert response.json()["subject"] == "tester"
