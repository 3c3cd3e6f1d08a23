"""Anthropic's official TypeScript client, unmodified, on the machine's own Node and on the newest."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest

from tests.e2e.node_client import FOLDER, NodeClient, install, newest_node
from tests.e2e.parts import STOPPED_WITHIN
from tests.support.claude import BEGUN, ENDED, HI, MESSAGE, OVERLOADED, THOUGHTS, TOOLS, WHOLE, claude, refused
from tests.support.components import require
from tests.support.house import House, open_house
from tests.support.upstream import Fin, Hang, Pause, Reply, Rst, Upstream, answer, stream

pytestmark = [
    pytest.mark.client("anthropic for TypeScript", "npm:@anthropic-ai/sdk"),
    pytest.mark.component("npm", "node"),
    pytest.mark.timeout(300),
]  # the first run installs

SDK = "@anthropic-ai/sdk"
STREAMED = ["message", "helper"]
LISTED = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-11-21T08:00:00Z"}


@pytest.fixture(scope="session")
def _installed() -> None:
    install()


@pytest.fixture(params=["the newest", "the machine's"])
def client(request: pytest.FixtureRequest, _installed: None) -> NodeClient:
    node = newest_node() if request.param == "the newest" else Path(require("node"))
    return NodeClient(node, SDK, FOLDER / "anthropic.mjs", base="")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(claude(upstream.url, streaming={"commit_after": "200ms", "keepalive_interval": "100ms"})) as opened:
        yield opened


@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(WHOLE), stream(WHOLE.replace(b"\n", b"\r\n")))

    told = await client.use(house, *STREAMED)

    assert [each["text"] for each in told] == ["Hi", "Hi"]


@pytest.mark.shows("text")
async def test_whole_answers_are_read(upstream: Upstream, house: House, client: NodeClient) -> None:
    message = {**MESSAGE, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    upstream.script(answer(message, headers=[("request-id", "req_1")]))

    (told,) = await client.use(house, "whole")

    assert told == {"text": "Hi", "id": "req_1"}


@pytest.mark.shows("text")
async def test_events_arrive_one_by_one(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(BEGUN, *[step for _ in range(8) for step in (Pause(0.05), HI)], ENDED))

    (told,) = await client.use(house, "message")

    assert told["text"] == "Hi" * 8
    assert median(later - at for at, later in itertools.pairwise(told["times"])) > 0.025


@pytest.mark.shows("tools")
async def test_tools_in_parallel_and_thoughts_are_put_together(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(TOOLS))
    (tools,) = await client.use(house, "blocks")
    upstream.script(stream(THOUGHTS))
    (thoughts,) = await client.use(house, "blocks")

    calls = [(block["name"], block["input"]) for block in tools["blocks"] if block["type"] == "tool_use"]
    assert (calls, tools["reason"]) == ([("weather", {"city": "Oslo"}), ("clock", {})], "tool_use")
    assert [block["type"] for block in thoughts["blocks"]] == ["thinking", "redacted_thinking"]
    assert (thoughts["blocks"][0]["thinking"], thoughts["blocks"][0]["signature"]) == ("Hm", "EqQB")
    assert thoughts["tokens"] == 15


async def test_tokens_are_counted_and_models_listed(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(answer({"data": [LISTED], "has_more": False}))
    (models,) = await client.use(house, "models")
    upstream.always(answer({"input_tokens": 14}))
    (counted,) = await client.use(house, "count")

    assert models == {"listed": ["claude-x"], "described": "Claude X"}
    assert counted == {"input_tokens": 14}


@pytest.mark.parametrize(
    "silent", [stream(Pause(1), WHOLE), stream(BEGUN, Pause(1), HI, ENDED)], ids=["before the first event", "between two"]
)
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(
    upstream: Upstream, house: House, client: NodeClient, silent: Reply
) -> None:
    upstream.always(silent)

    told = await client.use(house, *STREAMED)

    assert [each["text"] for each in told] == ["Hi", "Hi"]
    assert all(record["keepalives"] >= 3 for record in await house.records(2))


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (refused(400, "invalid_request_error"), "BadRequestError"),
        (refused(404, "not_found_error"), "NotFoundError"),
        (refused(429, "rate_limit_error", retry_after="40"), "RateLimitError"),
        (refused(529, "overloaded_error"), "OverloadedError"),
    ],
    ids=["400", "404", "429", "529"],
)
@pytest.mark.shows("errors")
async def test_refusal_of_the_backend_is_raised_as_what_it_is(
    upstream: Upstream, house: House, client: NodeClient, reply: Reply, raised: str
) -> None:
    upstream.always(reply)

    (told,) = await client.use(house, "message")

    assert (told["raised"], told["status"]) == (raised, reply.status)


@pytest.mark.shows("errors")
async def test_refusals_of_ours_are_raised_as_what_they_are(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(answer({"data": [LISTED]}))

    (denied,) = await client.use(house, "message", key="lp_wrong")
    (unknown,) = await client.use(house, "unknownModel")

    assert (denied["raised"], denied["type"], denied["code"]) == (
        "AuthenticationError",
        "authentication_error",
        "invalid_credentials",
    )
    assert (unknown["raised"], unknown["type"], unknown["code"]) == ("NotFoundError", "not_found_error", "model_not_found")


@pytest.mark.shows("errors")
async def test_client_does_not_multiply_the_attempts_of_the_proxy(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(refused(529, "overloaded_error"))

    (told,) = await client.use(house, "message", maxRetries=2)

    assert (told["status"], told["shouldRetry"]) == (529, "false")
    assert len(upstream.requests) == house.server.settings.retry.attempts


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (stream(BEGUN, HI), "upstream_truncated"),
        (stream(BEGUN, HI, Rst()), "upstream_reset"),
        (stream(BEGUN, HI[:-9], Fin()), None),
    ],
    ids=["without its end", "reset", "cut inside an event"],
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised(
    upstream: Upstream, house: House, client: NodeClient, broken: Reply, code: str | None
) -> None:
    upstream.always(broken)

    told = await client.use(house, *STREAMED)

    assert ["raised" in each for each in told] == [True, True], told
    assert [each["code"] for each in told] == [code, code]


@pytest.mark.parametrize("before", [[], [BEGUN, HI]], ids=["first", "late"])
@pytest.mark.shows("errors")
async def test_error_of_the_backend_in_the_stream_is_raised_as_it_is(
    upstream: Upstream, house: House, client: NodeClient, before: list[bytes]
) -> None:
    upstream.always(stream(*before, OVERLOADED))

    told = await client.use(house, *STREAMED)

    assert [each["type"] for each in told] == ["overloaded_error"] * 2


@pytest.mark.shows("leaving")
async def test_stream_that_is_left_stops_the_backend_at_once(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(stream(BEGUN, HI, Hang()))
    waits = []

    for number in range(3):  # another program on this machine may delay one of them
        async with client.running(house, ["leave"], "ok") as process:
            assert process.stdout is not None
            assert b"left" in await process.stdout.readline()
            began = time.monotonic()
            waits.append((await upstream.closed(number)).at - began)

    assert min(waits) < STOPPED_WITHIN
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}
