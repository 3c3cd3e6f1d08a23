from __future__ import annotations

from typing import Any

import pytest

from proxy.simulator.anthropic.message import stop_reason
from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall
from tests.unit.simulator.anthropic.support import BODY, SCHEMA, events, frames, whole

TOOLS = [{"name": "weather", "input_schema": SCHEMA}, {"name": "clock", "input_schema": {"type": "object"}}]
THINKING = {**BODY, "thinking": {"type": "adaptive"}}


def kinds(body: Any, **shape: int) -> list[str]:
    return [event["type"] for event in events(body, **shape)]


def test_stream_is_start_block_and_end_with_a_ping_after_the_first_block_has_begun() -> None:
    assert kinds(BODY, tokens=2) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_only_deltas_are_content_and_the_end_begins_with_the_stop_reason() -> None:
    parts = [frame.part for frame in frames(BODY, tokens=2)]

    assert parts == [Part.FRAME] * 3 + [Part.TOKEN] * 2 + [Part.FRAME] + [Part.END] * 2


def test_whole_message_says_the_same_as_the_stream() -> None:
    message = whole(BODY)
    start, *_, delta, _ = told = events(BODY)

    said = "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta")
    assert message["content"] == [{"type": "text", "text": said}]
    assert "tea" in said
    assert start["message"] == {**message, "content": [], "stop_reason": None, "usage": start["message"]["usage"]}
    assert message["stop_reason"] == "end_turn"
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"]["output_tokens"] == message["usage"]["output_tokens"]
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "demo")


def test_usage_begins_with_the_tokens_that_came_in_and_ends_with_all() -> None:
    start, *_, delta, _ = events(BODY, tokens=5)

    usage = start["message"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["service_tier"]) == (9, 1, "standard")
    assert delta["usage"] == {
        "input_tokens": 9,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 5,
    }


def test_usage_tells_apart_what_the_cache_did() -> None:
    body = {
        **BODY,
        "system": [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "cache_control": {"type": "ephemeral"},
    }
    asked_again = [*body["messages"], {"role": "assistant", "content": "Well"}, {"role": "user", "content": "And milk?"}]

    first, second = whole(body)["usage"], whole({**body, "messages": asked_again})["usage"]

    assert (first["input_tokens"], first["cache_read_input_tokens"], first["cache_creation_input_tokens"]) == (0, 0, 113)
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 104}
    assert (second["cache_read_input_tokens"], second["cache_creation_input_tokens"]) == (113, 12)


def test_thoughts_are_a_block_of_their_own_before_the_text() -> None:
    told = events(THINKING, tokens=2)
    message = whole(THINKING, tokens=2)

    deltas = [event["delta"]["type"] for event in told if event["type"] == "content_block_delta"]
    thoughts = deltas.count("thinking_delta")
    assert deltas == ["thinking_delta"] * thoughts + ["signature_delta"] + ["text_delta"] * 2
    assert [event["index"] for event in told if event["type"] == "content_block_start"] == [0, 1]
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["usage"]["output_tokens"] == thoughts + 2
    assert message["usage"]["output_tokens_details"] == {"thinking_tokens": thoughts}
    assert told[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": thoughts}


def test_two_tools_are_used_in_blocks_one_after_the_other() -> None:
    body = {**BODY, "messages": [{"role": "user", "content": "Use both tools"}], "tools": TOOLS}

    told, message = events(body), whole(body)

    blocks = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert [(block["type"], block["name"], block["input"]) for block in blocks] == [
        ("tool_use", "weather", {}),
        ("tool_use", "clock", {}),
    ]
    assert [block["id"] for block in message["content"]] == [block["id"] for block in blocks]
    assert message["content"][0]["input"].keys() <= {"city", "days"}
    assert [event["index"] for event in told if event["type"] == "content_block_stop"] == [0, 1]
    assert told[-2]["delta"]["stop_reason"] == message["stop_reason"] == "tool_use"


def test_answer_ends_before_a_stop_sequence_and_names_it() -> None:
    words = whole(BODY)["content"][0]["text"].split()

    message = whole({**BODY, "stop_sequences": [words[6]]})

    assert message["content"][0]["text"].split() == words[:6]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", words[6])


def test_limit_of_tokens_ends_the_answer() -> None:
    message = whole({**BODY, "max_tokens": 4})

    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 4)


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        ({}, "end_turn"),
        ({"stopped": "END"}, "stop_sequence"),
        ({"calls": (ToolCall("call_1", "f", ("{}",)),)}, "tool_use"),
        ({"calls": (ToolCall("call_1", "f", ("{",)),), "cut": True}, "max_tokens"),
    ],
)
def test_stop_reason_is_that_of_the_reply(of: Any, reason: str) -> None:
    reply = Reply(**{"id": "ab", "reasoning": (), "text": (), "calls": (), "cut": False, **of})

    assert stop_reason(reply) == reason
