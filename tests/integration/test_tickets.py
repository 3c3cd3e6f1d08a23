"""Tickets over real sockets: an EventSource gets in with one, once, and nobody else does, neither there nor anywhere else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from proxy.settings import Settings
from tests.integration.asking import WHOLE, ask, look, until, without_comments
from tests.support.answers import TOKEN
from tests.support.client import RawClient, Response
from tests.support.house import BEARER, KEY, House, open_house, settings
from tests.support.upstream import DONE, Gate, Upstream, stream

PATH: Final = "/api/v1/chat"
PING: Final = "/auth/ping"
NARROW: Final = "lp_test_narrow_0123456789abcdefghij"
LIMITED: Final = [("X-Api-Key", NARROW)]
SITE: Final = ("Origin", "https://app.example")
KEYS: Final[list[dict[str, Any]]] = [
    {"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()},
    {"id": "narrow", "sha256": hashlib.sha256(NARROW.encode()).hexdigest(), "models": ["other"], "max_streams": 1},
]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        running.always(stream(TOKEN, DONE))
        yield running


def chatting(upstream: Upstream, **changes: Any) -> Settings:
    endpoint = {"path": PATH, "model": "gpt-test", "events": "openai"}
    return settings(upstream.url, chat_endpoints=[endpoint], **{"auth": {"api_keys": KEYS}, **changes})


async def asked(house: House, path: str = PATH, headers: list[tuple[str, str]] = BEARER, method: str = "GET") -> Response:
    return await ask(house, json.dumps({"method": method, "path": path}).encode(), headers, target="/auth/tickets")


async def ticket(house: House, path: str = PATH, headers: list[tuple[str, str]] = BEARER) -> str:
    told = (await asked(house, path, headers)).json()
    assert told == {"ticket": told["ticket"], "expires_in": 30}
    return str(told["ticket"])


async def use(house: House, text: str, path: str = PATH, *headers: tuple[str, str], query: str = "message=hi") -> Response:
    return await look(house, f"{path}?{query}&ticket={text}", list(headers))


async def assert_refused(house: House, response: Response, reason: str) -> None:
    """Uniform for the client, by name for the operator."""
    assert (response.status, response.json()["error"]["code"]) == (401, "invalid_credentials")
    assert await house.metric("llm_proxy_auth_failures_total", reason=reason) == 1

    async def logged() -> bool:
        return any(record.get("auth_failure") == reason for record in await house.records())

    await until(logged, "the line of the refusal")


async def test_an_event_source_gets_its_stream_with_a_ticket_and_only_once(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        text = await ticket(house)

        first = await use(house, text)
        again = await use(house, text)

        assert (first.status, without_comments(first)) == (200, WHOLE)
        await assert_refused(house, again, "used_ticket")
        assert [record.get("subject") for record in await house.records(3)] == ["tester", "tester", None]
        assert len(upstream.connections) == 1


async def test_of_many_who_come_at_once_with_one_ticket_one_gets_in(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        text = await ticket(house)

        statuses = Counter(response.status for response in await asyncio.gather(*(use(house, text) for _ in range(8))))

        assert statuses == {200: 1, 401: 7}


async def test_neither_ticket_nor_key_reaches_upstream_log_or_caches(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        text = await ticket(house)

        response = await use(house, text)

        seen = await upstream.request()
        assert text.encode() not in seen.target + b"".join(value for _, value in seen.head.headers) + seen.body
        assert text not in house.log_text()
        assert response.header("referrer-policy") == "no-referrer"
        assert "no-store" in response.head.header_values("cache-control")
        assert (await look(house, PING)).header("referrer-policy") is None


@pytest.mark.parametrize("query", ["access_token=wrong", "ticket=wrong"])
async def test_a_refused_credential_in_the_query_is_not_kept_either(upstream: Upstream, query: str) -> None:
    async with open_house(chatting(upstream)) as house:
        response = await look(house, f"{PING}?{query}", [])

        assert response.status == 401
        assert response.header("referrer-policy") == "no-referrer"
        assert "no-store" in response.head.header_values("cache-control")


async def test_a_ticket_is_for_its_path_only(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        await assert_refused(house, await use(house, await ticket(house), PING), "ticket_for_another_path")


async def test_a_page_s_ticket_is_for_its_origin_only(upstream: Upstream) -> None:
    async with open_house(chatting(upstream, cors={"origins": [SITE[1]]})) as house:
        good, bad = [await ticket(house, headers=[*BEARER, SITE]) for _ in range(2)]

        there = await use(house, good, PATH, SITE)

        assert (there.status, there.header("access-control-allow-origin")) == (200, SITE[1])
        await assert_refused(house, await use(house, bad), "ticket_for_another_origin")


async def test_a_ticket_ends_soon(upstream: Upstream) -> None:
    auth = {"api_keys": KEYS, "tickets": {"ttl": "10ms"}}
    async with open_house(chatting(upstream, auth=auth)) as house:
        text = (await asked(house)).json()["ticket"]
        response = await use(house, text)
        while response.status == 200:  # on a machine that is quicker than the ticket
            text = (await asked(house)).json()["ticket"]
            await house.admin("/metrics")
            response = await use(house, text)

        await assert_refused(house, response, "expired_ticket")


async def test_who_nobody_knows_gets_no_ticket(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        text = await ticket(house, "/auth/ping")
        by_ticket = await ask(house, b'{"method": "GET", "path": "/auth/ping"}', [], target=f"/auth/tickets?ticket={text}")

        assert [(await asked(house, headers=[])).status, by_ticket.status] == [401, 401]
        assert (await use(house, text, PING)).status == 200  # what was shown in vain is not spent


@pytest.mark.parametrize(("path", "method", "field"), [("/nothing", "GET", "path"), (PATH, "POST", "method")])
async def test_a_ticket_for_nothing_is_refused_by_name(upstream: Upstream, path: str, method: str, field: str) -> None:
    async with open_house(chatting(upstream)) as house:
        response = await asked(house, path, method=method)

        assert (response.status, response.json()["error"]["param"]) == (400, field)


async def test_a_ticket_allows_no_more_than_its_caller_may(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        response = await use(house, await ticket(house, headers=LIMITED))

        assert (response.status, response.json()["error"]["code"]) == (403, "forbidden")


async def test_a_stream_by_ticket_takes_its_caller_s_slot(upstream: Upstream) -> None:
    upstream.always(stream(TOKEN, Gate("rest"), DONE))
    keys = [{**KEYS[1], "models": None}]
    async with open_house(chatting(upstream, auth={"api_keys": keys})) as house, house.client() as client:
        first, second = [await ticket(house, headers=LIMITED) for _ in range(2)]
        held = await client.request("GET", f"{PATH}?message=hi&ticket={first}")
        await held.read_until(TOKEN)

        refused = await use(house, second)

        assert (refused.status, refused.json()["error"]["code"]) == (429, "too_many_streams_of_subject")
        upstream.open("rest")
        await held.read()


async def test_a_connection_does_not_take_the_next_request_for_the_bearer_of_a_ticket(upstream: Upstream) -> None:
    """A server in front sends the requests of many over one connection."""
    async with open_house(chatting(upstream)) as house, house.client() as client:
        text = await ticket(house, PING)

        statuses = [await _status(client, target) for target in (f"{PING}?ticket={text}", PING, f"{PING}?ticket={text}")]

        assert statuses == [200, 401, 401]


async def test_a_ticket_counts_where_a_connection_has_just_been_anonymous(upstream: Upstream) -> None:
    async with (
        open_house(chatting(upstream, auth={"api_keys": KEYS, "allow_anonymous": True})) as house,
        house.client() as client,
    ):
        targets = PING, f"{PING}?ticket={await ticket(house, PING)}", PING
        subjects = []
        for target in targets:
            response = await client.request("GET", target)
            await response.read()
            subjects.append(response.json()["subject"])

        assert subjects == ["anonymous", "tester", "anonymous"]


async def test_tickets_outlive_a_reload_except_where_it_takes_their_caller_away(upstream: Upstream) -> None:
    async with open_house(chatting(upstream)) as house:
        kept, gone = await ticket(house, PING), await ticket(house, PING, LIMITED)

        await house.server.put_in_force(chatting(upstream, auth={"api_keys": KEYS[:1]}))

        assert (await use(house, kept, PING)).json()["subject"] == "tester"
        await assert_refused(house, await use(house, gone, PING), "unknown_api_key")


async def _status(client: RawClient, target: str) -> int:
    response = await client.request("GET", target)
    await response.read()
    return response.status
