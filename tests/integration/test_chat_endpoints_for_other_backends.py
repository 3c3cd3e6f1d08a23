"""Chat endpoints whose model is not one of OpenAI's: the same simple events, whatever the upstream speaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import ask
from tests.integration.test_chat_endpoints import PATH, events, say
from tests.integration.test_translation_of_chat import BEDROCK, Backend, each_backend, good, served
from tests.support.answers import only_record
from tests.support.client import End
from tests.support.house import open_house
from tests.support.upstream import Drip, Fin, Upstream

PRICE = {"input": 1.0, "output": 2.0}
OVERLOADED = [
    ("error", {"message": "Overloaded, please try again soon.", "code": "RATE_LIMIT"}),
    ("done", {"finish_reason": "error", "code": "RATE_LIMIT"}),
]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def serving(backend: Backend, url: str, **endpoint: Any) -> Settings:
    endpoint = {"path": PATH, "model": "gpt-test", "system": "Be kind.", **endpoint}
    return served(backend, url, of_model={"price": PRICE}, retry={"attempts": 1}, chat_endpoints=[endpoint])


@each_backend
@pytest.mark.parametrize("size", [1, 10_000])
async def test_an_answer_comes_as_tokens_and_says_what_it_cost(upstream: Upstream, backend: Backend, size: int) -> None:
    async with open_house(serving(backend, upstream.url)) as house:
        upstream.script(backend.said(Drip(b"".join((backend.begun, backend.hi, *backend.ended)), size)))

        response = await say(house, "Hello")

        *tokens, usage, done = events(response)
        assert "".join(values["text"] for name, values in tokens if name == "token") == "Hi"
        tokens_in, tokens_out = backend.tokens
        assert usage[0] == "usage"
        assert (usage[1]["tokens_in"], usage[1]["tokens_out"], usage[1]["model"]) == (tokens_in, tokens_out, "gpt-test")
        assert usage[1]["cost_usd"] > 0
        assert (done, response.end) == (("done", {"finish_reason": "stop"}), End.CLEAN)
        assert (await only_record(house))["outcome"] == "completed"


@each_backend
async def test_the_upstream_is_told_the_message_and_the_system_prompt_in_its_own_words(
    upstream: Upstream, backend: Backend
) -> None:
    async with open_house(serving(backend, upstream.url)) as house:
        upstream.script(good(backend))

        await say(house, "Hello")

        asked = await upstream.request()
        assert asked.target == backend.streamed
        assert b"Be kind." in asked.body
        assert b"Hello" in asked.body


@each_backend
async def test_lines_are_for_clients_without_a_reader_of_events(upstream: Upstream, backend: Backend) -> None:
    async with open_house(serving(backend, upstream.url, events="ndjson")) as house:
        upstream.script(good(backend))

        lines = [json.loads(line) for line in bytes((await say(house)).body).splitlines()]

        assert lines[0] == {"type": "token", "text": "Hi"}
        assert [line["type"] for line in lines] == ["token", "usage", "done"]


@each_backend
async def test_a_refusal_is_one_sentence_for_people(upstream: Upstream, backend: Backend) -> None:
    async with open_house(serving(backend, upstream.url)) as house:
        upstream.script(backend.refused)

        response = await say(house)

        assert events(response) == OVERLOADED
        assert response.end is not End.CLEAN


@each_backend
async def test_an_error_in_the_stream_is_the_same_sentence(upstream: Upstream, backend: Backend) -> None:
    async with open_house(serving(backend, upstream.url)) as house:
        upstream.script(backend.said(backend.begun, backend.hi, backend.failed))

        assert events(await say(house))[-2:] == OVERLOADED


@each_backend
async def test_an_answer_that_is_cut_never_looks_finished(upstream: Upstream, backend: Backend) -> None:
    async with open_house(serving(backend, upstream.url)) as house:
        upstream.script(replace(backend.said(backend.begun, backend.hi, Fin()), length=10_000))

        response = await say(house)

        assert events(response)[-1] == ("done", {"finish_reason": "error", "code": "SERVER_ERROR"})
        assert response.end is not End.CLEAN


async def test_chunks_of_a_chat_completion_are_made_of_binary_frames(upstream: Upstream) -> None:
    async with open_house(serving(BEDROCK, upstream.url, events="openai")) as house:
        upstream.script(good(BEDROCK))

        response = await ask(house, json.dumps({"message": "hi"}).encode(), target=PATH)

        assert b'"content":"Hi"' in response.body
        assert bytes(response.body).endswith(b"data: [DONE]\n\n")
