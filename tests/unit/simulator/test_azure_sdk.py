"""The official Python client for Azure OpenAI against the simulator, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI

VERSION = "2024-10-21"


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncAzureOpenAI]:
    async with AsyncAzureOpenAI(azure_endpoint=url, api_key="test", api_version=VERSION, max_retries=0) as client:
        yield client


async def test_chat_of_a_deployment_is_streamed_after_a_chunk_without_choices(client: AsyncAzureOpenAI) -> None:
    stream = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "On tea"}], stream=True)

    first, *chunks = [chunk async for chunk in stream]

    assert (first.choices, first.id) == ([], "")
    assert "tea" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def test_embeddings_of_a_deployment_are_made(client: AsyncAzureOpenAI) -> None:
    embedded = await client.embeddings.create(model="demo", input="tea", dimensions=16)

    assert len(embedded.data[0].embedding) == 16


async def test_rate_limit_is_raised(client: AsyncAzureOpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        await client.chat.completions.create(model="demo-rate-limit", messages=[{"role": "user", "content": "On tea"}])

    assert raised.value.code == "429"
    assert raised.value.response.headers["retry-after-ms"] == "1000"


async def test_newer_paths_need_no_version(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/openai/v1", api_key="test", max_retries=0) as client:
        completion = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "On tea"}])

    assert "tea" in (completion.choices[0].message.content or "")
