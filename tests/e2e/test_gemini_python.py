"""Google's official Python client, unmodified: only base URL and key are the proxy's."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from statistics import median
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from proxy.tasks import Tasks
from tests.e2e.google_client import STREAMED, TEA, Told, chunks_of, direct, google_client, iterated, parts_of, whole
from tests.e2e.parts import STOPPED_WITHIN, demo
from tests.support.google import BLOCKED, CALLS, HI, MODEL, OVERLOADED, STOP, THOUGHTS, WHOLE, YOU, google, refused, response
from tests.support.house import KEY, House, open_house
from tests.support.upstream import Drip, Fin, Gate, Hang, Pause, Reply, Rst, Upstream, answer, stream, verbatim

pytestmark = [
    pytest.mark.client("google-genai for Python", "pypi:google-genai"),
    # The client derives a class from aiohttp's session, which aiohttp advises against,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    # and leaves the connection of a stream that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed connection:ResourceWarning"),
]

CLOCKS = {"commit_after": "200ms", "keepalive_interval": "100ms"}
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"]
            ),
        )
    ]
)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """What a test's client has left lying is collected here and not in another test."""
    yield
    gc.collect()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(google(upstream.url, streaming=CLOCKS)) as opened:
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[genai.Client]:
    async with google_client(house.url) as made:
        yield made


@pytest.fixture
async def simulated() -> AsyncIterator[genai.Client]:
    """A client of a proxy in front of the simulator, which needs no key of Google's."""
    async with open_house(demo()) as house, google_client(house.url) as client:
        yield client


# What arrives.


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.parametrize("ends", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(upstream: Upstream, client: genai.Client, told: Told, ends: bytes) -> None:
    upstream.always(stream(Drip(WHOLE.replace(b"\r\n", ends), 100)))

    text = await told(client)

    assert text == await direct(upstream, told) == "Hi you"


@pytest.mark.parametrize("version", ["v1beta", "v1"])
async def test_either_version_of_the_api_is_the_clients_choice(upstream: Upstream, house: House, version: str) -> None:
    upstream.script(stream(WHOLE), answer(response({"text": "Hi you"}, finish="STOP")))

    async with google_client(house.url, api_version=version) as client:
        assert await iterated(client) == await whole(client) == "Hi you"

    streamed, answered = upstream.requests
    assert streamed.target == f"/{version}/models/{MODEL}:streamGenerateContent?alt=sse".encode()
    assert answered.target == f"/{version}/models/{MODEL}:generateContent".encode()
    assert streamed.header("x-goog-api-key") == "AIza-upstream-a"
    assert KEY.encode() not in streamed.head.raw


@pytest.mark.shows("text")
async def test_chunks_arrive_one_by_one(upstream: Upstream, client: genai.Client) -> None:
    upstream.script(stream(*[step for _ in range(8) for step in (Pause(0.05), HI)], STOP))

    chunks = await client.aio.models.generate_content_stream(model=MODEL, contents=TEA)
    times = [time.monotonic() async for chunk in chunks if chunk.text]

    assert len(times) == 8
    assert median(later - at for at, later in itertools.pairwise(times)) > 0.025


@pytest.mark.shows("tools")
async def test_functions_are_called(upstream: Upstream, client: genai.Client) -> None:
    upstream.script(stream(CALLS))

    parts = parts_of(await chunks_of(client))

    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Oslo"}), ("clock", {})]
    assert parts[0].thought_signature


@pytest.mark.shows("tools")
async def test_thoughts_and_counts_are_streamed(upstream: Upstream, client: genai.Client) -> None:
    upstream.script(stream(THOUGHTS))

    chunks = await chunks_of(client)

    assert [part.text for part in parts_of(chunks) if part.thought] == ["Hm"]
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.candidates_token_count == 3


@pytest.mark.shows("errors")
async def test_a_blocked_prompt_is_told_and_no_failure(upstream: Upstream, house: House, client: genai.Client) -> None:
    upstream.script(stream(BLOCKED))

    (chunk,) = await chunks_of(client)

    assert chunk.prompt_feedback is not None
    assert chunk.prompt_feedback.block_reason is types.BlockedReason.SAFETY
    assert (await house.records())[0]["outcome"] == "completed"


async def test_tokens_are_counted(upstream: Upstream, client: genai.Client) -> None:
    upstream.script(answer({"totalTokens": 31}))

    assert (await client.aio.models.count_tokens(model=MODEL, contents=TEA)).total_tokens == 31


@pytest.mark.shows("more")
async def test_models_are_listed(simulated: genai.Client) -> None:
    listed = {model.name: model async for model in await simulated.aio.models.list()}
    one = await simulated.aio.models.get(model="demo-stall")

    assert {"models/demo", "models/demo-stall"} <= set(listed)
    assert one == listed["models/demo-stall"]
    assert "generateContent" in (one.supported_actions or ())


@pytest.mark.shows("errors")
async def test_the_simulator_thinks_calls_functions_counts_and_refuses(simulated: genai.Client) -> None:
    thinking = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))

    thought = parts_of(await chunks_of(simulated, "demo", config=thinking))
    asked = await simulated.aio.models.generate_content(
        model="demo", contents="Weather in Oslo?", config=types.GenerateContentConfig(tools=[WEATHER])
    )
    counted = await simulated.aio.models.count_tokens(model="demo", contents=TEA)
    with pytest.raises(errors.ClientError) as refused_:
        await chunks_of(simulated, "demo-rate-limit")

    assert any(part.thought for part in thought)
    assert "tea" in "".join(part.text or "" for part in thought)
    assert [call.name for call in asked.function_calls or ()] == ["weather"]
    assert counted.total_tokens == 4
    assert (refused_.value.code, refused_.value.status) == (429, "RESOURCE_EXHAUSTED")


