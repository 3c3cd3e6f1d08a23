"""The official Node client, unmodified: the newest on its own Node, and the one before on the machine's."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from statistics import median

import pytest
from openai import AsyncOpenAI

from tests.e2e.node_client import NodeClient, install, newest_node, tried
from tests.e2e.parts import STOPPED_WITHIN, backend_url, simulator, stopped
from tests.support.components import require
from tests.support.house import House

pytestmark = [pytest.mark.component("npm", "node"), pytest.mark.timeout(300)]  # the first run installs

STREAMED = ["chat", "chatHelper", "response", "responseHelper"]


@pytest.fixture(scope="session")
def _installed() -> None:
    install()


@pytest.fixture(params=[tried("openai for Node", "openai"), tried("openai for Node, major before", "openai-6")])
def client(request: pytest.FixtureRequest, _installed: None) -> NodeClient:
    return NodeClient(newest_node() if request.param == "openai" else Path(require("node")), request.param)


async def direct(house: House) -> str:
    """Return the text as the backend tells it when it is asked without the proxy."""
    async with AsyncOpenAI(base_url=f"{backend_url(house)}/v1", api_key="none") as client:
        answer = await client.responses.create(model="demo", input="On tea", extra_headers={"X-Test-Scenario": "ok;pace=0"})
        return answer.output_text


@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(house: House, client: NodeClient) -> None:
    told = await client.use(house, *STREAMED, "chatWhole")

    assert {each["text"] for each in told} == {await direct(house)}
    assert told[-1]["id"] in {record["id"] for record in await house.records(5)}


@pytest.mark.shows("text")
async def test_chunks_arrive_one_by_one(house: House, client: NodeClient) -> None:
    (told,) = await client.use(house, "chat", scenario="ok;pace=50ms;tokens=8")

    assert len(told["times"]) == told["tokens"] == 8
    assert median(later - at for at, later in itertools.pairwise(told["times"])) > 0.025


@pytest.mark.shows("tools")
async def test_tools_models_and_embeddings_are_read(house: House, client: NodeClient) -> None:
    chat, response, models, embeddings = await client.use(house, "tools", "responseTool", "models", "embeddings")

    assert chat == {"calls": [["weather", ["city"]], ["clock", ["city"]]], "finish": "tool_calls"}
    assert response == {"calls": [["weather", ["city"]]]}
    assert {"demo", "demo-think"} <= set(models["listed"])
    assert models["described"] == "demo-think"
    assert embeddings == {"sizes": [16, 16]}


@pytest.mark.parametrize("silence", ["slow_first_token;delay=1s", "stall;delay=1s;after=3"])
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(house: House, client: NodeClient, silence: str) -> None:
    told = await client.use(house, *STREAMED, scenario=f"{silence};pace=0")

    assert {each["text"] for each in told} == {await direct(house)}
    assert all(record["keepalives"] >= 3 for record in await house.records(len(STREAMED)))


@pytest.mark.shows("errors")
async def test_errors_are_raised_as_what_they_are(house: House, client: NodeClient) -> None:
    (unknown, bad), (denied,), (limited,) = await asyncio.gather(
        client.use(house, "unknownModel", "badRequest"),
        client.use(house, "chat", key="lp_wrong"),
        client.use(house, "chat", scenario="rate_limit;retry_after=40s"),
    )

    assert (unknown["raised"], unknown["code"]) == ("NotFoundError", "model_not_found")
    assert (bad["raised"], bad["param"]) == ("BadRequestError", "messages")
    assert (denied["raised"], denied["code"]) == ("AuthenticationError", "invalid_credentials")
    assert (limited["raised"], limited["retryAfter"], limited["shouldRetry"]) == ("RateLimitError", "40", None)
    assert all(each["id"] for each in (unknown, bad, denied, limited))


@pytest.mark.shows("errors")
async def test_client_does_not_multiply_the_attempts_of_the_proxy(house: House, client: NodeClient) -> None:
    (told,) = await client.use(house, "chat", scenario="server_error;status=503", maxRetries=2)

    assert (told["raised"], told["shouldRetry"]) == ("InternalServerError", "false")
    assert simulator(house).finished == house.server.settings.retry.attempts


@pytest.mark.parametrize("broken", ["truncate", "reset_mid_event"])
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised(house: House, client: NodeClient, broken: str) -> None:
    told = await client.use(house, *STREAMED, scenario=f"{broken};pace=0")

    assert ["raised" in each for each in told] == [True] * len(STREAMED), told
    if broken == "truncate":
        assert (told[0]["raised"], told[0]["code"]) == ("APIError", "upstream_truncated")


@pytest.mark.shows("leaving")
async def test_stream_that_is_left_stops_the_backend_at_once(house: House, client: NodeClient) -> None:
    backend = simulator(house)
    waits = []

    for _ in range(3):  # another program on this machine may delay one of them
        async with client.running(house, ["leave"], "stall;after=2") as process:
            assert process.stdout is not None
            assert b"left" in await process.stdout.readline()
            waits.append(await stopped(backend))

    assert min(waits) < STOPPED_WITHIN
    assert (backend.aborted, backend.finished) == (3, 0)
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}
