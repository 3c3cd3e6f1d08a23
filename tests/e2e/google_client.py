"""Ways to read one text with Google's official Python client: the same with and without silence, and without the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from google import genai
from google.genai import types

from tests.support.google import MODEL
from tests.support.house import KEY
from tests.support.upstream import Upstream

TEA: Final = "On tea"
Told = Callable[[genai.Client], Coroutine[Any, Any, str]]


@asynccontextmanager
async def google_client(url: str, key: str = KEY, **options: Any) -> AsyncIterator[genai.Client]:
    """Lend a client of which only base URL and key are ours; *options* are further ones of its HTTP side."""
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, **options))
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


def parts_of(chunks: list[types.GenerateContentResponse]) -> list[types.Part]:
    """Return what all candidates have said, in order."""
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or ()]
    return [part for candidate in candidates if candidate.content for part in candidate.content.parts or ()]


async def chunks_of(client: genai.Client, model: str = MODEL, **more: Any) -> list[types.GenerateContentResponse]:
    """Return the chunks of one stream."""
    return [chunk async for chunk in await client.aio.models.generate_content_stream(model=model, contents=TEA, **more)]


async def iterated(client: genai.Client) -> str:
    return "".join([chunk.text or "" for chunk in await chunks_of(client)])


async def chatted(client: genai.Client) -> str:
    chat = client.aio.chats.create(model=MODEL)
    return "".join([chunk.text or "" async for chunk in await chat.send_message_stream(TEA)])


async def blocking(client: genai.Client) -> str:
    """The client's other half, which does not know asyncio and reads streams with code of its own."""

    def use() -> str:
        return "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents=TEA))

    return await asyncio.to_thread(use)


async def whole(client: genai.Client) -> str:
    return (await client.aio.models.generate_content(model=MODEL, contents=TEA)).text or ""


STREAMED: Final[list[Told]] = [iterated, chatted, blocking]


async def direct(upstream: Upstream, told: Told) -> str:
    """Return the text as the backend tells it when it is asked without the proxy."""
    async with google_client(upstream.url, "none") as client:
        return await told(client)
