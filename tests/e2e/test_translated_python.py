"""The official Python clients of Anthropic and OpenAI, unmodified, on a backend that has OpenAI's chat API only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import orjson
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, ToolParam, ToolUseBlock
from openai import AsyncOpenAI
from openai.types.responses import FunctionToolParam, ResponseReasoningItem
from openai.types.shared_params import Reasoning
from pydantic import BaseModel

from tests.e2e.claude_client import TEA, text_of
from tests.e2e.parts import demo_for
from tests.e2e.python_client import chat_whole, direct, response_helped, response_iterated, response_whole, scripted
from tests.support.house import KEY, House, open_house

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: ToolParam = {"name": "weather", "description": "Of a city.", "input_schema": SCHEMA}
CLOCK: ToolParam = {"name": "clock", "description": "In a city.", "input_schema": SCHEMA}
RESPONSE_WEATHER: FunctionToolParam = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
QUICK = scripted("ok;pace=0")
BOTH = "Weather and time in both Oslo and Rome?"


class Forecast(BaseModel):
    city: str
    degrees: int


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with open_house(demo_for(request, upstreams={"demo": {"apis": ["chat"]}})) as opened:
        yield opened


@pytest.fixture
async def claude(house: House) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=house.url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def gpt(house: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


async def streamed(client: AsyncAnthropic, scenario: str = "ok;pace=0", **more: Any) -> Message:
    """Return the message that the client's helper puts together."""
    asked: dict[str, Any] = {"model": "demo", "max_tokens": 999, "messages": TEA, **more}
    async with client.messages.stream(**asked, extra_headers=scripted(scenario)) as stream:
        return await stream.get_final_message()


# Anthropic's client.


async def test_a_message_is_that_of_the_backend_streamed_or_whole(house: House, claude: AsyncAnthropic) -> None:
    message = await streamed(claude)
    whole = await claude.messages.create(model="demo", max_tokens=999, messages=TEA, extra_headers=QUICK)

    assert text_of(message) == text_of(whole) == await direct(house, chat_whole)
    assert (message.stop_reason, whole.stop_reason) == ("end_turn", "end_turn")
    assert message.usage.input_tokens == whole.usage.input_tokens > 0
    assert message.usage.output_tokens == whole.usage.output_tokens > 0


async def test_a_message_that_reached_its_limit_says_so(claude: AsyncAnthropic) -> None:
    message = await streamed(claude, max_tokens=3)

    assert message.stop_reason == "max_tokens"


async def test_parallel_tool_calls_are_streamed_and_answered(claude: AsyncAnthropic) -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": BOTH}]

    message = await streamed(claude, messages=asked, tools=[WEATHER, CLOCK], system="Be brief.")
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "-3"} for call in calls]
    turns = [*asked, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = await streamed(claude, messages=turns, tools=[WEATHER, CLOCK])

    assert message.stop_reason == "tool_use"
    assert [(call.name, list(call.input)) for call in calls] == [("weather", ["city"]), ("clock", ["city"])]
    assert (answer.stop_reason, "Oslo" in text_of(answer)) == ("end_turn", True)


async def test_thoughts_are_blocks_of_their_own_and_may_be_sent_back(claude: AsyncAnthropic) -> None:
    message = await streamed(claude, model="demo-think", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048)

    turns = [*TEA, {"role": "assistant", "content": message.content}, {"role": "user", "content": "Go on."}]
    answer = await streamed(claude, model="demo-think", messages=turns)

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].type == "thinking"
    assert message.content[0].thinking
    assert text_of(answer)


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
async def test_silence_changes_nothing(house: House, claude: AsyncAnthropic, silence: str) -> None:
    """The client itself gives up after half a second without a byte."""
    impatient = claude.with_options(timeout=anthropic.Timeout(5, read=0.5))

    message = await streamed(impatient, f"{silence};pace=0")

    assert text_of(message) == await direct(house, chat_whole)
    assert (await house.records())[0]["keepalives"] >= 3


