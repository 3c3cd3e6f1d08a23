from __future__ import annotations

from typing import Any

from proxy.dialects.eventstream import decode
from proxy.errors import Kind
from proxy.simulator.bedrock.converse import read_converse
from proxy.simulator.dialect import Failure, Part
from tests.unit.simulator.asking import call, events_of, stream_of
from tests.unit.simulator.bedrock.support import BODY, TOOL_CONFIG, streamed, told, whole

THINKING = {**BODY, "additionalModelRequestFields": {"thinking": {"type": "adaptive"}}}


def limited(**config: Any) -> dict[str, Any]:
    return {**BODY, "inferenceConfig": config}


def test_stream_is_start_block_stop_and_metadata_after_it() -> None:
    assert [kind for kind, _ in told(BODY, tokens=2)] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]


def test_only_deltas_are_content_and_the_end_begins_with_the_stop_reason() -> None:
    parts = [event.part for event in events_of(streamed(BODY), tokens=2)]

    assert parts == [Part.FRAME, Part.TOKEN, Part.TOKEN, Part.FRAME, Part.END, Part.END]


def test_whole_answer_says_the_same_as_the_stream() -> None:
    answer, (start, *events, stop, metadata) = whole(BODY), told(BODY)

    said = "".join(payload["delta"]["text"] for kind, payload in events if kind == "contentBlockDelta")
    assert start == ("messageStart", {"role": "assistant"})
    assert answer["output"] == {"message": {"role": "assistant", "content": [{"text": said}]}}
    assert "tea" in said
    assert stop == ("messageStop", {"stopReason": "end_turn"})
    assert answer["stopReason"] == "end_turn"
    assert metadata[1] == {"usage": answer["usage"], "metrics": answer["metrics"]}


def test_usage_is_told_at_the_end() -> None:
    metadata = told(BODY, tokens=5)[-1][1]

    assert metadata["usage"] == {
        "inputTokens": 9,
        "outputTokens": 5,
        "totalTokens": 14,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }
    assert metadata["metrics"] == {"latencyMs": 150}


def test_usage_tells_apart_what_the_cache_did() -> None:
    body = {**BODY, "system": [{"text": "x" * 400}, {"cachePoint": {"type": "default", "ttl": "1h"}}]}

    usage = whole(body, tokens=5)["usage"]

    assert (usage["inputTokens"], usage["cacheWriteInputTokens"], usage["totalTokens"]) == (9, 104, 118)
    assert usage["cacheDetails"] == [{"ttl": "1h", "inputTokens": 104}]


def test_thoughts_are_a_block_of_their_own_before_the_text() -> None:
    events = told(THINKING, tokens=2)

    deltas = [(payload["contentBlockIndex"], *payload["delta"]) for kind, payload in events if kind == "contentBlockDelta"]
    thoughts = deltas.count((0, "reasoningContent")) - 1  # the last one is the signature
    assert deltas == [(0, "reasoningContent")] * (thoughts + 1) + [(1, "text")] * 2
    assert events[-1][1]["usage"]["outputTokens"] == thoughts + 2
    assert [list(block) for block in whole(THINKING)["output"]["message"]["content"]] == [["reasoningContent"], ["text"]]


def test_two_tools_are_used_in_blocks_one_after_the_other() -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "Use both tools"}]}], "toolConfig": TOOL_CONFIG}

    events, answer = told(body), whole(body)

    starts = [
        (payload["contentBlockIndex"], payload["start"]["toolUse"]["name"])
        for kind, payload in events
        if kind == "contentBlockStart"
    ]
    assert starts == [(0, "weather"), (1, "clock")]
    assert [block["toolUse"]["input"].keys() for block in answer["output"]["message"]["content"]] == [{"city"}, set()]
    assert events[-2][1]["stopReason"] == answer["stopReason"] == "tool_use"


def test_answer_ends_before_a_stop_sequence_and_names_it_where_asked_to() -> None:
    words = whole(BODY)["output"]["message"]["content"][0]["text"].split()
    body = limited(stopSequences=[words[6]])

    silent, telling = whole(body), whole({**body, "additionalModelResponseFieldPaths": ["/stop_sequence"]})

    assert silent["output"]["message"]["content"][0]["text"].split() == words[:6]
    assert silent["stopReason"] == telling["stopReason"] == "stop_sequence"
    assert "additionalModelResponseFields" not in silent
    assert telling["additionalModelResponseFields"] == {"stop_sequence": words[6]}


def test_limit_of_tokens_ends_the_answer() -> None:
    answer = whole(limited(maxTokens=4))

    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 4)


def test_call_without_a_stream_has_none_and_the_model_is_the_one_in_the_path() -> None:
    answer = read_converse(call(BODY, id="demo-stall-v1:0"))

    assert (answer.model, answer.stream) == ("demo-stall-v1:0", None)


def test_idle_stream_is_silent_and_fails_with_an_exception() -> None:
    stream = stream_of(streamed(BODY))

    frame = decode(stream.error_event(Failure(status=503, kind=Kind.SERVER, message="Oh."), 3))

    assert stream.content_type == "application/vnd.amazon.eventstream"
    assert stream.idle == b""
    assert frame.headers[":exception-type"] == "serviceUnavailableException"
