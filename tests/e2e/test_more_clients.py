"""Clients that people use beside the official SDKs, unmodified: one table of what each must read, raise and survive."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.e2e.client_program import PYTHON, ClientProgram, install_python_clients, running
from tests.e2e.node_client import FOLDER, install, newest_node
from tests.e2e.parts import demo_for
from tests.e2e.python_client import chat_whole, direct
from tests.support.components import require
from tests.support.house import House, open_house

Command = Callable[[], list[str | Path]]

pytestmark = pytest.mark.timeout(600)  # the first run installs


def python(program: str, *arguments: str) -> Command:
    def command() -> list[str | Path]:
        install_python_clients()
        return [PYTHON, "-m", f"tests.e2e.clients.{program}", *arguments]

    return command


def newest(program: str, *arguments: str) -> Command:
    def command() -> list[str | Path]:
        install()
        return [newest_node(), FOLDER / program, *arguments]

    return command


def before(program: str, *arguments: str) -> Command:
    """The major version before the newest, on the machine's own Node."""

    def command() -> list[str | Path]:
        install()
        return [require("node"), FOLDER / program, *arguments]

    return command


def case(name: str, command: Command, package: str) -> Any:
    marks = [pytest.mark.client(name, package)]
    return pytest.param(command, id=name, marks=[*marks, pytest.mark.component("npm", "node")] if "npm:" in package else marks)


CASES = [
    case("litellm, OpenAI", python("with_litellm", "openai"), "clients:litellm"),
    case("litellm, Anthropic", python("with_litellm", "anthropic"), "clients:litellm"),
    case("LangChain, OpenAI", python("with_langchain", "openai"), "clients:langchain-openai"),
    case("LangChain, Anthropic", python("with_langchain", "anthropic"), "clients:langchain-anthropic"),
    case("httpx-sse", python("with_httpx_sse"), "clients:httpx-sse"),
    case("AI SDK, responses", newest("ai.mjs", "ai", "@ai-sdk/openai", "openai"), "npm:ai"),
    case("AI SDK, OpenAI-compatible", newest("ai.mjs", "ai", "@ai-sdk/openai-compatible", "compatible"), "npm:ai"),
    case("AI SDK, Anthropic", newest("ai.mjs", "ai", "@ai-sdk/anthropic", "anthropic"), "npm:ai"),
    case("AI SDK 6, responses", before("ai.mjs", "ai-6", "ai-sdk-openai-3", "openai"), "npm:ai-6"),
    case("AI SDK 6, OpenAI-compatible", before("ai.mjs", "ai-6", "ai-sdk-openai-compatible-2", "compatible"), "npm:ai-6"),
    case("AI SDK 6, Anthropic", before("ai.mjs", "ai-6", "ai-sdk-anthropic-3", "anthropic"), "npm:ai-6"),
    case("eventsource-parser", newest("eventsource.mjs", "eventsource-parser"), "npm:eventsource-parser"),
    case("eventsource-parser 3", before("eventsource.mjs", "eventsource-parser-3"), "npm:eventsource-parser-3"),
]
SILENCES = [("text", "slow_first_token;delay=1s;pace=0"), ("text", "stall;delay=1s;after=3;pace=0")]
BROKEN = ["truncate", "truncate;framing=close", "truncate;framing=chunked-clean", "reset", "reset_mid_event"]


@pytest.fixture(scope="module", params=CASES)
def client(request: pytest.FixtureRequest) -> Iterator[ClientProgram]:
    with running(request.param()) as program:
        yield program


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    models = [{"name": name, "targets": [{"upstream": "demo"}]} for name in ("demo*", "claude-*")]
    async with open_house(demo_for(request, models=models)) as opened:
        yield opened


@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend_and_arrives_piece_by_piece(house: House, client: ClientProgram) -> None:
    (quick,) = await client.use(house, ("text", "ok;pace=0"))  # alone: the first use loads and compiles things
    (paced,) = await client.use(house, ("text", "ok;pace=50ms;tokens=8"))

    assert quick["text"] == await direct(house, chat_whole)
    assert len(paced["times"]) == 8
    assert median(later - at for at, later in itertools.pairwise(paced["times"])) > 0.025


@pytest.mark.shows("tools")
async def test_parallel_tool_calls_are_streamed(house: House, client: ClientProgram) -> None:
    (told,) = await client.use(house, ("tools", "ok;pace=0"))

    assert told["calls"] == [["weather", ["city"]], ["clock", ["city"]]]
    assert told["finish"].replace("-", "_") in ("tool_calls", "tool_use")


@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(house: House, client: ClientProgram) -> None:
    told = await client.use(house, *SILENCES)

    assert [each.get("text", each) for each in told] == [await direct(house, chat_whole)] * len(SILENCES)
    assert all(record["keepalives"] >= 3 for record in await house.records(len(SILENCES)))


@pytest.mark.shows("errors")
async def test_errors_are_raised_as_what_they_are(house: House, client: ClientProgram) -> None:
    (denied,) = await client.use(house, ("text", "ok"), key="lp_wrong")
    limited, failed = await client.use(house, ("text", "rate_limit;retry_after=40s"), ("text", "server_error;status=503"))
    early, late = await client.use(house, ("text", "error_event_first"), ("text", "error_event_late;after=2"))

    assert [denied["status"], limited["status"], failed["status"]] == [401, 429, 503]
    assert "raised" in early
    assert "raised" in late


@pytest.mark.shows("cut")
async def test_a_stream_that_is_cut_is_not_taken_for_a_finished_one(house: House, client: ClientProgram) -> None:
    told = await client.use(house, *(("text", f"{broken};pace=0") for broken in BROKEN))

    assert [each for each in told if "raised" not in each] == []
    assert {record["outcome"] for record in await house.records(len(BROKEN))} <= {"upstream_truncated", "upstream_reset"}
