"""Bedrock's runtime from end to end: frames pass byte for byte, fail over on their first one, and end honestly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]

from tests.integration.asking import attempts
from tests.support.answers import only_record
from tests.support.bedrock import (
    ANSWER,
    ASK,
    CALL_ERRORS,
    CLAUDE,
    CONVERSE,
    CONVERSE_STREAM,
    EVENT_STREAM,
    FRAMES,
    HI,
    INVOKE,
    INVOKE_STREAM,
    KEY_HEADERS,
    MODEL,
    OTHER_MODEL,
    RENAMED,
    REQUEST_ID,
    SEGMENT,
    START,
    STOP,
    STREAM_ERRORS,
    THROTTLED,
    WHOLE,
    ask_bedrock,
    bedrock,
    damaged,
    delta,
    error_frame,
    exception,
    frames,
    refused,
)
from tests.support.client import End, Response
from tests.support.house import House, open_house
from tests.support.loops import both_loops
from tests.support.steps import Step
from tests.support.upstream import Drip, Fin, Gate, Hang, How, Reply, Rst, Upstream, answer, verbatim

pytestmark = both_loops

BOUND = 0.1  # seconds from the client's departure to the end of the upstream's connection
TOKENS_PATH = f"/model/{SEGMENT}/count-tokens"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def read(house: House, path: str = CONVERSE_STREAM, body: bytes = ASK) -> Response:
    """Ask on a connection of its own and read to the end."""
    async with house.client() as client:
        response = await ask_bedrock(client, path, body)
        await response.read()
        return response


def last_frame(response: Response) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return headers and payload of the last frame, as botocore reads it."""
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(response.body))
    *_, last = buffer
    return last.headers, orjson.loads(last.payload or b"{}")


# Passed on.


@pytest.mark.parametrize(
    ("path", "stream"),
    [(CONVERSE_STREAM, FRAMES), (INVOKE_STREAM, CLAUDE), (INVOKE_STREAM, OTHER_MODEL)],
    ids=["converse", "Claude's own", "another model's own"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["a byte a chunk", "seven", "at once"])
async def test_a_stream_passes_byte_for_byte(upstream: Upstream, path: str, stream: tuple[bytes, ...], size: int) -> None:
    whole = b"".join(stream)
    upstream.script(frames(Drip(whole, size)))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house, path)

        assert (response.status, bytes(response.body), response.end) == (200, whole, End.CLEAN)
        headers = {
            name: response.header(name) for name in ("content-type", "x-amzn-requestid", "cache-control", "x-accel-buffering")
        }
        assert list(headers.values()) == [EVENT_STREAM, REQUEST_ID, "no-cache, no-transform", "no"]
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["upstream_request_id"]) == ("completed", "bedrock", REQUEST_ID)


async def test_each_frame_is_there_when_the_upstream_has_sent_it(upstream: Upstream) -> None:
    gates = [Gate(str(number)) for number in range(len(FRAMES))]
    upstream.script(frames(*(step for pair in zip(FRAMES, gates, strict=True) for step in pair)))
    async with open_house(bedrock(upstream.url)) as house, house.client() as client:
        response = await ask_bedrock(client)
        for number, frame in enumerate(FRAMES):
            await response.read_until(frame)
            upstream.open(str(number))
        await response.read()

        assert bytes(response.body) == WHOLE


async def test_the_request_is_the_client_s_but_for_its_credential(upstream: Upstream) -> None:
    upstream.script(frames(WHOLE))
    body = b'{ "messages": [],  "inferenceConfig": {"maxTokens": 5} }'
    async with open_house(bedrock(upstream.url)) as house:
        await read(house, CONVERSE_STREAM + "?a=%2B", body)

        seen = await upstream.request()
        assert (seen.method, seen.target, seen.body) == ("POST", f"{CONVERSE_STREAM}?a=%2B".encode(), body)
        assert seen.header("authorization") == "Bearer bedrock-api-key-upstream"
        assert seen.header("content-type") == "application/json"


