"""Ways to read one text with Anthropic's official Python client: the same with and without silence, and without the proxy."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from anthropic import AsyncAnthropic
from anthropic.types import Message, MessageParam

from tests.support.upstream import Upstream

TEA: list[MessageParam] = [{"role": "user", "content": "On tea"}]
MODEL = "claude-x"
Told = Callable[[AsyncAnthropic], Coroutine[Any, Any, str]]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def iterated(client: AsyncAnthropic) -> str:
    stream = await client.messages.create(model=MODEL, max_tokens=99, messages=TEA, stream=True)
    pieces = [event.delta async for event in stream if event.type == "content_block_delta"]
    return "".join(piece.text for piece in pieces if piece.type == "text_delta")


async def helped(client: AsyncAnthropic) -> str:
    return text_of(await final(client))


async def whole(client: AsyncAnthropic) -> str:
    return text_of(await client.messages.create(model=MODEL, max_tokens=99, messages=TEA))


async def final(client: AsyncAnthropic) -> Message:
    """Return the message that the client's helper puts together."""
    async with client.messages.stream(model=MODEL, max_tokens=99, messages=TEA) as stream:
        return await stream.get_final_message()


STREAMED: list[Told] = [iterated, helped]


async def direct(upstream: Upstream, told: Told) -> str:
    """Return the text as the backend tells it when it is asked without the proxy."""
    async with AsyncAnthropic(base_url=upstream.url, api_key="none", max_retries=0) as client:
        return await told(client)
