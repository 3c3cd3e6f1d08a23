"""The official Python client, unmodified: only base URL and key are the proxy's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from statistics import median

import openai
import orjson
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import FunctionToolParam, ResponseStreamEvent
from pydantic import BaseModel

from proxy.tasks import Tasks
from tests.e2e.parts import STOPPED_WITHIN, begun, demo, simulator, stopped
from tests.e2e.python_client import (
    STREAMED,
    TEA,
    Told,
    chat_iterated,
    chat_whole,
    direct,
    response_iterated,
    response_whole,
    scripted,
)
from tests.support.house import KEY, House, open_house

pytestmark = pytest.mark.client("openai for Python", "pypi:openai")

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": PARAMETERS, "strict": True},
}
CLOCK: ChatCompletionToolParam = {"type": "function", "function": {"name": "clock", "parameters": PARAMETERS, "strict": True}}
RESPONSE_WEATHER: FunctionToolParam = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
WHOLE: list[Told] = [chat_whole, response_whole]
QUICK = {"X-Test-Scenario": "ok;pace=0"}


class Forecast(BaseModel):
    city: str
    degrees: int


@pytest.fixture
async def client(house: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


async def collect(stream: AsyncIterator[ResponseStreamEvent], events: list[ResponseStreamEvent]) -> None:
    """Append each event to *events*, so that they can be looked at when the stream ends in an exception."""
    async for event in stream:
        events.append(event)  # noqa: PERF401 - see above


# What arrives.


@pytest.mark.parametrize("told", [*STREAMED, *WHOLE])
@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(house: House, client: AsyncOpenAI, told: Told) -> None:
    text = await told(client, "ok;pace=0")

    assert text == await direct(house, told)
    assert "tea" in text


@pytest.mark.shows("text")
async def test_chunks_arrive_one_by_one(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo",
        messages=TEA,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=scripted("ok;pace=50ms;tokens=8"),
    )

    chunks, times = [], []
    async for chunk in stream:
        chunks.append(chunk)
        times.append(time.monotonic())

    words = [at for at, chunk in zip(times, chunks, strict=True) if chunk.choices and chunk.choices[0].delta.content]
    assert len(words) == 8
    assert median(later - at for at, later in itertools.pairwise(words)) > 0.025
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


@pytest.mark.shows("tools")
async def test_parallel_tool_calls_are_streamed(client: AsyncOpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather and time in both Oslo and Rome?"}]
    tools = [WEATHER, CLOCK]

    async with client.chat.completions.stream(model="demo", messages=messages, tools=tools, extra_headers=QUICK) as stream:
        completion = await stream.get_final_completion()

    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["weather", "clock"]
    assert [orjson.loads(call.function.arguments).keys() for call in calls] == [{"city"}, {"city"}]
    assert len({call.id for call in calls}) == 2


@pytest.mark.shows("tools")
async def test_tool_calls_of_a_response_are_streamed_and_answered(client: AsyncOpenAI) -> None:
    async with client.responses.stream(
        model="demo", input="Weather in Oslo?", tools=[RESPONSE_WEATHER], extra_headers=QUICK
    ) as stream:
        kinds = [event.type async for event in stream]
        first = await stream.get_final_response()
    (call,) = first.output
    assert call.type == "function_call"

    second = await client.responses.create(
        model="demo",
        tools=[RESPONSE_WEATHER],
        extra_headers=QUICK,
        input=[
            {"role": "user", "content": "Weather in Oslo?"},
            {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
            {"type": "function_call_output", "call_id": call.call_id, "output": "-3"},
        ],
    )

    assert "response.function_call_arguments.delta" in kinds
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert "Oslo" in second.output_text


@pytest.mark.shows("tools")
async def test_thoughts_of_a_response_are_streamed(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="demo-think", input="On tea", extra_headers=scripted("ok;pace=0")) as stream:
        response = await stream.get_final_response()

    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.shows("tools")
async def test_answer_is_parsed_into_a_model(client: AsyncOpenAI) -> None:
    chat = await client.chat.completions.parse(model="demo", messages=TEA, response_format=Forecast, extra_headers=QUICK)
    response = await client.responses.parse(model="demo", input="On tea", text_format=Forecast, extra_headers=QUICK)

    assert isinstance(chat.choices[0].message.parsed, Forecast)
    assert isinstance(response.output_parsed, Forecast)


async def test_request_id_of_the_client_library_is_that_of_the_log(house: House, client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(model="demo", messages=TEA, max_completion_tokens=3, extra_headers=QUICK)

    assert completion._request_id == (await house.records())[0]["id"]
    assert completion.choices[0].finish_reason == "length"


async def test_models_are_listed_and_described(client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]

    assert {"demo", "demo-think", "demo-embedding"} <= set(listed)
    assert (await client.models.retrieve("demo-think")).id == "demo-think"


async def test_embeddings_and_moderations_are_read(client: AsyncOpenAI) -> None:
    embedded = await client.embeddings.create(model="demo-embedding", input=["tea", "milk"], dimensions=16)
    moderated = await client.moderations.create(model="demo", input="tea")

    assert [len(one.embedding) for one in embedded.data] == [16, 16]
    assert moderated.results[0].flagged is False


# Silence.


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(house: House, client: AsyncOpenAI, silence: str) -> None:
    """The client itself gives up after half a second without a byte."""
    impatient = client.with_options(timeout=openai.Timeout(5, read=0.5))

    texts = await asyncio.gather(*(told(impatient, f"{silence};pace=0") for told in STREAMED))

    assert texts == [await direct(house, told) for told in STREAMED]
    assert all(record["keepalives"] >= 3 for record in await house.records(len(STREAMED)))


@pytest.mark.shows("silence")
async def test_whitespace_before_a_slow_whole_answer_changes_nothing() -> None:
    async with open_house(demo(streaming={"json_keepalive_after": "100ms"})) as house:
        timeout = openai.Timeout(5, read=0.5)
        async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0, timeout=timeout) as client:
            texts = await asyncio.gather(*(told(client, "slow_first_token;delay=1s;pace=0") for told in WHOLE))

        assert texts == [await direct(house, told) for told in WHOLE]


# Errors.


@pytest.mark.shows("errors")
async def test_wrong_key_is_an_authentication_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        await chat_iterated(client.with_options(api_key="lp_wrong"))

    assert raised.value.code == "invalid_credentials"
    assert raised.value.request_id


@pytest.mark.shows("errors")
async def test_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as asked:
        await client.chat.completions.create(model="gpt-99", messages=TEA, stream=True)
    with pytest.raises(openai.NotFoundError) as retrieved:
        await client.models.retrieve("gpt-99")

    assert [asked.value.code, retrieved.value.code] == ["model_not_found"] * 2


@pytest.mark.shows("errors")
async def test_bad_request_names_its_parameter(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(model="demo", messages=[])

    assert raised.value.param == "messages"


@pytest.mark.shows("errors")
async def test_rate_limit_tells_how_long_to_wait(house: House, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        await chat_iterated(client, "rate_limit;retry_after=40s")

    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["retry-after"] == "40"
    assert "x-should-retry" not in raised.value.response.headers
    assert simulator(house).finished == 1


@pytest.mark.shows("errors")
async def test_rate_limit_is_waited_out_by_the_client_alone(house: House, client: AsyncOpenAI) -> None:
    """Its own wait is right, so the proxy neither asks again by itself nor forbids it."""
    with pytest.raises(openai.RateLimitError):
        await chat_iterated(client.with_options(max_retries=1), "rate_limit;retry_after=1.5")

    assert simulator(house).finished == 2


@pytest.mark.parametrize("told", [chat_iterated, chat_whole, response_iterated])
@pytest.mark.shows("errors")
async def test_client_does_not_multiply_the_attempts_of_the_proxy(house: House, client: AsyncOpenAI, told: Told) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        await told(client.with_options(max_retries=2), "server_error;status=503")

    assert raised.value.response.headers["x-should-retry"] == "false"
    assert simulator(house).finished == house.server.settings.retry.attempts
    assert len(await house.records()) == 1


@pytest.mark.parametrize(
    "broken", ["truncate", "truncate;framing=close", "truncate;framing=chunked-clean", "reset", "reset_mid_event"]
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised(house: House, client: AsyncOpenAI, broken: str) -> None:
    ends = await asyncio.gather(*(told(client, f"{broken};pace=0") for told in STREAMED), return_exceptions=True)

    assert [isinstance(end, openai.APIError) for end in ends] == [True] * len(STREAMED), ends
    assert {record["outcome"] for record in await house.records(len(STREAMED))} <= {"upstream_truncated", "upstream_reset"}


@pytest.mark.shows("cut")
async def test_broken_chat_says_what_happened(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="ended the answer before it was complete") as raised:
        await chat_iterated(client, "truncate;pace=0")

    assert raised.value.code == "upstream_truncated"


@pytest.mark.shows("cut")
async def test_broken_response_has_failed_as_its_last_event(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="demo", input="On tea", stream=True, extra_headers=scripted("truncate;pace=0"))

    events: list[ResponseStreamEvent] = []
    with pytest.raises(openai.APIConnectionError):
        await collect(stream, events)

    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.sequence_number == len(events) - 1


@pytest.mark.parametrize("scenario", ["error_event_first", "error_event_late;after=2"])
@pytest.mark.shows("errors")
async def test_error_of_the_backend_in_the_stream_is_raised_as_it_is(client: AsyncOpenAI, scenario: str) -> None:
    with pytest.raises(openai.APIError, match="The server had an error") as raised:
        await chat_iterated(client, scenario)

    assert raised.value.code == "server_error"


@pytest.mark.shows("errors")
async def test_failure_behind_keepalives_is_raised() -> None:
    """The status is out; the backend never answers until the deadline for a first token."""
    async with open_house(demo(streaming={"first_token_timeout": "800ms"})) as house:
        async with AsyncOpenAI(base_url=f"{house.url}/v1", api_key=KEY) as client:
            with pytest.raises(openai.APIError) as raised:
                await chat_iterated(client, "timeout")

        assert raised.value.code == "upstream_timeout"
        assert (await house.records())[0]["keepalives"] >= 3


# Leaving.


@pytest.mark.parametrize("scenario", ["stall;after=2", "ok;pace=20ms;tokens=1000"])
@pytest.mark.shows("leaving")
async def test_closed_stream_stops_the_backend_at_once(house: House, client: AsyncOpenAI, scenario: str) -> None:
    backend = simulator(house)
    waits = []

    for _ in range(3):  # another program on this machine may delay one of them
        stream = await client.chat.completions.create(model="demo", messages=TEA, stream=True, extra_headers=scripted(scenario))
        await anext(aiter(stream))
        await stream.close()
        waits.append(await stopped(backend))

    assert min(waits) < STOPPED_WITHIN
    assert (backend.aborted, backend.finished) == (3, 0)
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}


@pytest.mark.parametrize("told", [chat_iterated, response_iterated, chat_whole])
@pytest.mark.shows("leaving")
async def test_request_that_is_cancelled_before_its_first_token_stops_the_backend(
    house: House, client: AsyncOpenAI, told: Told
) -> None:
    asked = Tasks().spawn(told(client, "slow_first_token;delay=60s"), name="an application's request")
    await begun(simulator(house))

    asked.cancel()

    assert await stopped(simulator(house)) < 1
    assert (await house.records())[0]["outcome"] == "client_gone"


# The same without asyncio.


@pytest.mark.shows("text")
async def test_sync_client_streams_and_reads_and_raises(house: House) -> None:
    def use() -> tuple[str, str, str, str | None]:
        with OpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0) as client:
            quick = scripted("slow_first_token;delay=250ms;pace=0")
            chunks = client.chat.completions.create(model="demo", messages=TEA, stream=True, extra_headers=quick)
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            with client.responses.stream(model="demo", input="On tea", extra_headers=quick) as stream:
                helped = stream.get_final_response().output_text
            whole = client.responses.create(model="demo", input="On tea", extra_headers=quick).output_text
            with pytest.raises(openai.NotFoundError) as raised:
                client.models.retrieve("gpt-99")
            return streamed, helped, whole, raised.value.code

    streamed, helped, whole, code = await asyncio.to_thread(use)

    assert streamed == await direct(house, chat_iterated)
    assert helped == whole == await direct(house, response_whole)
    assert code == "model_not_found"


@pytest.mark.shows("leaving")
async def test_sync_client_that_closes_its_stream_stops_the_backend(house: House) -> None:
    def leave() -> None:
        with OpenAI(base_url=f"{house.url}/v1", api_key=KEY) as client:
            stream = client.responses.create(model="demo", input="On tea", stream=True, extra_headers=scripted("stall;after=2"))
            next(iter(stream))
            stream.close()

    await asyncio.to_thread(leave)

    assert await stopped(simulator(house)) < 1
    assert simulator(house).aborted == 1
