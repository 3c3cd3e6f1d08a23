"""What a translated answer cost stands in its usage, in whichever API the client reads it, and is what the log says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.settings import Settings
from tests.integration.asking import ask
from tests.support import claude
from tests.support.answers import FINISH, ROLE, TOKEN, USAGE
from tests.support.house import BEARER, chat, open_house, settings
from tests.support.upstream import DONE, Reply, Upstream, stream

PRICE = {"input": 2.0, "output": 4.0}
CHAT = stream(ROLE, TOKEN, FINISH, USAGE, DONE)
CLAUDE = stream(claude.BEGUN, claude.HI, claude.ended() + claude.stopped())


def priced(url: str, **upstream: Any) -> Settings:
    models = [{"name": "gpt-*", "targets": [{"upstream": "a"}], "price": PRICE}]
    return settings(url, upstreams={"a": upstream}, models=models)


@pytest.mark.parametrize(
    ("upstream_is", "reply", "target", "body"),
    [
        ({"kind": "anthropic"}, CLAUDE, "/v1/chat/completions", chat(stream_options={"include_usage": True})),
        ({"kind": "openai"}, CHAT, "/v1/messages", chat(max_tokens=9)),
        ({"kind": "openai", "apis": ["chat"]}, CHAT, "/v1/responses", b'{"model":"gpt-test","input":"hi","stream":true}'),
    ],
    ids=["chat", "messages", "responses"],
)
async def test_the_cost_of_a_translated_stream_is_told_in_its_usage(
    upstream_is: dict[str, Any], reply: Reply, target: str, body: bytes
) -> None:
    async with Upstream() as upstream, open_house(priced(upstream.url, **upstream_is)) as house:
        upstream.script(reply)

        response = await ask(house, body, [*BEARER, ("anthropic-version", "2023-06-01")], target=target)

        record = (await house.records())[0]
        told = [each for each in map(cost_in, bytes(response.body).split(b"\n\n")) if each is not None]
        assert record["cost_usd"] == pytest.approx((record["tokens_in"] * 2.0 + record["tokens_out"] * 4.0) / 1e6)
        assert told == [pytest.approx(record["cost_usd"])]


def cost_in(block: bytes) -> float | None:
    """The cost that an event tells, wherever its usage stands."""
    data = block.partition(b"data: ")[2]
    event = orjson.loads(data) if data.startswith(b"{") else {}
    usage = event.get("usage") or (event.get("response") or {}).get("usage") or {}
    cost: float | None = usage.get("cost_usd")
    return cost
