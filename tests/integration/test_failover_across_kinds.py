"""`claude-*` goes from Anthropic to Bedrock in the middle of an outage, and its client sees one API all the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from proxy.settings import Settings
from tests.integration.asking import attempts
from tests.integration.test_translation_in_messages import told, types
from tests.support import claude
from tests.support.answers import only_record
from tests.support.bedrock import FRAMES, SEGMENT, frames
from tests.support.claude import PING, ask_claude, message
from tests.support.client import End
from tests.support.house import open_house, settings
from tests.support.steps import verbatim
from tests.support.upstream import Gate, Hang, Reply, Rst, Upstream, answer, stream

NATIVE: Final = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
}


@pytest.fixture
async def anthropic() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def aws() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def both(anthropic: str, aws: str, **streaming: Any) -> Settings:
    return settings(
        upstreams={
            "claude": {"kind": "anthropic", "base_url": anthropic, "api_key": "sk-ant-upstream"},
            "aws": {"kind": "bedrock", "endpoint_url": aws, "region": "us-east-1", "api_key": "bedrock-key"},
        },
        models=[
            {
                "name": "claude-*",
                "targets": [{"upstream": "claude"}, {"upstream": "aws", "model": "anthropic.claude-sonnet-4-5-20250929-v1:0"}],
                "streaming": streaming,
            }
        ],
    )


@pytest.mark.parametrize(
    ("outage", "result"),
    [
        (claude.refused(529, "overloaded_error", "Overloaded"), "overloaded"),
        (answer(b"<html>", status=503), "overloaded"),
        (stream(claude.OVERLOADED), "upstream_error_event"),
        (verbatim(Rst()), "upstream_reset"),
        (stream(claude.STARTED[:20], Rst()), "upstream_reset"),
    ],
    ids=["529", "503", "error first", "reset", "cut before the first event"],
)
async def test_whatever_goes_wrong_first_the_client_has_its_answer_from_bedrock(
    anthropic: Upstream, aws: Upstream, outage: Reply, result: str
) -> None:
    async with open_house(both(anthropic.url, aws.url)) as house, house.client() as client:
        anthropic.always(outage)
        aws.script(frames(*FRAMES))

        response = await ask_claude(client, message(model="claude-x"))
        await response.read()

        assert (response.status, response.end) == (200, End.CLEAN)
        assert set(types(response.body)) == NATIVE
        assert "".join(each["delta"].get("text", "") for each in told(response.body) if "delta" in each) == "Hi there"
        assert attempts(await only_record(house)) == [("claude", result), ("aws", "ok")]
        seen = await aws.request()
        assert seen.target == f"/model/{SEGMENT}/converse-stream".encode()
        assert seen.header("authorization") == "Bearer bedrock-key"


async def test_behind_pings_too(anthropic: Upstream, aws: Upstream) -> None:
    clocks = {"commit_after": "50ms", "keepalive_interval": "40ms", "attempt_timeout": "400ms"}
    async with open_house(both(anthropic.url, aws.url, **clocks)) as house, house.client() as client:
        anthropic.script(stream(Hang()))
        aws.script(frames(FRAMES[0], FRAMES[1], Gate("more"), *FRAMES[2:]))

        response = await ask_claude(client, message(model="claude-x"))
        await response.read_until(PING)
        await response.read_until(b'"text":"Hi"}}\n\n')
        aws.open("more")
        await response.read()

        assert response.end is End.CLEAN
        assert types(response.body)[-1] == "message_stop"
        assert attempts(await only_record(house)) == [("claude", "upstream_timeout"), ("aws", "ok")]


async def test_a_whole_answer_fails_over_as_well(anthropic: Upstream, aws: Upstream) -> None:
    said = {"role": "assistant", "content": [{"text": "Hi"}]}
    async with open_house(both(anthropic.url, aws.url)) as house, house.client() as client:
        anthropic.always(claude.refused(529, "overloaded_error", "Overloaded"))
        aws.script(
            answer({"output": {"message": said}, "stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 5}})
        )

        response = await ask_claude(client, message(model="claude-x", stream=False))
        await asyncio.wait_for(response.read(), 5)

        assert (response.status, response.json()["content"]) == (200, [{"type": "text", "text": "Hi"}])


async def test_when_both_are_away_the_client_hears_of_it_in_its_own_words(anthropic: Upstream, aws: Upstream) -> None:
    async with open_house(both(anthropic.url, aws.url)) as house, house.client() as client:
        anthropic.always(claude.refused(529, "overloaded_error", "Overloaded"))
        aws.always(answer({"message": "Bedrock is unable to process your request."}, status=503))

        response = await ask_claude(client, message(model="claude-x"))
        await response.read()

        assert response.status in (503, 529)
        assert response.json()["type"] == "error"
        assert response.json()["error"]["type"] == "overloaded_error"
