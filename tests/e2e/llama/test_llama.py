"""A real model server behind the proxy: what llama.cpp says is what the unmodified client reads, and a client that leaves stops it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.e2e.llama.server import MODEL, SERVER_KEY, ModelServer, before
from tests.integration.asking import until, without_comments
from tests.support.answers import KEEPALIVE
from tests.support.client import End, RawClient, Response
from tests.support.house import CHAT, KEY, House, open_house
from tests.support.upstream import DONE

pytestmark = [pytest.mark.llama, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

COMPLETIONS: Final = "/v1/completions"
PATHS: Final = [CHAT, COMPLETIONS]
TOKENS: Final = 24
ENDLESS: Final = 4000  # tokens; takes it half a minute
LONG: Final = "On tea. " * 150  # a token for each character: it needs seconds until its first own
TOO_LONG: Final = "On tea. " * 1000
OF_THIS_ANSWER: Final = re.compile(rb'"(?:id|created)": ?(?:"[^"]+"|\d+)')
WITHIN: Final = 60.0  # seconds for an answer, on a busy machine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModelServer]:
    async with ModelServer(tmp_path_factory.mktemp("llama")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def house(server: ModelServer) -> AsyncIterator[House]:
    async with open_house(before(server)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def client(house: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def direct(server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    """The same client without the proxy."""
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=SERVER_KEY, max_retries=0) as made:
        yield made


def asked(path: str = CHAT, words: str = "On tea", **more: Any) -> dict[str, Any]:
    """Return a request in which nothing is left to chance."""
    said: dict[str, Any] = {"prompt": words} if path == COMPLETIONS else {"messages": [{"role": "user", "content": words}]}
    return {"model": MODEL, "temperature": 0, "seed": 7, "max_tokens": TOKENS, **said, **more}


async def send(client: RawClient, key: str, path: str, body: dict[str, Any]) -> Response:
    """Send a request and return its answer as soon as the head is in."""
    headers = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json")]
    return await client.request("POST", path, headers, json.dumps(body).encode(), within=WITHIN)


async def both(house: House, server: ModelServer, path: str, body: dict[str, Any]) -> tuple[Response, Response]:
    """Return the answers with the proxy and without it."""
    answers = []
    for host, key in ((house, KEY), (server, SERVER_KEY)):
        async with host.client() as client:
            answers.append(await send(client, key, path, body))
            await answers[-1].read(WITHIN)
    return answers[0], answers[1]


async def chat(client: AsyncOpenAI, **more: Any) -> list[str]:
    """Return the pieces of a streamed answer."""
    stream = await client.chat.completions.create(**asked(**more), stream=True)
    return [chunk.choices[0].delta.content async for chunk in stream if chunk.choices[0].delta.content]


# What arrives.


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("path", PATHS)
async def test_bytes_are_those_of_the_server(house: House, server: ModelServer, path: str, stream: bool) -> None:
    answer, own = await both(house, server, path, asked(path, stream=stream))

    assert (answer.status, answer.end, own.end) == (200, End.CLEAN, End.CLEAN)
    assert OF_THIS_ANSWER.sub(b"", without_comments(answer)) == OF_THIS_ANSWER.sub(b"", bytes(own.body))
    assert own.body.endswith(DONE) == stream
    assert len(OF_THIS_ANSWER.findall(own.body)) >= (2 * TOKENS if stream else 2)


async def test_chat_is_streamed_token_by_token(client: AsyncOpenAI, direct: AsyncOpenAI) -> None:
    pieces = await chat(client)
    whole = await client.chat.completions.create(**asked())

    assert len(pieces) == TOKENS
    assert "".join(pieces) == whole.choices[0].message.content
    assert pieces == await chat(direct)


async def test_completion_is_streamed_token_by_token(client: AsyncOpenAI) -> None:
    stream = await client.completions.create(**asked(COMPLETIONS), stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    whole = await client.completions.create(**asked(COMPLETIONS))

    assert len([choice for choice in choices if choice.text]) == TOKENS
    assert "".join(choice.text for choice in choices) == whole.choices[0].text
    assert choices[-1].finish_reason == "length"


async def test_usage_is_that_of_the_server_and_is_recorded(house: House, client: AsyncOpenAI, direct: AsyncOpenAI) -> None:
    usage = (await client.chat.completions.create(**asked())).usage

    assert usage is not None
    assert usage == (await direct.chat.completions.create(**asked())).usage
    (record,) = await house.records()
    assert (record["tokens_in"], record["tokens_out"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert record["tokens_out"] == TOKENS


async def test_streams_at_once_come_one_after_the_other(client: AsyncOpenAI, direct: AsyncOpenAI) -> None:
    """It can do one at a time; the others wait inside it."""
    words = ["On tea", "On milk", "On honey"]

    told = await asyncio.gather(*(chat(client, words=each) for each in words))

    assert told == [await chat(direct, words=each) for each in words]


async def test_models_are_those_of_the_configuration_and_the_server_is_asked_by_its_name(
    house: House, client: AsyncOpenAI
) -> None:
    configured = [model.id async for model in client.models.list()]
    theirs = [model async for model in client.with_options(base_url=f"{house.url}/upstream/a/v1").models.list()]

    assert configured == [MODEL]
    assert [(model.id, model.owned_by) for model in theirs] == [(MODEL, "me")]


# Silence.


async def test_keepalives_bridge_the_evaluation_of_a_long_prompt(house: House, client: AsyncOpenAI, direct: AsyncOpenAI) -> None:
    told = await chat(client, words=f"First of all: {LONG}")

    assert told == await chat(direct, words=f"First of all: {LONG}")
    (record,) = await house.records()
    assert record["keepalives"] >= 3
    assert record["outcome"] == "completed"


# Leaving.


async def test_client_that_leaves_ends_the_generation(house: House, server: ModelServer, client: AsyncOpenAI) -> None:
    before_it = server.cancelled()
    stream = await client.chat.completions.create(**asked(max_tokens=ENDLESS), stream=True)
    await anext(aiter(stream))

    await stream.close()

    await gone(house, server, before_it)
    assert len(await chat(client)) == TOKENS


async def test_client_that_leaves_before_the_first_token_ends_the_generation(
    house: House, server: ModelServer, client: AsyncOpenAI
) -> None:
    before_it = server.cancelled()
    async with house.client() as leaving:
        response = await send(leaving, KEY, CHAT, asked(words=f"Now or never: {LONG}", max_tokens=ENDLESS, stream=True))
        await response.read_until(KEEPALIVE)

        leaving.reset()

        await gone(house, server, before_it)
    assert len(await chat(client)) == TOKENS


async def gone(house: House, server: ModelServer, before_it: int) -> None:
    """Wait until the server has ended one stream more, long before that would have ended by itself."""

    async def cancelled() -> bool:
        return server.cancelled() > before_it

    await until(cancelled, "the end of the generation", within=20)
    assert (await house.records())[0]["outcome"] == "client_gone"


# Errors.


async def test_error_of_the_server_comes_in_its_own_words(house: House, server: ModelServer, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 4096 tokens") as raised:
        await client.chat.completions.create(**asked(words=TOO_LONG))
    answer, own = await both(house, server, CHAT, asked(words=TOO_LONG))

    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "messages")
    assert answer.body == own.body


async def test_stream_that_the_server_cuts_before_its_first_event_is_an_error(house: House, client: AsyncOpenAI) -> None:
    """It says 200 before it counts the tokens, and then only closes the connection."""
    with pytest.raises(openai.APIError) as raised:
        await chat(client, words=TOO_LONG)

    assert raised.value.code == "upstream_truncated"
    (record,) = await house.records()
    assert [attempt["result"] for attempt in record["attempts"]] == ["upstream_truncated"] * 3
