"""Google's Python client against the simulator, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

ON_TEA = "On tea"
THOUGHTS = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
TOOLS = types.GenerateContentConfig(
    tools=[
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(
                    name="weather",
                    parameters=types.Schema(
                        type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"]
                    ),
                )
            ]
        )
    ]
)

# The client derives a class from aiohttp's session, which aiohttp advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(params=["v1beta", "v1"])
async def client(url: str, request: pytest.FixtureRequest) -> AsyncIterator[genai.Client]:
    client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=url, api_version=request.param))
    yield client
    await client.aio.aclose()
    client.close()


def scenario(name: str) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"X-Test-Scenario": name}))


async def chunks_of(
    client: genai.Client, config: types.GenerateContentConfig | None = None
) -> list[types.GenerateContentResponse]:
    return [
        chunk async for chunk in await client.aio.models.generate_content_stream(model="demo", contents=ON_TEA, config=config)
    ]


async def test_models_are_listed(url: str) -> None:
    client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=url, api_version="v1beta"))
    listed = [model.name async for model in await client.aio.models.list()]
    one = await client.aio.models.get(model="demo-think")
    await client.aio.aclose()
    client.close()

    assert one.name in listed
    assert (one.display_name, one.output_token_limit) == ("Demo think", 65_536)


async def test_content_is_generated_whole(client: genai.Client) -> None:
    response = await client.aio.models.generate_content(
        model="demo", contents=ON_TEA, config=types.GenerateContentConfig(max_output_tokens=3)
    )

    assert response.text
    assert response.candidates is not None
    assert response.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    assert response.usage_metadata is not None
    assert response.usage_metadata.candidates_token_count == 3


async def test_content_is_streamed_with_thoughts(client: genai.Client) -> None:
    chunks = await chunks_of(client, THOUGHTS)

    parts = [
        part
        for chunk in chunks
        for candidate in chunk.candidates or ()
        for part in (candidate.content or types.Content()).parts or ()
    ]
    usage = chunks[-1].usage_metadata
    assert "tea" in "".join(part.text or "" for part in parts if part.thought)
    assert "tea" in "".join(part.text or "" for part in parts if not part.thought)
    assert usage is not None
    assert usage.thoughts_token_count == sum(bool(part.thought) for part in parts)


async def test_functions_are_called_and_take_responses(client: genai.Client) -> None:
    question = types.Content(role="user", parts=[types.Part(text="Weather in Oslo?")])
    first = await client.aio.models.generate_content(model="demo", contents=[question], config=TOOLS)
    (call,) = first.function_calls or [types.FunctionCall()]
    asked = types.Content(role="model", parts=[types.Part(function_call=call)])
    answer = types.Part.from_function_response(name="weather", response={"degrees": -3})

    second = await client.aio.models.generate_content(
        model="demo", contents=[question, asked, types.Content(role="user", parts=[answer])], config=TOOLS
    )

    assert call.name == "weather"
    assert (call.args or {}).keys() == {"city"}
    assert "Oslo" in (second.text or "")


async def test_content_is_parsed_into_a_model(client: genai.Client) -> None:
    response = await client.aio.models.generate_content(
        model="demo",
        contents="Weather",
        config=types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather),
    )

    assert isinstance(response.parsed, Weather)


async def test_tokens_are_counted(client: genai.Client) -> None:
    assert (await client.aio.models.count_tokens(model="demo", contents=ON_TEA)).total_tokens == 4


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [("rate_limit", errors.ClientError, "RESOURCE_EXHAUSTED"), ("server_error;status=503", errors.ServerError, "UNAVAILABLE")],
)
async def test_error_statuses_are_raised(client: genai.Client, name: str, error: type[errors.APIError], status: str) -> None:
    with pytest.raises(error) as raised:
        await chunks_of(client, scenario(name))

    assert raised.value.status == status


@pytest.mark.parametrize("name", ["error_event_first", "error_event_late;after=2"])
async def test_error_events_are_raised(client: genai.Client, name: str) -> None:
    with pytest.raises(errors.ServerError) as raised:
        await chunks_of(client, scenario(name))

    assert (raised.value.code, raised.value.status) == (500, "INTERNAL")
