"""The simulated backend in Anthropic's API, behind the proxy, as both official clients meet it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import ToolParam

from tests.e2e.claude_client import MODEL, STREAMED, TEA, Told, final, helped, iterated, whole
from tests.e2e.node_client import FOLDER, NodeClient, install
from tests.e2e.parts import STOPPED_WITHIN, backend_url, demo, demo_for, simulator, stopped
from tests.support.components import require
from tests.support.house import KEY, House, open_house

TOOLS: list[ToolParam] = [
    {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
    for name in ("weather", "clock")
]


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with open_house(demo_for(request, models=[{"name": "claude-*", "targets": [{"upstream": "demo"}]}])) as opened:
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=house.url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
def node() -> NodeClient:
    install()
    return NodeClient(Path(require("node")), "@anthropic-ai/sdk", FOLDER / "anthropic.mjs", base="")


def playing(client: AsyncAnthropic, scenario: str) -> AsyncAnthropic:
    """Return a client that asks for *scenario*."""
    return client.with_options(default_headers={"X-Test-Scenario": scenario})


async def direct(house: House, told: Told) -> str:
    """Return the text as the backend tells it when it is asked without the proxy."""
    async with AsyncAnthropic(base_url=backend_url(house), api_key="none") as client:
        return await told(playing(client, "ok;pace=0"))


@pytest.mark.parametrize("told", [*STREAMED, whole])
async def test_text_is_that_of_the_backend(house: House, client: AsyncAnthropic, told: Told) -> None:
    text = await told(playing(client, "ok;pace=0"))

    assert text == await direct(house, told)
    assert "tea" in text


async def test_tools_and_thoughts_are_streamed(client: AsyncAnthropic) -> None:
    quick = playing(client, "ok;pace=0")
    asked = "Weather and time in both Oslo and Rome?"
    async with quick.messages.stream(
        model=MODEL, max_tokens=999, messages=[{"role": "user", "content": asked}], tools=TOOLS
    ) as stream:
        calls = (await stream.get_final_message()).content
    async with quick.messages.stream(
        model=MODEL, max_tokens=9999, messages=TEA, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        thoughts = (await stream.get_final_message()).content

    assert [block.name for block in calls if block.type == "tool_use"] == ["weather", "clock"]
    assert [block.type for block in thoughts] == ["thinking", "text"]


async def test_tokens_are_counted_as_they_are_used(house: House, client: AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model=MODEL, messages=TEA)
    message = await final(playing(client, "ok;pace=0"))

    assert counted.input_tokens == message.usage.input_tokens
    assert (await house.records(2))[1]["tokens_out"] == message.usage.output_tokens


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
async def test_keepalives_in_a_second_of_silence_change_nothing(house: House, client: AsyncAnthropic, silence: str) -> None:
    """The client itself gives up after half a second without a byte."""
    impatient = playing(client, f"{silence};pace=0").with_options(timeout=anthropic.Timeout(5, read=0.5))

    texts = await asyncio.gather(*(told(impatient) for told in STREAMED))

    assert texts == [await direct(house, told) for told in STREAMED]
    assert all(record["keepalives"] >= 3 for record in await house.records(len(STREAMED)))


async def test_pings_of_the_backend_alone_are_no_answer() -> None:
    clocks = {"first_token_timeout": "600ms", "commit_after": "100ms"}
    models = [{"name": "claude-*", "targets": [{"upstream": "demo"}]}]
    async with (
        open_house(demo(models=models, streaming=clocks)) as house,
        AsyncAnthropic(base_url=house.url, api_key=KEY, max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIStatusError, match="timeout_error"):
            await iterated(playing(client, "pings_only"))


@pytest.mark.parametrize(
    ("scenario", "raised", "attempts"),
    [
        ("rate_limit;retry_after=40s", anthropic.RateLimitError, 1),
        ("server_error;status=529", anthropic.OverloadedError, 3),
        ("server_error;status=500", anthropic.InternalServerError, 3),
    ],
)
async def test_refusals_are_raised_as_what_they_are(
    house: House, client: AsyncAnthropic, scenario: str, raised: type[anthropic.APIStatusError], attempts: int
) -> None:
    with pytest.raises(raised):
        await iterated(playing(client, scenario))

    assert simulator(house).finished == attempts


@pytest.mark.parametrize("scenario", ["error_event_first", "error_event_late;after=2"])
@pytest.mark.parametrize("told", STREAMED)
async def test_error_of_the_backend_in_the_stream_is_raised(client: AsyncAnthropic, scenario: str, told: Told) -> None:
    with pytest.raises(anthropic.APIStatusError):
        await told(playing(client, scenario))


@pytest.mark.parametrize("broken", ["truncate", "truncate;framing=close", "truncate;framing=chunked-clean", "reset"])
async def test_broken_stream_is_raised_and_says_what_happened(house: House, client: AsyncAnthropic, broken: str) -> None:
    with pytest.raises(anthropic.APIStatusError, match=r"upstream_truncated|upstream_reset"):
        await iterated(playing(client, f"{broken};pace=0"))

    assert (await house.records())[0]["outcome"] in ("upstream_truncated", "upstream_reset")


async def test_closed_stream_stops_the_backend_at_once(house: House, client: AsyncAnthropic) -> None:
    backend = simulator(house)
    waits = []

    for _ in range(3):  # another program on this machine may delay one of them
        stream = await playing(client, "stall;after=2").messages.create(model=MODEL, max_tokens=99, messages=TEA, stream=True)
        await anext(aiter(stream))
        await stream.close()
        waits.append(await stopped(backend))

    assert min(waits) < STOPPED_WITHIN
    assert (backend.aborted, backend.finished) == (3, 0)


@pytest.mark.component("npm", "node")
@pytest.mark.timeout(300)
async def test_the_typescript_client_reads_the_same_through_silence_and_error(house: House, node: NodeClient) -> None:
    quick = await node.use(house, "message", "helper", "whole")
    slow = await node.use(house, "message", "helper", scenario="slow_first_token;delay=1s;pace=0")
    late = await node.use(house, "message", "helper", scenario="truncate;pace=0")

    assert {each["text"] for each in [*quick, *slow]} == {await direct(house, helped)}
    assert [each["code"] for each in late] == ["upstream_truncated"] * 2
