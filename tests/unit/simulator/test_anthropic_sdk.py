"""Anthropic's Python client against the simulator, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam, ToolParam

from proxy.simulator import Simulator
from tests.unit.simulator.support import settled

ON_TEA: list[MessageParam] = [{"role": "user", "content": "On tea"}]
TOOL: ToolParam = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=url, api_key="sk-ant-test", max_retries=0) as client:
        yield client


async def test_message_has_text_usage_and_a_request_id(client: AsyncAnthropic) -> None:
    message = await client.messages.create(model="demo", max_tokens=3, messages=ON_TEA)

    assert message.content[0].type == "text"
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


async def test_helper_puts_thoughts_and_text_together(client: AsyncAnthropic) -> None:
    async with client.messages.stream(model="demo", max_tokens=2000, messages=ON_TEA, thinking={"type": "adaptive"}) as stream:
        said = "".join([text async for text in stream.text_stream])
        message = await stream.get_final_message()

    thinking, text = message.content
    assert thinking.type == "thinking"
    assert "tea" in thinking.thinking
    assert thinking.signature
    assert text.type == "text"
    assert "tea" in said == text.text
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens > message.usage.output_tokens_details.thinking_tokens > 0


async def test_tools_are_used_in_parallel_and_take_results(client: AsyncAnthropic) -> None:
    question: MessageParam = {"role": "user", "content": "Weather in both towns, Oslo and Bergen?"}
    async with client.messages.stream(model="demo", max_tokens=500, messages=[question], tools=[TOOL]) as stream:
        first = await stream.get_final_message()
    uses = [block for block in first.content if block.type == "tool_use"]

    second = await client.messages.create(
        model="demo",
        max_tokens=500,
        tools=[TOOL],
        messages=[
            question,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "-3"} for use in uses]},
        ],
    )

    assert first.stop_reason == "tool_use"
    assert [use.input.keys() for use in uses] == [{"city"}, {"city"}]
    assert second.content[0].type == "text"
    assert "Oslo" in second.content[0].text


async def test_cache_is_told_apart(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="demo",
        max_tokens=3,
        system=[{"type": "text", "text": "Be brief. " * 50, "cache_control": {"type": "ephemeral"}}],
        messages=ON_TEA,
    )

    assert message.usage.cache_creation is not None
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == message.usage.cache_creation_input_tokens == 129


async def test_tokens_are_counted(client: AsyncAnthropic) -> None:
    assert (await client.messages.count_tokens(model="demo", messages=ON_TEA)).input_tokens == 6


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("rate_limit", anthropic.RateLimitError),
        ("server_error", anthropic.InternalServerError),
        ("server_error;status=529", anthropic.InternalServerError),
    ],
)
async def test_error_statuses_are_raised(client: AsyncAnthropic, scenario: str, error: type[anthropic.APIStatusError]) -> None:
    with pytest.raises(error) as raised:
        await client.messages.create(model="demo", max_tokens=9, messages=ON_TEA, extra_headers={"X-Test-Scenario": scenario})

    assert raised.value.request_id is not None


async def test_bad_request_is_raised_with_its_reason(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await client.messages.create(model="demo", max_tokens=0, messages=ON_TEA)


@pytest.mark.parametrize(
    "scenario", ["error_event_first;code=overloaded_error", "error_event_late;after=2;code=overloaded_error"]
)
async def test_error_events_are_raised(client: AsyncAnthropic, scenario: str) -> None:
    stream = await client.messages.create(
        model="demo", max_tokens=99, messages=ON_TEA, stream=True, extra_headers={"X-Test-Scenario": scenario}
    )

    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        _ = [event async for event in stream]


@pytest.mark.parametrize("scenario", ["truncate", "reset", "reset_mid_event"])
async def test_broken_streams_are_raised(client: AsyncAnthropic, scenario: str) -> None:
    stream = await client.messages.create(
        model="demo", max_tokens=99, messages=ON_TEA, stream=True, extra_headers={"X-Test-Scenario": scenario}
    )

    with pytest.raises(httpx2.TransportError):  # the client lets it through
        _ = [event async for event in stream]


async def test_stream_closed_early_stops_the_simulator(client: AsyncAnthropic, simulator: Simulator) -> None:
    stream = await client.messages.create(
        model="demo", max_tokens=99, messages=ON_TEA, stream=True, extra_headers={"X-Test-Scenario": "stall"}
    )
    await stream.__anext__()

    await stream.close()

    await settled(simulator)
    assert simulator.aborted == 1
