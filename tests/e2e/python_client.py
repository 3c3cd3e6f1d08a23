"""Ways to read one text with the official Python client: the same with and without silence, and without the proxy."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.parts import backend_url
from tests.support.house import House

TEA: list[ChatCompletionMessageParam] = [{"role": "user", "content": "On tea"}]
Told = Callable[[AsyncOpenAI, str], Coroutine[Any, Any, str]]


def scripted(scenario: str) -> dict[str, str]:
    return {"X-Test-Scenario": scenario}


async def chat_iterated(client: AsyncOpenAI, scenario: str = "ok") -> str:
    stream = await client.chat.completions.create(model="demo", messages=TEA, stream=True, extra_headers=scripted(scenario))
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def chat_helped(client: AsyncOpenAI, scenario: str = "ok") -> str:
    async with client.chat.completions.stream(model="demo", messages=TEA, extra_headers=scripted(scenario)) as stream:
        return (await stream.get_final_completion()).choices[0].message.content or ""


async def chat_whole(client: AsyncOpenAI, scenario: str = "ok") -> str:
    completion = await client.chat.completions.create(model="demo", messages=TEA, extra_headers=scripted(scenario))
    return completion.choices[0].message.content or ""


async def completion_iterated(client: AsyncOpenAI, scenario: str = "ok") -> str:
    stream = await client.completions.create(model="demo", prompt="On tea", stream=True, extra_headers=scripted(scenario))
    return "".join([chunk.choices[0].text async for chunk in stream])


async def response_iterated(client: AsyncOpenAI, scenario: str = "ok") -> str:
    stream = await client.responses.create(model="demo", input="On tea", stream=True, extra_headers=scripted(scenario))
    return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def response_helped(client: AsyncOpenAI, scenario: str = "ok") -> str:
    async with client.responses.stream(model="demo", input="On tea", extra_headers=scripted(scenario)) as stream:
        return (await stream.get_final_response()).output_text


async def response_whole(client: AsyncOpenAI, scenario: str = "ok") -> str:
    return (await client.responses.create(model="demo", input="On tea", extra_headers=scripted(scenario))).output_text


STREAMED: list[Told] = [chat_iterated, chat_helped, completion_iterated, response_iterated, response_helped]


async def direct(house: House, told: Told) -> str:
    """Return the text as the backend tells it when it is asked without the proxy."""
    async with AsyncOpenAI(base_url=f"{backend_url(house)}/v1", api_key="none") as client:
        return await told(client, "ok;pace=0")
