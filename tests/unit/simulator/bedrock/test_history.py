from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.bedrock.history import cache_point, kind_of, read_conversation
from proxy.simulator.conversation import Span
from tests.unit.simulator.bedrock.support import HELLO, TOOL_CONFIG

POINT = {"cachePoint": {"type": "default"}}
USE = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"json": {"degrees": 3}}, {"text": "cold"}]}}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def test_question_is_what_a_person_says_beside_the_results_of_tools() -> None:
    messages = [*HELLO, assistant(USE), user(RESULT, {"text": "And in Paris?"})]

    conversation = read_conversation({"messages": messages, "toolConfig": TOOL_CONFIG}, [])

    assert conversation.after_tool
    assert conversation.question == "And in Paris?"
    assert conversation.last == '{"degrees":3}\ncold\nAnd in Paris?'


def test_thoughts_and_arguments_are_text_of_the_model() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "So", "signature": "s"}}}
    redacted = {"reasoningContent": {"redactedContent": "eA=="}}
    body = {"messages": [*HELLO, assistant(thought, redacted, USE), user(RESULT)], "toolConfig": TOOL_CONFIG}

    said = read_conversation(body, []).messages[1]

    assert (said.by_model, said.text, said.question) == (True, 'So\n\n{"city":"Oslo"}', "")


def test_system_message_in_the_middle_is_neither_a_question_nor_an_answer() -> None:
    messages = [*HELLO, assistant(USE), {"role": "system", "content": [{"text": "Be brief"}]}, user(RESULT)]

    conversation = read_conversation({"messages": messages, "toolConfig": TOOL_CONFIG}, [])

    assert conversation.question == "Tell me about tea"


def test_tools_and_system_prompt_are_counted_up_to_each_point_of_the_cache() -> None:
    body = {
        "system": [{"text": "x" * 400}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [user({"text": "One"}, POINT, {"text": "Two"})],
    }

    tokens = read_conversation(body, [Span(50)]).tokens()

    assert (tokens.fresh, tokens.written) == (5, {"1h": 154, "5m": 5})


def test_point_of_the_cache_costs_nothing() -> None:
    assert cache_point(POINT, "system.0") == Span(0, "5m")


def test_union_has_one_member() -> None:
    assert kind_of({"text": "x"}, "system.0") == "text"

    for block in ({}, {"text": "x", "image": {}}):
        with pytest.raises(BadRequest):
            kind_of(block, "system.0")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": [{"text": "x"}]}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x"}]}, "content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"messages": [assistant({"text": "x"})]}, "messages.0.role"),
        ({"messages": [user({"text": " "})]}, "messages.0.content.0.text"),
        ({"messages": [user({"text": "x", "image": {}})]}, "messages.0.content.0"),
        ({"messages": [user(USE)]}, "messages.0.content.0"),
        ({"messages": [*HELLO, assistant(RESULT)]}, "messages.1.content.0"),
        ({"messages": [*HELLO, assistant({"toolUse": {"name": "f"}})]}, "toolUseId"),
        ({"messages": [*HELLO, assistant(USE), user({"toolResult": {"content": []}})]}, "toolUseId"),
        ({"messages": [user(RESULT)]}, "messages.0"),
        ({"messages": [*HELLO, assistant({"text": "Well"}), user(RESULT)]}, "messages.2"),
        ({"messages": [*HELLO, assistant(USE), user({"text": "And?"})]}, "messages.1"),
        ({"messages": [*HELLO, assistant(USE)]}, "messages.1"),
        ({"messages": [*HELLO, assistant(USE), user(RESULT)], "toolConfig": None}, "toolConfig"),
        ({"messages": [user({"text": "x"}, {"cachePoint": {"type": "best"}})]}, "messages.0.content.1"),
        ({"messages": [user({"text": "x"}, {"cachePoint": {"type": "default", "ttl": "9h"}})]}, "messages.0.content.1"),
        ({"system": "Be brief"}, "system"),
        ({"system": [{"image": {}}]}, "system.0"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_conversation({"messages": HELLO, "toolConfig": TOOL_CONFIG, **change}, [])

    assert refused.value.param == param