@pytest.mark.parametrize(
    ("scenario", "raised"),
    [
        ("rate_limit;retry_after=100", anthropic.RateLimitError),
        ("server_error", anthropic.InternalServerError),
        ("error_event_first", anthropic.APIStatusError),
        ("error_event_late", anthropic.APIStatusError),
        ("truncate", anthropic.APIStatusError),
        ("truncate;framing=chunked-clean", anthropic.APIStatusError),
    ],
)
async def test_failures_are_raised(claude: AsyncAnthropic, scenario: str, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        await streamed(claude, scenario)


async def test_what_the_backend_cannot_honour_is_a_bad_request(claude: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        await streamed(claude, extra_body={"top_k": 5})


# OpenAI's client.


@pytest.mark.parametrize("told", [response_iterated, response_helped, response_whole])
async def test_a_response_is_that_of_the_backend(house: House, gpt: AsyncOpenAI, told: Any) -> None:
    assert await told(gpt, "ok;pace=0") == await direct(house, chat_whole)


async def test_calls_of_a_response_are_streamed_and_answered(gpt: AsyncOpenAI) -> None:
    async with gpt.responses.stream(
        model="demo", input="Weather in Oslo?", tools=[RESPONSE_WEATHER], extra_headers=QUICK
    ) as stream:
        kinds = [event.type async for event in stream]
        first = await stream.get_final_response()
    (call,) = first.output
    assert call.type == "function_call"

    second = await gpt.responses.create(
        model="demo",
        tools=[RESPONSE_WEATHER],
        extra_headers=QUICK,
        input=[
            {"role": "user", "content": "Weather in Oslo?"},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "-3"},
        ],
    )

    assert orjson.loads(call.arguments).keys() == {"city"}
    assert "response.function_call_arguments.delta" in kinds
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert "Oslo" in second.output_text


@pytest.mark.parametrize("summary", [None, "auto"])
async def test_thoughts_of_a_response_are_streamed(gpt: AsyncOpenAI, summary: Any) -> None:
    reasoning: Reasoning = {"summary": summary} if summary else {}
    async with gpt.responses.stream(model="demo-think", input="On tea", reasoning=reasoning, extra_headers=QUICK) as stream:
        response = await stream.get_final_response()

    thoughts, message = response.output
    assert isinstance(thoughts, ResponseReasoningItem)
    assert message.type == "message"
    assert bool(thoughts.summary) is bool(summary)
    assert bool(thoughts.content) is not bool(summary)
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


async def test_an_answer_is_parsed_into_a_model(gpt: AsyncOpenAI) -> None:
    response = await gpt.responses.parse(model="demo", input="On tea", text_format=Forecast, extra_headers=QUICK)

    assert isinstance(response.output_parsed, Forecast)


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
async def test_silence_does_not_change_a_response(house: House, gpt: AsyncOpenAI, silence: str) -> None:
    impatient = gpt.with_options(timeout=openai.Timeout(5, read=0.5))

    text = await response_helped(impatient, f"{silence};pace=0")

    assert text == await direct(house, chat_whole)
    assert (await house.records())[0]["keepalives"] >= 3


@pytest.mark.parametrize("scenario", ["rate_limit;retry_after=100", "error_event_first"])
async def test_a_response_that_never_began_is_raised(gpt: AsyncOpenAI, scenario: str) -> None:
    with pytest.raises(openai.APIError):
        await response_iterated(gpt, scenario)


@pytest.mark.parametrize("scenario", ["error_event_late;pace=0", "truncate;pace=0"])
async def test_a_response_that_broke_says_that_it_failed(gpt: AsyncOpenAI, scenario: str) -> None:
    stream = await gpt.responses.create(model="demo", input="On tea", stream=True, extra_headers=scripted(scenario))
    kinds = []

    try:
        async for event in stream:
            kinds.append(event.type)  # noqa: PERF401 - what came before the exception counts
    except Exception:
        assert scenario.startswith("truncate")  # the connection is cut behind the event

    assert kinds[-1] == "response.failed"