@pytest.mark.parametrize(("path", "body"), [(CONVERSE, ANSWER), (INVOKE, {"content": []}), (TOKENS_PATH, {"inputTokens": 7})])
async def test_a_whole_answer_passes_byte_for_byte(upstream: Upstream, path: str, body: dict[str, Any]) -> None:
    upstream.script(answer(body, headers=[("x-amzn-RequestId", REQUEST_ID)]))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house, path)

        assert (response.status, response.json(), response.header("x-amzn-requestid")) == (200, body, REQUEST_ID)
        assert (await only_record(house))["outcome"] == "completed"


async def test_tokens_are_counted_from_stream_and_answer(upstream: Upstream) -> None:
    upstream.script(frames(*FRAMES), answer(ANSWER), frames(*CLAUDE))
    async with open_house(bedrock(upstream.url)) as house:
        for path in (CONVERSE_STREAM, CONVERSE, INVOKE_STREAM):
            await read(house, path)

        counted = [(record["tokens_in"], record["tokens_out"]) for record in await house.records(3)]
        assert counted == [(28, 5), (28, 5), (16, 4)]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(MODEL, MODEL), (SEGMENT, SEGMENT), ("claude", RENAMED.replace(":", "%3A"))],
    ids=["as it is", "escaped", "another name"],
)
async def test_the_model_s_name_there_stands_in_the_path(upstream: Upstream, asked: str, sent: str) -> None:
    upstream.script(answer(ANSWER))
    async with open_house(bedrock(upstream.url)) as house:
        await read(house, f"/model/{asked}/converse")

        assert (await upstream.request()).target == f"/model/{sent}/converse".encode()


async def test_a_model_that_is_not_served_is_not_found_in_bedrock_s_own_words(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house, "/model/amazon.nova-lite-v1%3A0/converse")

        assert (response.status, response.header("x-amzn-errortype")) == (404, "ResourceNotFoundException")
        assert list(response.json()) == ["message"]


# Failures before the first frame.


FIRST_FAULTS = {
    "throttled in the stream": (frames(THROTTLED), "upstream_error_event"),
    "throttled byte by byte": (frames(Drip(THROTTLED)), "upstream_error_event"),
    "unknown exception": (frames(exception("newException"), Hang()), "upstream_error_event"),
    "error frame": (frames(error_frame("InternalFailure")), "upstream_error_event"),
    "damaged frame": (frames(damaged(START)), "upstream_malformed"),
    "damaged prelude": (frames(damaged(START, 9), Hang()), "upstream_malformed"),
    "no frame at all": (frames(b'{"message": "no"}'), "upstream_malformed"),
    "nothing": (frames(), "upstream_truncated"),
    "half a frame": (frames(START[:-1]), "upstream_truncated"),
    "half a frame and a FIN": (frames(START[:-1], Fin()), "upstream_truncated"),
    "half a frame and a RST": (frames(START[:-1], Rst()), "upstream_reset"),
    "closed before the head": (verbatim(Fin()), "upstream_closed"),
    "reset before the head": (verbatim(Rst()), "upstream_reset"),
}


@pytest.mark.parametrize(("fault", "result"), FIRST_FAULTS.values(), ids=FIRST_FAULTS)
async def test_another_region_answers_when_the_first_frame_is_none(
    upstream: Upstream, other: Upstream, fault: Reply, result: str
) -> None:
    upstream.script(fault)
    other.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, other.url)) as house:
        response = await read(house)

        assert (response.status, bytes(response.body), response.end) == (200, WHOLE, End.CLEAN)
        assert attempts(await only_record(house)) == [("a", result), ("b", "ok")]


@pytest.mark.parametrize("name", [name for name, status in CALL_ERRORS.items() if status in (429, 500, 503)])
async def test_another_region_answers_when_a_call_is_turned_away(upstream: Upstream, other: Upstream, name: str) -> None:
    upstream.script(refused(name))
    other.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, other.url)) as house:
        response = await read(house)

        assert (response.status, bytes(response.body)) == (200, WHOLE)


async def test_the_same_region_is_asked_again_when_it_was_not_available(upstream: Upstream) -> None:
    upstream.script(refused("ServiceUnavailableException"), frames(THROTTLED), frames(*FRAMES))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house)

        assert (response.status, bytes(response.body)) == (200, WHOLE)
        assert [word for _, word in attempts(await only_record(house))] == ["server_error", "upstream_error_event", "ok"]


