"""`ask_usage`: the proxy knows what a stream used although its client never asked, and the client sees nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import ask
from tests.support.answers import FINISH, TOKEN, USAGE
from tests.support.client import End
from tests.support.house import chat, open_house, settings
from tests.support.upstream import DONE, Reply, Upstream, answer, stream

NULL = TOKEN.replace(b"}]}", b'}],"usage":null}')


def asking(url: str, **model: Any) -> Settings:
    return settings(url, models=[{"name": "gpt-*", "targets": [{"upstream": "a"}], "ask_usage": True, **model}])


async def test_usage_is_recorded_and_the_client_has_the_stream_it_asked_for() -> None:
    priced = {"price": {"input": 1.0, "output": 2.0}}
    async with Upstream() as upstream, open_house(asking(upstream.url, **priced)) as house:
        upstream.script(stream(NULL, NULL, FINISH, USAGE, DONE))

        response = await ask(house)

        assert bytes(response.body) == TOKEN + TOKEN + FINISH + DONE
        assert response.end is End.CLEAN
        assert json.loads((await upstream.request()).body)["stream_options"] == {"include_usage": True}
        record = (await house.records())[0]
        assert (record["outcome"], record["tokens_in"], record["tokens_out"]) == ("completed", 3, 5)
        assert record["cost_usd"] == pytest.approx((3 * 1.0 + 5 * 2.0) / 1e6)


async def test_a_client_that_asks_itself_gets_every_byte() -> None:
    body = chat(stream_options={"include_usage": True})
    async with Upstream() as upstream, open_house(asking(upstream.url)) as house:
        upstream.script(stream(NULL, USAGE, DONE))

        response = await ask(house, body)

        assert bytes(response.body) == NULL + USAGE + DONE
        assert (await upstream.request()).body == body
        assert (await house.records())[0]["tokens_out"] == 5


async def test_nothing_is_asked_for_without_the_switch_or_without_a_stream() -> None:
    async with Upstream() as upstream, open_house(asking(upstream.url)) as house:
        upstream.script(answer({"choices": []}))

        await ask(house, chat(stream=False))

        assert (await upstream.request()).body == chat(stream=False)
    async with Upstream() as upstream, open_house(settings(upstream.url)) as house:
        upstream.script(stream(TOKEN, DONE))

        await ask(house)

        assert (await upstream.request()).body == chat()


async def test_an_error_answer_passes_as_it_is() -> None:
    async with Upstream() as upstream, open_house(asking(upstream.url)) as house:
        upstream.script(Reply(status=400, headers=[("Content-Type", "text/html")], body=[b"<html>"], framing="length"))

        response = await ask(house)

        assert (response.status, bytes(response.body), response.header("content-type")) == (400, b"<html>", "text/html")


async def test_a_stream_that_is_cut_is_not_finished_by_what_was_taken_out() -> None:
    async with Upstream() as upstream, open_house(asking(upstream.url)) as house:
        upstream.script(stream(NULL, USAGE))

        response = await ask(house)

        assert response.end is not End.CLEAN
        assert bytes(response.body).startswith(TOKEN + b'data: {"error":')
        assert (await house.records())[0]["outcome"] == "upstream_truncated"
