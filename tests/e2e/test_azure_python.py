"""OpenAI's official Python client in its form for Azure, unmodified: only endpoint and key are the proxy's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from proxy.settings import Settings
from proxy.simulator import Simulator
from tests.e2e.parts import STOPPED_WITHIN, demo
from tests.e2e.python_client import TEA
from tests.support.answers import ERROR_EVENT, TOKEN
from tests.support.house import KEY, House, open_house, settings
from tests.support.upstream import DONE, Fin, Hang, Pause, Reply, Rst, Upstream, answer, stream

pytestmark = pytest.mark.client("openai for Azure, Python", "pypi:openai")

VERSION = "2024-10-21"
FAST = {"commit_after": "200ms", "keepalive_interval": "100ms"}
FINISHED = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def azure_client(house: House, key: str = KEY) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(azure_endpoint=house.url, api_key=key, api_version=VERSION, max_retries=0)


def of_azure(url: str) -> Settings:
    """Return settings with one upstream of Azure's kind for `gpt-*`."""
    return settings(url, streaming=FAST, upstreams={"a": {"kind": "azure", "base_url": url}})


async def told(client: AsyncOpenAI, model: str = "demo") -> str:
    """Return the text of one streamed chat."""
    chunks = await client.chat.completions.create(model=model, messages=TEA, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


@pytest.fixture(params=["azure", "openai"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """A proxy in front of the simulator, either by Azure's paths or by OpenAI's."""
    backend = Simulator(pace=0)
    try:
        url = await backend.start()
        base = url if request.param == "azure" else f"{url}/v1"
        upstream = {"kind": request.param, "base_url": base, "api_key": "a"}
        models = [{"name": "demo*", "targets": [{"upstream": "a"}]}]
        async with open_house(settings(streaming=FAST, upstreams={"a": upstream}, models=models)) as opened:
            yield opened
    finally:
        await backend.close()


@pytest.mark.shows("text")
async def test_a_deployment_answers_whole_and_in_a_stream(house: House) -> None:
    async with azure_client(house) as client:
        completion = await client.chat.completions.create(model="demo", messages=TEA)
        streamed = await told(client)

    assert completion.choices[0].message.content == streamed
    assert "tea" in streamed
    assert [record["outcome"] for record in await house.records(2)] == ["completed", "completed"]


@pytest.mark.shows("tools")
async def test_tools_are_called_and_embeddings_made(house: House) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather in Oslo?"}]

    async with azure_client(house) as client:
        completion = await client.chat.completions.create(model="demo", messages=asked, tools=[WEATHER])
        embedded = await client.embeddings.create(model="demo-embedding", input="tea", dimensions=16)

    (call,) = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "weather"
    assert len(embedded.data[0].embedding) == 16


async def test_the_newer_form_is_openais_own_client(house: House) -> None:
    async with AsyncOpenAI(base_url=f"{house.url}/openai/v1", api_key=KEY, max_retries=0) as client:
        assert "tea" in await told(client)


@pytest.mark.shows("errors")
async def test_refusals_are_raised_as_what_they_are(house: House) -> None:
    async with azure_client(house) as client, azure_client(house, "lp_wrong") as stranger:
        with pytest.raises(openai.RateLimitError):
            await told(client, "demo-rate-limit")
        with pytest.raises(openai.AuthenticationError) as denied:
            await told(stranger)
        with pytest.raises(openai.NotFoundError) as unknown:
            await told(client, "gpt-99")

    assert (denied.value.code, unknown.value.code) == ("invalid_credentials", "model_not_found")


async def test_responses_name_their_model_in_the_body() -> None:
    async with open_house(demo()) as house, azure_client(house) as client:
        response = await client.responses.create(model="demo", input="On tea")

    assert "tea" in response.output_text


@pytest.mark.parametrize("silent", [stream(Pause(1), TOKEN, FINISHED, DONE), stream(TOKEN, Pause(1), FINISHED, DONE)])
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(silent: Reply) -> None:
    async with Upstream() as upstream, open_house(of_azure(upstream.url)) as house, azure_client(house) as client:
        upstream.script(silent)

        assert await told(client, "gpt-x") == "Hi"
        assert (await house.records())[0]["keepalives"] >= 3


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (stream(TOKEN), "upstream_truncated"),
        (stream(TOKEN, Rst()), "upstream_reset"),
        (stream(TOKEN, Fin()), "upstream_truncated"),
        (stream(TOKEN, ERROR_EVENT), "overloaded_error"),
    ],
    ids=["without its end", "reset", "closed", "told"],
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised_and_says_what_happened(broken: Reply, code: str) -> None:
    async with Upstream() as upstream, open_house(of_azure(upstream.url)) as house, azure_client(house) as client:
        upstream.script(broken)

        with pytest.raises(openai.APIError) as raised:
            await told(client, "gpt-x")

    assert raised.value.code == code


@pytest.mark.shows("errors")
async def test_a_prompt_that_azure_filters_is_refused_in_its_words() -> None:
    refusal = {"error": {"code": "content_filter", "message": "m", "status": 400, "innererror": {"code": "x"}}}
    async with Upstream() as upstream, open_house(of_azure(upstream.url)) as house, azure_client(house) as client:
        upstream.script(answer(refusal, 400))

        with pytest.raises(openai.BadRequestError) as raised:
            await told(client, "gpt-x")

    assert raised.value.code == "content_filter"


@pytest.mark.shows("leaving")
async def test_closed_stream_stops_the_backend_at_once() -> None:
    async with Upstream() as upstream, open_house(of_azure(upstream.url)) as house, azure_client(house) as client:
        upstream.always(stream(TOKEN, Hang()))
        waits = []

        for number in range(3):  # another program on this machine may delay one of them
            chunks = await client.chat.completions.create(model="gpt-x", messages=TEA, stream=True)
            await anext(aiter(chunks))
            began = time.monotonic()
            await chunks.close()
            waits.append((await upstream.closed(number)).at - began)

        assert min(waits) < STOPPED_WITHIN
        assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}


@pytest.mark.shows("text")
async def test_sync_client_streams(house: House) -> None:
    def use() -> str:
        with AzureOpenAI(azure_endpoint=house.url, api_key=KEY, api_version=VERSION, max_retries=0) as client:
            chunks = client.chat.completions.create(model="demo", messages=TEA, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert "tea" in await asyncio.to_thread(use)
