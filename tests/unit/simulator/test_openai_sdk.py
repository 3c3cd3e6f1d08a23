"""The official Python client against the simulator, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import orjson
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from proxy.simulator import Simulator
from tests.unit.simulator.support import settled

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS, "strict": True},
}
RESPONSE_TOOL: FunctionToolParam = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


async def test_chat_is_streamed(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], stream=True, stream_options={"include_usage": True}
    )

    chunks = [chunk async for chunk in stream]

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "tea" in said
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(chunks) - 3
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_chat_helper_puts_a_whole_completion_together(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="demo", messages=[{"role": "user", "content": "Call it twice"}], tools=[CHAT_TOOL]
    ) as stream:
        completion = await stream.get_final_completion()

    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["weather", "weather"]
    assert [orjson.loads(call.function.arguments).keys() for call in calls] == [{"city"}, {"city"}]
    assert completion.choices[0].finish_reason == "tool_calls"


async def test_chat_without_a_stream_has_a_request_id(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], max_completion_tokens=3
    )

    assert completion.choices[0].finish_reason == "length"
    assert completion._request_id is not None
    assert completion._request_id.startswith("req_")


async def test_chat_is_parsed_into_a_model(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.parse(
        model="demo", messages=[{"role": "user", "content": "Weather"}], response_format=Weather
    )

    assert isinstance(completion.choices[0].message.parsed, Weather)


async def test_responses_are_streamed(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="demo-think", input="On tea") as stream:
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()

    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert "tea" in response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


async def test_responses_call_tools_and_take_results(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="demo", input="Weather in Oslo?", tools=[RESPONSE_TOOL])
    (call,) = first.output
    assert call.type == "function_call"

    second = await client.responses.create(
        model="demo",
        tools=[RESPONSE_TOOL],
        input=[
            {"role": "user", "content": "Weather in Oslo?"},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "-3"},
        ],
    )

    assert orjson.loads(call.arguments).keys() == {"city"}
    assert "Oslo" in second.output_text


async def test_incomplete_response_is_streamed(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="demo", input="On tea", max_output_tokens=2, stream=True)

    events = [event async for event in stream]

    assert events[-1].type == "response.incomplete"


async def test_legacy_completions_are_streamed(client: AsyncOpenAI) -> None:
    stream = await client.completions.create(model="demo", prompt="On tea", stream=True)

    assert "tea" in "".join([chunk.choices[0].text async for chunk in stream])


async def test_models_are_listed_and_described(client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    model = await client.models.retrieve("demo-think")

    assert "demo-slow-first-token" in listed
    assert model.owned_by == "simulator"


async def test_embeddings_and_moderations_are_read(client: AsyncOpenAI) -> None:
    embedded = await client.embeddings.create(model="demo-embedding", input=["tea", "milk"], dimensions=16)
    moderated = await client.moderations.create(input="tea")

    assert [len(one.embedding) for one in embedded.data] == [16, 16]
    assert moderated.results[0].flagged is False
    assert moderated.results[0].categories.self_harm_intent is False


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [("demo-rate-limit", openai.RateLimitError, "rate_limit_exceeded"), ("demo-server-error", openai.InternalServerError, None)],
)
async def test_error_statuses_are_raised(
    client: AsyncOpenAI, model: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    with pytest.raises(error) as raised:
        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "On tea"}], stream=True)

    assert raised.value.code == code
    assert raised.value.request_id is not None


async def test_unknown_model_and_bad_request_are_raised(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("gpt-99")
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="demo", messages=[])

    assert unknown.value.code == "model_not_found"
    assert bad.value.param == "messages"


@pytest.mark.parametrize("scenario", ["error_event_first", "error_event_late;after=2"])
async def test_error_events_are_raised(client: AsyncOpenAI, scenario: str) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], stream=True, extra_headers={"X-Test-Scenario": scenario}
    )

    with pytest.raises(openai.APIError, match="The server had an error") as raised:
        _ = [chunk async for chunk in stream]

    assert raised.value.code == "server_error"


async def test_failed_response_is_told_by_its_last_event(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(
        model="demo", input="On tea", stream=True, extra_headers={"X-Test-Scenario": "error_event_late;after=2"}
    )

    events = [event async for event in stream]

    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.sequence_number == len(events) - 1


@pytest.mark.parametrize("scenario", ["truncate", "reset", "reset_mid_event"])
async def test_broken_streams_are_raised(client: AsyncOpenAI, scenario: str) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], stream=True, extra_headers={"X-Test-Scenario": scenario}
    )

    with pytest.raises(openai.APIConnectionError):
        _ = [chunk async for chunk in stream]


async def test_stream_closed_early_stops_the_simulator(client: AsyncOpenAI, simulator: Simulator) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "On tea"}], stream=True, extra_headers={"X-Test-Scenario": "stall"}
    )
    await stream.__anext__()

    await stream.close()

    await settled(simulator)
    assert simulator.aborted == 1
