"""The stop button: a caller ends its own stream from another connection, and nobody else's."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from proxy.settings import Settings
from tests.integration.asking import look
from tests.support.answers import TOKEN
from tests.support.client import End
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.upstream import Hang, Upstream, stream, verbatim

OTHER: Final = "lp_test_another_caller_of_the_same_proxy"


def two_callers(url: str) -> Settings:
    keys = [{"id": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in (("tester", KEY), ("other", OTHER))]
    return settings(url, auth={"api_keys": keys})


async def stop(house: House, wanted: str | None, key: str = KEY) -> tuple[int, dict[str, Any]]:
    response = await look(house, f"/streams/{wanted}", [("Authorization", f"Bearer {key}")], method="DELETE")
    return response.status, json.loads(response.body)


async def test_a_stream_ends_with_a_word_and_its_upstream_is_closed() -> None:
    async with Upstream() as upstream, open_house(two_callers(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        answer = await stop(house, response.header("x-request-id"))

        assert answer == (200, {"stopped": 1})
        await upstream.closed()
        await response.read()
        told = [block for block in bytes(response.body).split(b"\n\n") if block.startswith(b'data: {"error"')]
        assert [json.loads(block[6:])["error"]["code"] for block in told] == ["stopped"]
        assert response.end is not End.CLEAN
        records = await house.records(2)
        assert [(record["outcome"], record.get("code")) for record in records if record["route"] == "chat"] == [
            ("client_gone", "stopped")
        ]


async def test_a_stream_that_has_not_begun_is_stopped_too() -> None:
    async with Upstream() as upstream, open_house(two_callers(upstream.url)) as house, house.client() as client:
        upstream.script(verbatim(Hang()))
        await client.send_request("POST", CHAT, [*BEARER, ("X-Request-Id", "mine")], chat())
        await upstream.request()

        assert (await stop(house, "mine"))[0] == 200

        response = await client.response("POST")
        await response.read()
        assert (response.status, json.loads(response.body)["error"]["code"]) == (409, "stopped")
        await upstream.closed()


async def test_nobody_stops_the_stream_of_another() -> None:
    async with Upstream() as upstream, open_house(two_callers(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        status, told = await stop(house, response.header("x-request-id"), OTHER)

        assert (status, told["error"]["code"]) == (404, "not_found")
        assert (await stop(house, "unknown"))[0] == 404
        assert upstream.open_connections == 1


async def test_operators_see_what_is_live() -> None:
    async with Upstream() as upstream, open_house(two_callers(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        (seen,) = json.loads(await house.admin("/streams"))

        assert seen["id"] == response.header("x-request-id")
        known = ("subject", "route", "model", "upstream", "phase", "tokens", "chunks", "waiting_for")
        assert [seen[key] for key in known] == ["tester", "chat", "gpt-*", "a", "streaming", 1, 1, "upstream"]
        assert 0 <= seen["last_byte_s"] <= seen["seconds"] < 5


async def test_only_deleting_is_served_there() -> None:
    async with Upstream() as upstream, open_house(two_callers(upstream.url)) as house:
        refused = await look(house, "/streams/x")

        assert (refused.status, refused.header("allow")) == (405, "DELETE")
