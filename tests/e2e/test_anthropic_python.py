"""Anthropic's official Python client, unmodified: only base URL and key are the proxy's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from statistics import median

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import ToolUseBlock

from proxy.tasks import Tasks
from tests.e2e.claude_client import MODEL, STREAMED, TEA, Told, direct, final, helped, iterated, text_of, whole
from tests.e2e.parts import STOPPED_WITHIN
from tests.support.claude import BEGUN, ENDED, HI, MESSAGE, OVERLOADED, THOUGHTS, TOOLS, WHOLE, claude, delta, refused
from tests.support.house import KEY, House, open_house
from tests.support.upstream import Drip, Fin, Gate, Hang, Pause, Reply, Rst, Upstream, answer, stream, verbatim

pytestmark = pytest.mark.client("anthropic for Python", "pypi:anthropic")

CLOCKS = {"commit_after": "200ms", "keepalive_interval": "100ms"}
ANSWER = {**MESSAGE, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
LISTED = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-11-21T08:00:00Z"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(claude(upstream.url, streaming=CLOCKS)) as opened:
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=house.url, api_key=KEY, max_retries=0) as made:
        yield made


# What arrives.


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.shows("text")
async def test_text_is_that_of_the_backend(upstream: Upstream, client: AsyncAnthropic, told: Told, ends: bytes) -> None:
    upstream.always(stream(Drip(WHOLE.replace(b"\n", ends), 100)))

    text = await told(client)

    assert text == await direct(upstream, told) == "Hi"


@pytest.mark.shows("text")
async def test_a_whole_answer_is_that_of_the_backend(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.always(answer(ANSWER, headers=[("request-id", "req_1")]))

    message = await client.messages.create(model=MODEL, max_tokens=99, messages=TEA)

    assert text_of(message) == await direct(upstream, whole)
    assert message._request_id == "req_1"


@pytest.mark.shows("text")
async def test_events_arrive_one_by_one(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(stream(BEGUN, *[step for _ in range(8) for step in (Pause(0.05), HI)], ENDED))

    events = await client.messages.create(model=MODEL, max_tokens=99, messages=TEA, stream=True)
    times = [time.monotonic() async for event in events if event.type == "content_block_delta"]

    assert len(times) == 8
    assert median(later - at for at, later in itertools.pairwise(times)) > 0.025


@pytest.mark.shows("tools")
async def test_tools_in_parallel_are_streamed(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(stream(TOOLS))

    message = await final(client)

    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Oslo"}), ("clock", {})]
    assert message.stop_reason == "tool_use"


@pytest.mark.shows("tools")
async def test_thoughts_are_streamed_whole_and_redacted(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(stream(THOUGHTS))

    message = await final(client)

    thinking, redacted = message.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, thinking.signature) == ("Hm", "EqQB")
    assert redacted.type == "redacted_thinking"
    assert redacted.data == "EmwK"
    assert message.usage.output_tokens == 15


@pytest.mark.parametrize("login", [True, False], ids=["auth_token", "api_key"])
async def test_either_way_of_giving_a_key_is_good(upstream: Upstream, house: House, login: bool) -> None:
    upstream.script(stream(WHOLE))
    keys = {"auth_token": KEY, "api_key": None} if login else {"api_key": KEY}

    async with AsyncAnthropic(base_url=house.url, max_retries=0, **keys) as client:
        await iterated(client)

    seen = await upstream.request()
    assert seen.header("x-api-key") == "sk-ant-upstream-a"
    assert seen.header("anthropic-version")
    assert KEY.encode() not in seen.head.raw


async def test_tokens_are_counted(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(answer({"input_tokens": 14}))

    counted = await client.messages.count_tokens(model=MODEL, messages=TEA)

    assert counted.input_tokens == 14


async def test_what_is_in_beta_is_asked_for_by_its_own_header(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(stream(WHOLE))

    async with client.beta.messages.stream(
        model=MODEL, max_tokens=99, messages=[{"role": "user", "content": "On tea"}], betas=["one-2025-01-01", "two-2025-01-01"]
    ) as events:
        await events.get_final_message()

    assert (await upstream.request()).header("anthropic-beta") == "one-2025-01-01,two-2025-01-01"


async def test_models_are_listed_and_described(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.always(answer({"data": [LISTED], "has_more": False, "first_id": "claude-x", "last_id": "claude-x"}))

    listed = [model async for model in client.models.list()]
    one = await client.models.retrieve("claude-x")

    assert [(model.id, model.display_name) for model in listed] == [("claude-x", "Claude X")]
    assert one == listed[0]


# Silence.


@pytest.mark.parametrize(
    "silent",
    [
        stream(Pause(1), WHOLE),
        stream(BEGUN, Pause(1), HI, ENDED),
        Reply(headers=[("Content-Type", "text/event-stream")], before=[Pause(1)], body=[WHOLE]),
    ],
    ids=["before the first event", "between two", "before the head"],
)
@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("silence")
async def test_keepalives_in_a_second_of_silence_change_nothing(
    upstream: Upstream, house: House, client: AsyncAnthropic, silent: Reply, told: Told
) -> None:
    """The client itself gives up after half a second without a byte."""
    upstream.script(silent)

    text = await told(client.with_options(timeout=anthropic.Timeout(5, read=0.5)))

    assert text == "Hi"
    assert (await house.records())[0]["keepalives"] >= 3


# Errors.


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (refused(400, "invalid_request_error"), anthropic.BadRequestError),
        (refused(404, "not_found_error"), anthropic.NotFoundError),
        (refused(413, "request_too_large"), anthropic.RequestTooLargeError),
        (refused(429, "rate_limit_error", retry_after="40"), anthropic.RateLimitError),
        (refused(529, "overloaded_error"), anthropic.OverloadedError),
    ],
    ids=["400", "404", "413", "429", "529"],
)
@pytest.mark.shows("errors")
async def test_refusal_of_the_backend_is_raised_as_what_it_is(
    upstream: Upstream, client: AsyncAnthropic, reply: Reply, raised: type[anthropic.APIStatusError]
) -> None:
    upstream.always(reply)

    with pytest.raises(raised) as caught:
        await iterated(client)

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == "req_1"


@pytest.mark.shows("errors")
async def test_refusals_of_ours_are_raised_as_what_they_are(upstream: Upstream, client: AsyncAnthropic) -> None:
    upstream.script(answer({"data": [LISTED]}))

    with pytest.raises(anthropic.AuthenticationError) as denied:
        await iterated(client.with_options(api_key="lp_wrong"))
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await client.messages.create(model="gpt-99", max_tokens=9, messages=TEA)
    with pytest.raises(anthropic.NotFoundError) as retrieved:
        await client.models.retrieve("gpt-99")

    assert all(each.value.request_id for each in (denied, unknown, retrieved))
    bodies = [each.value.body for each in (denied, unknown, retrieved)]
    codes = [body["error"]["code"] for body in bodies if isinstance(body, dict)]
    assert codes == ["invalid_credentials", "model_not_found", "model_not_found"]


@pytest.mark.shows("errors")
async def test_client_does_not_multiply_the_attempts_of_the_proxy(
    upstream: Upstream, house: House, client: AsyncAnthropic
) -> None:
    upstream.always(refused(529, "overloaded_error"))

    with pytest.raises(anthropic.OverloadedError):
        await iterated(client.with_options(max_retries=2))

    assert len(upstream.requests) == house.server.settings.retry.attempts
    assert len(await house.records()) == 1


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (stream(BEGUN, HI), "upstream_truncated"),
        (stream(BEGUN, HI, Fin()), "upstream_truncated"),
        (stream(BEGUN, HI, Rst()), "upstream_reset"),
    ],
    ids=["without its end", "closed", "reset"],
)
@pytest.mark.shows("cut")
async def test_broken_stream_is_raised_and_says_what_happened(
    upstream: Upstream, client: AsyncAnthropic, told: Told, broken: Reply, code: str
) -> None:
    upstream.script(broken)

    with pytest.raises(anthropic.APIStatusError) as raised:
        await told(client)

    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["code"] == code


@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("cut")
async def test_stream_that_is_cut_inside_an_event_is_raised(upstream: Upstream, client: AsyncAnthropic, told: Told) -> None:
    """As its HTTP library's own error: the client does not translate those of a stream."""
    upstream.script(stream(BEGUN, HI[:-9], Fin()))

    with pytest.raises(Exception, match="incomplete chunked read"):
        await told(client)


