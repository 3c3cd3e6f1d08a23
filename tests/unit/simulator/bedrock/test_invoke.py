from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.eventstream import decode
from proxy.errors import BadRequest, Kind
from proxy.simulator.bedrock.invoke import read_invoke, read_invoke_stream
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.reply import Shape
from tests.unit.simulator.asking import call, events_of, stream_of, whole_of
from tests.unit.simulator.bedrock.support import unpacked

HELLO = [{"role": "user", "content": "Tell me about tea"}]
BODY: dict[str, Any] = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000, "messages": HELLO}


def told(body: Any, **shape: int) -> list[Any]:
    """Return the native events in the chunks."""
    frames = unpacked(events_of(read_invoke_stream(call(body, id="demo")), **shape))
    assert {kind for kind, _, _ in frames} == {"chunk"}
    return [orjson.loads(base64.b64decode(payload["bytes"])) for _, payload, _ in frames]


def test_whole_answer_is_claudes_own() -> None:
    message = whole_of(read_invoke(call(BODY, id="demo")))

    assert (message["type"], message["model"], message["stop_reason"]) == ("message", "demo", "end_turn")
    assert message["id"].startswith("msg_bdrk_")
    assert "tea" in message["content"][0]["text"]


def test_whole_answer_tells_its_cost_in_headers() -> None:
    whole = read_invoke(call(BODY, id="demo")).whole(Shape(tokens=5))

    assert whole.headers == {
        "X-Amzn-Bedrock-Input-Token-Count": "9",
        "X-Amzn-Bedrock-Output-Token-Count": "5",
        "X-Amzn-Bedrock-Invocation-Latency": "150",
    }


def test_stream_is_claudes_own_without_pings() -> None:
    assert [event["type"] for event in told(BODY, tokens=1)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_parts_of_the_stream_are_those_of_its_events() -> None:
    parts = [event.part for event in events_of(read_invoke_stream(call(BODY, id="demo")), tokens=1)]

    assert parts == [Part.FRAME, Part.FRAME, Part.TOKEN, Part.FRAME, Part.END, Part.END]


def test_last_event_tells_what_the_invocation_cost() -> None:
    assert told(BODY, tokens=5)[-1]["amazon-bedrock-invocationMetrics"] == {
        "inputTokenCount": 9,
        "outputTokenCount": 5,
        "invocationLatency": 150,
        "firstByteLatency": 30,
    }


def test_last_event_tells_what_the_cache_did() -> None:
    metrics = told({**BODY, "cache_control": {"type": "ephemeral"}}, tokens=5)[-1]["amazon-bedrock-invocationMetrics"]

    assert (metrics["inputTokenCount"], metrics["cacheReadInputTokenCount"], metrics["cacheWriteInputTokenCount"]) == (0, 0, 9)


def test_model_of_the_path_is_everywhere() -> None:
    for read in (read_invoke, read_invoke_stream):
        assert read(call(BODY, id="demo-stall")).model == "demo-stall"


def test_idle_stream_is_silent_and_fails_with_an_exception() -> None:
    stream = stream_of(read_invoke_stream(call(BODY, id="demo")))

    frame = decode(stream.error_event(Failure(status=500, kind=Kind.SERVER, message="Oh."), 3))

    assert stream.content_type == "application/vnd.amazon.eventstream"
    assert stream.idle == b""
    assert frame.headers[":exception-type"] == "internalServerException"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"anthropic_version": None}, "anthropic_version"),
        ({"anthropic_version": "2023-06-01"}, "anthropic_version"),
        ({"model": "demo"}, "model"),
        ({"stream": True}, "stream"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"anthropic_version": "2026-10-21", "temperature": 1}, "temperature"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_invoke(call({**BODY, **change}, id="demo"))

    assert refused.value.param == param
