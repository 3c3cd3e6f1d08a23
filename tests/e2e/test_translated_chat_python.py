"""OpenAI's official Python client, unmodified, on backends that have Anthropic's, Bedrock's or Google's API only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import BaseModel

from tests.e2e.parts import demo_for
from tests.e2e.python_client import Told, chat_helped, chat_iterated, chat_whole, direct, scripted
from tests.support.house import KEY, House, open_house

# Each API that a backend may have, and a model of its kind.
BACKENDS = {"messages": "claude-sonnet-4-5", "converse": "anthropic.claude-sonnet-4-5-v1:0", "gemini": "gemini-2.5-flash"}
QUICK = scripted("ok;pace=0")
BOTH = "Weather and time in both Oslo and Rome?"


def tool(name: str) -> ChatCompletionToolUnionParam:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": "Of a city.", "parameters": schema, "strict": True}}


class Forecast(BaseModel):
    city: str
    degrees: int


@pytest.fixture(params=BACKENDS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    api: str = request.param
    models = [{"name": "demo", "targets": [{"upstream": "demo", "model": BACKENDS[api]}]}]
    async with open_house(demo_for(request, upstreams={"demo": {"apis": [api]}}, models=models)) as opened:
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


async def streamed(client: AsyncOpenAI, **more: Any) -> Any:
    """Return the completion that the client's helper puts together."""
    asked: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "On tea"}], **more}
    async with client.chat.completions.stream(**asked, extra_headers=QUICK) as stream:
        return await stream.get_final_completion()


@pytest.mark.parametrize("told", [chat_iterated, chat_helped, chat_whole])
async def test_text_is_that_of_the_backend(house: House, client: AsyncOpenAI, told: Told) -> None:
    assert await told(client, "ok;pace=0") == await direct(house, chat_whole)


async def test_usage_is_told_streamed_or_whole(client: AsyncOpenAI) -> None:
    stream = await streamed(client, stream_options={"include_usage": True})
    whole = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], extra_headers=QUICK
    )

    assert whole.usage is not None
    assert stream.usage.prompt_tokens == whole.usage.prompt_tokens > 0
    assert stream.usage.completion_tokens == whole.usage.completion_tokens > 0


async def test_an_answer_that_reached_its_limit_says_so(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await streamed(client, max_completion_tokens=3, response_format=Forecast)


async def test_parallel_tool_calls_are_streamed_and_answered(client: AsyncOpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": BOTH},
    ]
    tools = [tool("weather"), tool("clock")]

    first = (await streamed(client, messages=asked, tools=tools)).choices[0]
    calls = first.message.tool_calls
    results = [{"role": "tool", "tool_call_id": call.id, "content": "-3"} for call in calls]
    second = (await streamed(client, messages=[*asked, first.message, *results], tools=tools)).choices[0]

    assert first.finish_reason == "tool_calls"
    assert [(call.function.name, list(orjson.loads(call.function.arguments))) for call in calls] == [
        ("weather", ["city"]),
        ("clock", ["city"]),
    ]
    assert (second.finish_reason, "Oslo" in second.message.content) == ("stop", True)


async def test_a_tool_may_have_a_name_that_the_backend_does_not_take(client: AsyncOpenAI) -> None:
    first = (
        await streamed(client, messages=[{"role": "user", "content": "Weather in Oslo?"}], tools=[tool("0 weather!")])
    ).choices[0]

    assert [call.function.name for call in first.message.tool_calls] == ["0 weather!"]


async def test_reasoning_is_told_apart_and_may_be_sent_back_with_the_results(client: AsyncOpenAI) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather in Oslo?"}]
    more: dict[str, Any] = {"tools": [tool("weather")], "reasoning_effort": "low"}

    first = (await streamed(client, messages=asked, **more)).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "-3"}
    second = (await streamed(client, messages=[*asked, first, result], **more)).choices[0].message

    assert first.reasoning_content
    assert "Oslo" in second.content


async def test_an_answer_is_parsed_into_a_model(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.parse(
        model="demo", messages=[{"role": "user", "content": "On tea"}], response_format=Forecast, extra_headers=QUICK
    )

    assert isinstance(completion.choices[0].message.parsed, Forecast)


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
async def test_silence_changes_nothing(house: House, client: AsyncOpenAI, silence: str) -> None:
    """The client itself gives up after half a second without a byte."""
    impatient = client.with_options(timeout=openai.Timeout(5, read=0.5))

    text = await chat_iterated(impatient, f"{silence};pace=0")

    assert text == await direct(house, chat_whole)
    assert (await house.records())[0]["keepalives"] >= 3


@pytest.mark.parametrize(
    ("scenario", "raised"),
    [
        ("rate_limit;retry_after=100", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("error_event_first", openai.APIError),
        ("error_event_late", openai.APIError),
        ("truncate", openai.APIError),
        ("truncate;framing=chunked-clean", openai.APIError),
        ("reset_mid_event", openai.APIError),
    ],
)
async def test_failures_are_raised(client: AsyncOpenAI, scenario: str, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        await chat_iterated(client, f"{scenario};pace=0")


async def test_what_the_backend_cannot_honour_is_a_bad_request(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="logit_bias") as caught:
        await streamed(client, logit_bias={"1": 2})

    assert (caught.value.param, caught.value.code) == ("logit_bias", "unsupported_parameter")