@pytest.mark.parametrize("before", [[], [BEGUN, HI]], ids=["first", "late"])
@pytest.mark.parametrize("told", STREAMED)
@pytest.mark.shows("errors")
async def test_error_of_the_backend_in_the_stream_is_raised_as_it_is(
    upstream: Upstream, client: AsyncAnthropic, before: list[bytes], told: Told
) -> None:
    upstream.always(stream(*before, OVERLOADED))

    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        await told(client)


@pytest.mark.shows("errors")
async def test_failure_behind_keepalives_is_raised(upstream: Upstream) -> None:
    """The status is out; the backend never answers until the deadline for a first token."""
    upstream.always(verbatim(Hang()))
    clocks = {**CLOCKS, "first_token_timeout": "800ms"}
    async with (
        open_house(claude(upstream.url, streaming=clocks)) as house,
        AsyncAnthropic(base_url=house.url, api_key=KEY) as client,
    ):
        with pytest.raises(anthropic.APIStatusError, match="timeout_error"):
            await iterated(client)

        assert (await house.records())[0]["keepalives"] >= 3


# Leaving.


@pytest.mark.shows("leaving")
async def test_closed_stream_stops_the_backend_at_once(upstream: Upstream, house: House, client: AsyncAnthropic) -> None:
    upstream.always(stream(BEGUN, delta("text", text="Hi"), Hang()))
    waits = []

    for number in range(3):  # another program on this machine may delay one of them
        events = await client.messages.create(model=MODEL, max_tokens=99, messages=TEA, stream=True)
        await anext(aiter(events))
        began = time.monotonic()
        await events.close()
        waits.append((await upstream.closed(number)).at - began)

    assert min(waits) < STOPPED_WITHIN
    assert {record["outcome"] for record in await house.records(3)} == {"client_gone"}