@pytest.mark.parametrize("name", [name for name, status in CALL_ERRORS.items() if status not in (403, 429, 500, 503)])
async def test_a_refusal_that_repeating_does_not_mend_is_passed_on_as_it_is(
    upstream: Upstream, other: Upstream, name: str
) -> None:
    upstream.script(refused(name, message="the model's own words"))
    async with open_house(bedrock(upstream.url, other.url)) as house:
        response = await read(house)

        assert (response.status, response.json()) == (CALL_ERRORS[name], {"message": "the model's own words"})
        assert (response.header("x-amzn-errortype") or "").startswith(name)
        assert other.requests == []


async def test_what_is_wrong_with_our_own_credentials_stays_here(upstream: Upstream) -> None:
    upstream.script(refused("AccessDeniedException", message="arn:aws:iam::123456789012:role/secret may not"))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house)

        assert (response.status, response.header("x-amzn-errortype")) == (502, "InternalServerException")
        assert b"secret" not in response.body
        assert (await only_record(house))["code"] == "upstream_credentials"


async def test_an_exception_as_first_frame_is_passed_on_when_nobody_else_can_be_asked(upstream: Upstream) -> None:
    upstream.script(frames(THROTTLED))
    async with open_house(bedrock(upstream.url, retry={"attempts": 1})) as house:
        response = await read(house)

        assert (response.status, bytes(response.body)) == (200, THROTTLED)
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_a_stream_that_is_none_from_its_start_is_an_error_answer(upstream: Upstream) -> None:
    upstream.script(frames(damaged(START)))
    async with open_house(bedrock(upstream.url, retry={"attempts": 1})) as house:
        response = await read(house)

        assert (response.status, response.header("x-amzn-errortype")) == (502, "InternalServerException")
        assert START[:20] not in bytes(response.body)


# Failures behind the first frame.


@pytest.mark.parametrize("told", [*map(exception, STREAM_ERRORS), exception("newException"), error_frame("InternalFailure")])
async def test_an_error_in_a_stream_is_passed_on_in_its_own_words(upstream: Upstream, told: bytes) -> None:
    upstream.script(frames(START, HI, told))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house)

        assert bytes(response.body) == START + HI + told
        assert (await only_record(house))["outcome"] == "in_band_error"


BREAKS: dict[str, tuple[tuple[Step, ...], str]] = {
    "no messageStop": ((START, HI), "upstream_truncated"),
    "FIN": ((START, HI, Fin()), "upstream_truncated"),
    "RST": ((START, HI, Rst()), "upstream_reset"),
    "FIN behind messageStop": ((START, HI, STOP, Fin()), "upstream_truncated"),
}


