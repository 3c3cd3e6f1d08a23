"""Google's official client for Node, unmodified: the newest on its own Node, and the one before on the machine's."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest

from tests.e2e.node_client import FOLDER, NodeClient, install, newest_node, tried
from tests.e2e.parts import STOPPED_WITHIN
from tests.support.components import require
from tests.support.google import CALLS, HI, OVERLOADED, STOP, THOUGHTS, WHOLE, YOU, google, refused, response
from tests.support.house import House, open_house
from tests.support.upstream import Fin, Hang, Pause, Reply, Rst, Upstream, answer, stream

pytestmark = [pytest.mark.component("npm", "node"), pytest.mark.timeout(300)]  # the first run installs

NEWEST = "@google/genai"
STREAMED = ["stream", "chat"]


@pytest.fixture(scope="session")
def _installed() -> None:
    install()


@pytest.fixture(params=[tried("@google/genai for Node", NEWEST), tried("@google/genai for Node, major before", "google-genai-2")])
def client(request: pytest.FixtureRequest, _installed: None) -> NodeClient:
    node = newest_node() if request.param == NEWEST else Path(require("node"))
    return NodeClient(node, request.param, FOLDER / "gemini.mjs", base="")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(google(upstream.url, streaming={"commit_after": "200ms", "keepalive_interval": "100ms"})) as opened:
        yield opened


@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(WHOLE), stream(WHOLE.replace(b"\r\n", b"\n")))

    told = await client.use(house, *STREAMED)

    assert [each["text"] for each in told] == ["Hi you", "Hi you"]


@pytest.mark.shows("text")
async def test_whole_answers_and_counts_are_read(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(answer(response({"text": "Hi"}, finish="STOP")))
    (told,) = await client.use(house, "whole")
    upstream.always(answer({"totalTokens": 31}))
    (counted,) = await client.use(house, "count")

    assert (told, counted) == ({"text": "Hi"}, {"tokens": 31})


@pytest.mark.shows("more")
async def test_models_are_listed(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(answer({"models": [{"name": "models/gemini-flash", "displayName": "Gemini Flash"}]}))

    (told,) = await client.use(house, "models")

    assert told == {"names": ["models/gemini-flash"], "one": "Gemini Flash"}


@pytest.mark.shows("text")
async def test_chunks_arrive_one_by_one(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(*[step for _ in range(8) for step in (Pause(0.05), HI)], STOP))

    (told,) = await client.use(house, "stream")

    assert told["text"] == "Hi" * 8
    assert median(later - at for at, later in itertools.pairwise(told["times"])) > 0.025


@pytest.mark.shows("tools")
async def test_functions_and_thoughts_are_streamed(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.script(stream(CALLS))
    (called,) = await client.use(house, "parts")
    upstream.script(stream(THOUGHTS))
    (thought,) = await client.use(house, "parts")

    calls = [(part["functionCall"]["name"], part["functionCall"]["args"]) for part in called["parts"]]
    assert calls == [("weather", {"city": "Oslo"}), ("clock", {})]
    assert [part["text"] for part in thought["parts"] if part.get("thought")] == ["Hm"]
    assert thought["tokens"] == 3


@pytest.mark.parametrize(
    "silent",
    [
        stream(Pause(1), WHOLE),
        stream(HI, Pause(1), YOU, STOP),
        Reply(headers=[("Content-Type", "text/event-stream")], before=[Pause(1)], body=[WHOLE]),
    ],
    ids=["before the first event", "between two", "before the head"],
)
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(
    upstream: Upstream, house: House, client: NodeClient, silent: Reply
) -> None:
    upstream.always(silent)

    told = await client.use(house, *STREAMED)

    assert [each["text"] for each in told] == ["Hi you", "Hi you"]
    assert all(record["keepalives"] >= 3 for record in await house.records(2))


@pytest.mark.parametrize(
    "reply",
    [
        refused(400, "INVALID_ARGUMENT"),
        refused(404, "NOT_FOUND"),
        refused(429, "RESOURCE_EXHAUSTED", delay="40s"),
        refused(503, "UNAVAILABLE"),
    ],
    ids=["400", "404", "429", "503"],
)
@pytest.mark.shows("errors")
async def test_refusal_of_the_backend_is_raised_as_what_it_is(
    upstream: Upstream, house: House, client: NodeClient, reply: Reply
) -> None:
    upstream.always(reply)

    (told,) = await client.use(house, "stream")

    assert (told["raised"], told["status"]) == ("ApiError", reply.status)


@pytest.mark.shows("errors")
async def test_refusals_of_ours_are_raised_as_what_they_are(house: House, client: NodeClient) -> None:
    (denied,) = await client.use(house, "stream", key="lp_wrong")
    (unknown,) = await client.use(house, "unknownModel")

    assert (denied["raised"], denied["status"]) == ("ApiError", 401)
    assert (unknown["raised"], unknown["status"]) == ("ApiError", 404)
    assert "model_not_found" in unknown["message"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(stream(HI, YOU), "upstream_truncated"), (stream(HI, Rst()), "upstream_reset"), (stream(HI, YOU[:-9], Fin()), "")],
    ids=["without its end", "reset", "cut inside an event"],
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised(upstream: Upstream, house: House, client: NodeClient, broken: Reply, reason: str) -> None:
    upstream.always(broken)

    told = await client.use(house, *STREAMED)

    assert ["raised" in each for each in told] == [True, True], told
    assert all(reason in each["message"] for each in told)


@pytest.mark.parametrize("before", [[], [HI]], ids=["first", "late"])
@pytest.mark.shows("errors")
async def test_error_of_the_backend_in_the_stream_is_raised_as_it_is(
    upstream: Upstream, house: House, client: NodeClient, before: list[bytes]
) -> None:
    upstream.always(stream(*before, OVERLOADED))

    told = await client.use(house, *STREAMED)

    assert [each["status"] for each in told] == [503, 503]
    assert all("UNAVAILABLE" in each["message"] for each in told)


@pytest.mark.shows("leaving")
async def test_stream_that_is_left_stops_the_backend_at_once(upstream: Upstream, house: House, client: NodeClient) -> None:
    upstream.always(stream(HI, Hang()))
    waits = []

    for number in range(3):  # another program on this machine may delay one of them
        async with client.running(house, ["leave"], "ok") as process:
            assert process.stdout is not None
            assert b"left" in await process.stdout.readline()
            began = time.monotonic()
            waits.append((await upstream.closed(number)).at - began)

    assert min(waits) < STOPPED_WITHIN
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}