@pytest.mark.parametrize("told", [iterated, helped, whole])
@pytest.mark.shows("leaving")
async def test_request_that_is_cancelled_before_its_first_token_stops_the_backend(
    upstream: Upstream, house: House, client: AsyncAnthropic, told: Told
) -> None:
    upstream.script(verbatim(Gate("asked"), Hang()))
    asked = Tasks().spawn(told(client), name="an application's request")
    await upstream.reached("asked")

    asked.cancel()

    await upstream.closed()
    assert (await house.records())[0]["outcome"] == "client_gone"


# The same without asyncio.


@pytest.mark.shows("text")
async def test_sync_client_streams_and_reads_and_raises(upstream: Upstream, house: House) -> None:
    upstream.script(stream(Pause(0.3), WHOLE), stream(TOOLS), answer(ANSWER), refused(400, "invalid_request_error"))

    def use() -> tuple[str, int, str]:
        with Anthropic(base_url=house.url, api_key=KEY, max_retries=0) as client:
            with client.messages.stream(model=MODEL, max_tokens=99, messages=TEA) as events:
                text = "".join(events.text_stream)
            with client.messages.stream(model=MODEL, max_tokens=99, messages=TEA) as events:
                blocks = len(events.get_final_message().content)
            message = client.messages.create(model=MODEL, max_tokens=99, messages=TEA)
            with pytest.raises(anthropic.BadRequestError):
                client.messages.create(model=MODEL, max_tokens=99, messages=TEA)
            return text, blocks, text_of(message)

    assert await asyncio.to_thread(use) == ("Hi", 3, "Hi")