# Silence.


@pytest.mark.parametrize(
    "silent",
    [
        stream(Pause(1), WHOLE),
        stream(HI, Pause(1), YOU, STOP),
        Reply(headers=[("Content-Type", "text/event-stream")], before=[Pause(1)], body=[WHOLE]),
    ],
    ids=["before the first event", "between two", "before the head"],
)
@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(
    upstream: Upstream, house: House, client: genai.Client, silent: Reply, told: Told
) -> None:
    upstream.script(silent)

    text = await told(client)

    assert text == "Hi you"
    assert (await house.records())[0]["keepalives"] >= 3


# Errors.


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (refused(400, "INVALID_ARGUMENT"), errors.ClientError),
        (refused(404, "NOT_FOUND"), errors.ClientError),
        (refused(429, "RESOURCE_EXHAUSTED", delay="40s"), errors.ClientError),
        (refused(500, "INTERNAL"), errors.ServerError),
        (refused(503, "UNAVAILABLE"), errors.ServerError),
    ],
    ids=["400", "404", "429", "500", "503"],
)
@pytest.mark.shows("errors")
async def test_refusal_of_the_backend_is_raised_as_what_it_is(
    upstream: Upstream, client: genai.Client, told: Told, reply: Reply, raised: type[errors.APIError]
) -> None:
    upstream.always(reply)

    with pytest.raises(raised) as caught:
        await told(client)

    assert (caught.value.code, caught.value.status) == (reply.status, reply.reason)


@pytest.mark.shows("errors")
async def test_refusals_of_ours_are_raised_as_what_they_are(house: House, client: genai.Client) -> None:
    async with google_client(house.url, "lp_wrong") as stranger:
        with pytest.raises(errors.ClientError) as denied:
            await iterated(stranger)
    with pytest.raises(errors.ClientError) as unknown:
        await chunks_of(client, "gpt-99")

    assert (denied.value.code, denied.value.status) == (401, "UNAUTHENTICATED")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    details: Any = unknown.value.details
    assert details["error"]["details"][0]["reason"] == "model_not_found"


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (stream(HI, YOU), "upstream_truncated"),
        (stream(HI, Fin()), "upstream_truncated"),
        (stream(HI, Rst()), "upstream_reset"),
    ],
    ids=["without its end", "closed", "reset"],
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised_and_says_what_happened(
    upstream: Upstream, client: genai.Client, told: Told, broken: Reply, reason: str
) -> None:
    upstream.script(broken)

    with pytest.raises(errors.ServerError) as raised:
        await told(client)

    details: Any = raised.value.details
    assert (raised.value.code, details["error"]["details"][0]["reason"]) == (502, reason)


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("cut")
async def test_stream_that_is_cut_inside_an_event_is_raised(upstream: Upstream, client: genai.Client, told: Told) -> None:
    """As its HTTP library's own error, or as one of JSON that is not whole."""
    upstream.script(stream(HI, YOU[:-30], Fin()))

    with pytest.raises(Exception, match=r"(?i)incomplete|not completed|parse|json"):
        await told(client)


@pytest.mark.parametrize("before", [[], [HI]], ids=["first", "late"])
@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("errors")
async def test_error_of_the_backend_in_the_stream_is_raised_as_it_is(
    upstream: Upstream, client: genai.Client, before: list[bytes], told: Told
) -> None:
    upstream.always(stream(*before, OVERLOADED))

    with pytest.raises(errors.ServerError) as raised:
        await told(client)

    assert (raised.value.code, raised.value.status) == (503, "UNAVAILABLE")


@pytest.mark.shows("errors")
async def test_failure_behind_keepalives_is_raised(upstream: Upstream) -> None:
    """The status is out; the backend never answers until the deadline for a first token."""
    upstream.always(verbatim(Hang()))
    clocks = {**CLOCKS, "first_token_timeout": "800ms"}
    async with open_house(google(upstream.url, streaming=clocks)) as house, google_client(house.url) as client:
        with pytest.raises(errors.ServerError) as raised:
            await iterated(client)

        assert (raised.value.code, raised.value.status) == (504, "DEADLINE_EXCEEDED")
        assert (await house.records())[0]["keepalives"] >= 3


@pytest.mark.shows("errors")
async def test_attempts_are_the_proxys_alone(upstream: Upstream, house: House, client: genai.Client) -> None:
    """The client repeats nothing unless it is told to."""
    upstream.always(refused(503, "UNAVAILABLE"))

    with pytest.raises(errors.ServerError):
        await iterated(client)

    assert len(upstream.requests) == house.server.settings.retry.attempts
    assert len(await house.records()) == 1


# Leaving.


@pytest.mark.shows("leaving")
async def test_task_that_is_cancelled_stops_the_backend_at_once(upstream: Upstream, house: House, client: genai.Client) -> None:
    upstream.always(stream(HI, Gate("more")))
    waits = []

    for number in range(3):  # another program on this machine may delay one of them
        reading = Tasks().spawn(chunks_of(client), name="an application's request")
        await upstream.reached("more", number + 1)
        began = time.monotonic()
        reading.cancel()
        waits.append((await upstream.closed(number)).at - began)

    assert min(waits) < STOPPED_WITHIN
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}