@pytest.mark.parametrize(("steps", "outcome"), BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("path", [CONVERSE_STREAM, INVOKE_STREAM])
async def test_a_stream_that_breaks_between_two_frames_says_so_in_a_frame_of_its_own_and_has_no_end(
    upstream: Upstream, steps: tuple[Step, ...], outcome: str, path: str
) -> None:
    frames_of = {START: CLAUDE[0], HI: CLAUDE[2], STOP: CLAUDE[4]} if path == INVOKE_STREAM else {}
    steps = tuple(frames_of.get(step, step) if isinstance(step, bytes) else step for step in steps)
    upstream.script(frames(*steps))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house, path)

        sent = b"".join(step for step in steps if isinstance(step, bytes))
        assert bytes(response.body).startswith(sent)
        headers, payload = last_frame(response)
        assert headers == {
            ":exception-type": "modelStreamErrorException",
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        assert list(payload) == ["message"]
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == outcome


PIECES: dict[str, tuple[tuple[Step, ...], str]] = {
    "half a frame": ((START, HI[:-1]), "upstream_truncated"),
    "half a frame and a FIN": ((START, HI[:9], Fin()), "upstream_truncated"),
    "half a frame and a RST": ((START, HI[:9], Rst()), "upstream_reset"),
    "a damaged frame": ((START, damaged(HI), STOP), "upstream_reset"),
    "a damaged prelude": ((START, damaged(HI, 9), STOP), "upstream_reset"),
}


@pytest.mark.parametrize(("steps", "outcome"), PIECES.values(), ids=PIECES)
async def test_nothing_is_ever_put_behind_bytes_that_are_no_whole_frame(
    upstream: Upstream, steps: tuple[Step, ...], outcome: str
) -> None:
    upstream.script(frames(*steps))
    async with open_house(bedrock(upstream.url)) as house:
        response = await read(house)

        assert bytes(response.body) == b"".join(step for step in steps if isinstance(step, bytes))
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == outcome


async def test_a_stream_that_stalls_is_ended_in_the_client_s_own_words(upstream: Upstream) -> None:
    upstream.script(frames(START, HI, Hang()))
    async with open_house(bedrock(upstream.url, streaming={"idle_timeout": "300ms"})) as house:
        response = await read(house)

        assert last_frame(response)[0][":exception-type"] == "modelStreamErrorException"
        assert (await only_record(house))["outcome"] == "upstream_stalled"


async def test_nothing_is_put_into_a_silent_stream_and_nothing_sent_before_it(upstream: Upstream) -> None:
    """Everything else would have had its 200 and keepalives by then."""
    upstream.script(frames(Gate("first"), START, HI, Gate("second"), STOP))
    streaming = {"commit_after": "50ms", "keepalive_interval": "50ms", "keepalive_style": "comment"}
    async with open_house(bedrock(upstream.url, streaming=streaming)) as house, house.client() as client:
        await client.send_request("POST", CONVERSE_STREAM, KEY_HEADERS, ASK)
        await upstream.reached("first")
        before = await client.silent(0.3)
        upstream.open("first")
        response = await client.response()
        await response.read_until(HI)
        between = await client.silent(0.3)
        upstream.open("second")
        await response.read()

        assert (before, between) == (True, True)
        assert bytes(response.body) == START + HI + STOP


# Departures.


@pytest.mark.parametrize("steps", [(Gate("here"),), (START, HI, Gate("here")), (START, HI[:9], Gate("here"))])
async def test_a_client_that_leaves_ends_the_generation_within_100_ms(upstream: Upstream, steps: tuple[Step, ...]) -> None:
    upstream.script(frames(*steps))
    async with open_house(bedrock(upstream.url)) as house:
        async with house.client() as client:
            await client.send_request("POST", CONVERSE_STREAM, KEY_HEADERS, ASK)
            await upstream.reached("here")
            left = time.monotonic()
        closed = await upstream.closed()

        assert closed.how is How.RST
        assert closed.at - left < BOUND
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_a_long_frame_is_relayed_while_it_comes(upstream: Upstream) -> None:
    long = delta("x" * 200_000)
    upstream.script(frames(START, long[:100_000], Gate("rest"), long[100_000:], STOP))
    async with open_house(bedrock(upstream.url)) as house, house.client() as client:
        response = await ask_bedrock(client)
        await response.read_until(long[99_000:100_000])
        upstream.open("rest")
        await response.read()

        assert (bytes(response.body), response.end) == (START + long + STOP, End.CLEAN)


# The client's own credentials.


SIGNATURE = "AWS4-HMAC-SHA256 Credential=AKIDCLIENT/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=ab"
SIGNED = [
    ("Authorization", SIGNATURE),
    ("X-Amz-Date", "20260101T000000Z"),
    ("X-Amz-Security-Token", "clients-token"),
    ("X-Amz-Content-SHA256", "clients-hash"),
]


async def test_a_client_s_signature_is_refused_with_a_hint_at_what_to_send_instead(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house, house.client() as client:
        response = await client.request("POST", CONVERSE_STREAM, SIGNED, ASK)
        await response.read()

        assert (response.status, response.header("x-amzn-errortype")) == (401, "UnrecognizedClientException")
        assert "AWS_BEARER_TOKEN_BEDROCK" in response.json()["message"]
        assert upstream.requests == []


async def test_a_client_s_signature_is_dropped_where_anybody_may_ask(upstream: Upstream) -> None:
    upstream.script(frames(*FRAMES))
    configured = bedrock(upstream.url, auth={"allow_anonymous": True})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", CONVERSE_STREAM, SIGNED, ASK)
        await response.read()

        assert bytes(response.body) == WHOLE
        raw = (await upstream.request()).head.raw
        assert b"AKIDCLIENT" not in raw
        assert b"clients-" not in raw
        assert b"x-amz-" not in raw.lower()
