"""AWS's Python client against the simulator, through a real socket; it blocks, so it runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import boto3  # type: ignore[import-untyped]
import orjson
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]
from urllib3.exceptions import ProtocolError

ON_TEA = [{"role": "user", "content": [{"text": "On tea"}]}]
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "On tea"}]}
TOOLS = {
    "tools": [
        {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}}}
    ]
}
MODEL = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.demo-v1:0"


@pytest.fixture
async def bedrock(url: str) -> AsyncIterator[Any]:
    """Run a function of a client, in a thread, and return what it returns."""
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )

    async def ask(use: Callable[[Any], Any]) -> Any:
        return await asyncio.to_thread(use, client)

    yield ask
    client.close()


def under(scenario: str, client: Any) -> Any:
    client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("X-Test-Scenario", scenario))
    return client


def story(client: Any, **of: Any) -> list[Any]:
    with closing(client.converse_stream(**{"modelId": MODEL, "messages": ON_TEA, **of})["stream"]) as stream:
        return list(stream)


async def test_converse_has_text_usage_and_a_request_id(bedrock: Any) -> None:
    answer = await bedrock(lambda client: client.converse(modelId=MODEL, messages=ON_TEA, inferenceConfig={"maxTokens": 3}))

    assert answer["output"]["message"]["content"][0]["text"]
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 3)
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36


async def test_converse_is_streamed_with_thoughts(bedrock: Any) -> None:
    more = {"thinking": {"type": "adaptive"}}

    events = await bedrock(lambda client: story(client, additionalModelRequestFields=more))

    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert "tea" in "".join(delta.get("reasoningContent", {}).get("text", "") for delta in deltas)
    assert "tea" in "".join(delta.get("text", "") for delta in deltas)
    assert [next(iter(event)) for event in events[-2:]] == ["messageStop", "metadata"]
    assert events[-1]["metadata"]["usage"]["totalTokens"] > 20


async def test_tools_are_used_and_take_results(bedrock: Any) -> None:
    question = {"role": "user", "content": [{"text": "Weather in Oslo?"}]}
    first = await bedrock(lambda client: client.converse(modelId=MODEL, messages=[question], toolConfig=TOOLS))
    said = first["output"]["message"]
    use = said["content"][0]["toolUse"]
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": {"degrees": -3}}]}}

    second = await bedrock(
        lambda client: client.converse(
            modelId=MODEL, messages=[question, said, {"role": "user", "content": [result]}], toolConfig=TOOLS
        )
    )

    assert use["input"].keys() == {"city"}
    assert "Oslo" in second["output"]["message"]["content"][0]["text"]


async def test_claude_is_invoked_whole_and_as_a_stream(bedrock: Any) -> None:
    body = orjson.dumps(CLAUDE)

    whole = await bedrock(lambda client: orjson.loads(client.invoke_model(modelId=MODEL, body=body)["body"].read()))
    chunks = await bedrock(lambda client: list(client.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"]))

    events = [orjson.loads(chunk["chunk"]["bytes"]) for chunk in chunks]
    said = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert whole["content"] == [{"type": "text", "text": said}]
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == whole["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("rate_limit", "ThrottlingException"),
        ("server_error", "InternalServerException"),
        ("server_error;status=503", "ServiceUnavailableException"),
    ],
)
async def test_exceptions_at_the_call_are_raised(bedrock: Any, scenario: str, code: str) -> None:
    with pytest.raises(ClientError) as raised:
        await bedrock(lambda client: story(under(scenario, client)))

    assert raised.value.response["Error"]["Code"] == code


async def test_refused_request_is_raised_with_its_reason(bedrock: Any) -> None:
    with pytest.raises(ClientError, match="must start with a user message") as raised:
        await bedrock(lambda client: story(client, messages=[{"role": "assistant", "content": [{"text": "Well"}]}]))

    assert raised.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("scenario", ["error_event_first", "error_event_late;after=2"])
async def test_exceptions_in_the_stream_are_raised(bedrock: Any, scenario: str) -> None:
    with pytest.raises(EventStreamError) as raised:
        await bedrock(lambda client: story(under(scenario, client)))

    assert raised.value.response["Error"]["Code"] == "internalServerException"


@pytest.mark.parametrize("scenario", ["truncate", "reset", "reset_mid_event"])
async def test_broken_streams_are_raised(bedrock: Any, scenario: str) -> None:
    with pytest.raises(ProtocolError):  # the client lets it through
        await bedrock(lambda client: story(under(scenario, client)))
