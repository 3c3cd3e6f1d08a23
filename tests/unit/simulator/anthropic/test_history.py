from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.anthropic.history import read_conversation, span_of
from proxy.simulator.conversation import Span
from tests.unit.simulator.anthropic.support import HELLO

EPHEMERAL = {"type": "ephemeral"}
USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "21 degrees"}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def test_content_is_a_text_or_blocks() -> None:
    (said,) = read_conversation({"messages": [{"role": "user", "content": "One"}]}, []).messages
    (blocks,) = read_conversation({"messages": [user(text("One"), {"type": "image", "source": {}}, text("Two"))]}, []).messages

    assert (said.text, said.question, said.by_model) == ("One", "One", False)
    assert blocks.question == "One\nTwo"


def test_question_is_what_a_person_says_beside_the_results_of_tools() -> None:
    conversation = read_conversation({"messages": [*HELLO, assistant(USE), user(RESULT, text("And in Paris?"))]}, [])

    assert conversation.after_tool
    assert conversation.question == "And in Paris?"
    assert conversation.last == "21 degrees\nAnd in Paris?"


def test_thoughts_and_arguments_are_text_of_the_model() -> None:
    thought = {"type": "thinking", "thinking": "So", "signature": "s"}

    said = read_conversation({"messages": [*HELLO, assistant(thought, USE), user(RESULT)]}, []).messages[1]

    assert (said.by_model, said.text, said.question) == (True, 'So\n{"city":"Oslo"}', "")


def test_system_message_in_the_middle_is_neither_a_question_nor_an_answer() -> None:
    messages = [*HELLO, assistant(USE), {"role": "system", "content": "Be brief"}, user(RESULT)]

    conversation = read_conversation({"messages": messages}, [])

    assert conversation.question == "Tell me about tea"


@pytest.mark.parametrize("system", ["x" * 400, [text("x" * 400)]])
def test_tools_and_system_prompt_are_counted(system: Any) -> None:
    plain = read_conversation({"messages": HELLO}, []).tokens().total

    tokens = read_conversation({"messages": HELLO, "system": system}, [Span(50)]).tokens()

    assert tokens.total == plain + 50 + 104


def test_marks_of_the_cache_are_read_wherever_they_stand() -> None:
    body = {
        "system": [text("Be brief", cache_control={"type": "ephemeral", "ttl": "1h"})],
        "messages": [user(text("One", cache_control=EPHEMERAL), text("Two"))],
    }

    tokens = read_conversation(body, []).tokens()

    assert tokens.written.keys() == {"1h", "5m"}
    assert tokens.fresh == 5


def test_mark_of_the_whole_request_stands_behind_its_last_block() -> None:
    tokens = read_conversation({"messages": [user(text("One"), text("Two"))], "cache_control": EPHEMERAL}, []).tokens()

    assert (tokens.fresh, tokens.written) == (0, {"5m": 10})


def test_span_of_a_block_has_its_tokens_and_its_mark() -> None:
    assert span_of({"cache_control": EPHEMERAL}, "x" * 40, "tools.0") == Span(14, "5m")
    assert span_of({}, "", "tools.0") == Span(4)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        ([{"role": "king", "content": "x"}], "messages.0.role"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": ""}], "messages.0.content.0.text"),
        ([{"role": "user", "content": []}], "messages.0.content"),
        ([*HELLO, user("x")], "messages.1.content.0"),
        ([user({"text": "x"})], "messages.0.content.0"),
        ([user(text(""))], "messages.0.content.0.text"),
        ([user(USE)], "messages.0.content.0"),
        ([*HELLO, assistant(RESULT)], "messages.1.content.0"),
        ([*HELLO, assistant({"type": "tool_use"})], "messages.1.content.0.id"),
        ([*HELLO, assistant(USE), user({"type": "tool_result"})], "messages.2.content.0.tool_use_id"),
        ([user(RESULT)], "messages.0"),
        ([*HELLO, assistant(text("Well")), user(RESULT)], "messages.2"),
        ([*HELLO, assistant(USE), user(text("And?"))], "messages.1"),
        ([*HELLO, assistant(USE)], "messages.1"),
        ([user(text("x", cache_control="yes"))], "messages.0.content.0.cache_control"),
        ([user(text("x", cache_control={"type": "ephemeral", "ttl": "9h"}))], "messages.0.content.0.cache_control"),
        ([user(*[text("x", cache_control=EPHEMERAL)] * 5)], "cache_control"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(messages: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_conversation({"messages": messages}, [])

    assert refused.value.param == param
    assert param.rpartition(".")[2] in refused.value.public


def test_wrong_system_prompt_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        read_conversation({"messages": HELLO, "system": 5}, [])

    assert refused.value.param == "system"
