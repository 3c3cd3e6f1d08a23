"""Clients of Anthropic's API whose Claude is served by Bedrock: binary frames there, Anthropic's events here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.test_translation_in_messages import told, types
from tests.support.answers import only_record
from tests.support.bedrock import (
    ANSWER,
    CONVERSE,
    CONVERSE_STREAM,
    FRAMES,
    HI,
    METADATA,
    MODEL,
    START,
    STOP,
    THROTTLED,
    WHOLE,
    bedrock,
    frames,
    refused,
)
from tests.support.claude import PING, ask_claude, message
from tests.support.client import End, Response
from tests.support.house import House, open_house
from tests.support.upstream import Drip, Fin, Gate, Upstream, answer

SOON = {"commit_after": "100ms", "keepalive_interval": "40ms"}
PIECE = b'"text":"Hi"}}\n\n'


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def asked(house: House, **more: Any) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await ask_claude(client, message(model=MODEL, **more))
        await response.read()
        return response


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_frames_become_events_however_they_are_cut(upstream: Upstream, size: int) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(frames(Drip(WHOLE, size)))

        response = await asked(house)

        assert (response.status, response.header("content-type"), response.end) == (
            200,
            "text/event-stream; charset=utf-8",
            End.CLEAN,
        )
        assert types(response.body) == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        record = await only_record(house)
        assert (record["outcome"], record["tokens_in"], record["tokens_out"], record["tokens_cached"]) == ("completed", 28, 5, 6)


async def test_the_request_is_put_in_converses_words(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(frames(*FRAMES))

        await asked(house, system="Be brief.", stop_sequences=["END"], thinking={"type": "adaptive"})

        seen = await upstream.request()
        assert seen.target == CONVERSE_STREAM.encode()
        assert json.loads(seen.body) == {
            "system": [{"text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"maxTokens": 99, "stopSequences": ["END"]},
            "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
            "additionalModelResponseFieldPaths": ["/stop_sequence"],
        }


async def test_each_frame_goes_out_when_it_comes_with_pings_between(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(frames(Gate("first"), START, HI, Gate("second"), HI, STOP, METADATA))

        response = await ask_claude(client, message(model=MODEL))
        await response.read_until(PING * 2)
        upstream.open("first")
        await response.read_until(PIECE + PING * 2)
        upstream.open("second")
        body = await response.read()

        assert types(body)[-1] == "message_stop"


async def test_a_whole_answer_is_told_whole(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(answer(ANSWER))

        response = await asked(house, stream=False)

        whole = response.json()
        assert (whole["type"], whole["content"], whole["stop_reason"]) == (
            "message",
            [{"type": "text", "text": "Hi"}],
            "end_turn",
        )
        assert (await upstream.request()).target == CONVERSE.encode()


@pytest.mark.parametrize("steps", [[START, HI], [START, HI, Fin()], [START, HI, STOP[:-4], Fin()]])
async def test_a_stream_without_its_end_is_told_as_broken(upstream: Upstream, steps: list[Any]) -> None:
    """The AWS SDKs themselves end such a stream silently."""
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(frames(*steps))

        response = await asked(house)

        assert types(response.body)[-1] == "error"
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == "upstream_truncated"


async def test_an_exception_in_mid_stream_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(frames(START, HI, THROTTLED))

        response = await asked(house)

        assert told(response.body)[-1]["error"]["type"] == "rate_limit_error"
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_an_exception_that_comes_first_gives_another_region_its_chance(upstream: Upstream) -> None:
    async with Upstream() as other, open_house(bedrock(upstream.url, other.url)) as house:
        upstream.script(frames(THROTTLED))
        other.script(frames(*FRAMES))

        response = await asked(house)

        assert types(response.body)[-1] == "message_stop"
        assert [attempt["result"] for attempt in (await only_record(house))["attempts"]] == ["upstream_error_event", "ok"]


async def test_a_refusal_by_status_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url)) as house:
        upstream.script(refused("ValidationException", message="too long"))

        response = await asked(house)

        assert (response.status, response.json()["error"]) == (400, {"type": "invalid_request_error", "message": "too long"})
