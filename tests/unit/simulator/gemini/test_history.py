from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.conversation import Span
from proxy.simulator.gemini.history import read_conversation
from tests.unit.simulator.gemini.support import HELLO

CALL = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]}
RESPONSE = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"degrees": 3}}}]}


def test_contents_are_read_with_and_without_a_role() -> None:
    contents = [{"parts": [{"text": "On tea"}, {"inline_data": {}}]}, {"role": "model", "parts": [{"text": "Well"}]}, *HELLO]

    first, second, _ = read_conversation({"contents": contents}, []).messages

    assert (first.by_model, first.question, first.text) == (False, "On tea", "On tea\n")
    assert (second.by_model, second.question, second.text) == (True, "", "Well")


@pytest.mark.parametrize("role", ["user", "function"])
def test_function_response_answers_the_call_before_it(role: str) -> None:
    conversation = read_conversation({"contents": [*HELLO, CALL, {**RESPONSE, "role": role}]}, [])

    assert conversation.after_tool
    assert conversation.question == "Tell me about tea"
    assert conversation.last == '{"name":"weather","response":{"degrees":3}}'


def test_tools_and_system_instruction_are_counted() -> None:
    plain = read_conversation({"contents": HELLO}, []).tokens().total

    body = {"contents": HELLO, "systemInstruction": {"parts": [{"text": "x" * 400}]}}

    assert read_conversation(body, [Span(50)]).tokens().total == plain + 50 + 102


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        (None, "contents"),
        ([], "contents"),
        ({"parts": []}, "contents"),
        ([{"role": "assistant", "parts": [{"text": "x"}]}], "contents[0].role"),
        ([{"role": "user"}], "contents[0].parts"),
        ([*HELLO, {"role": "user", "parts": []}], "contents[1].parts"),
        ([{"parts": [{"text": "x"}, {"thought": True}]}], "contents[0].parts[1].data"),
        ([{"parts": [{"functionCall": {}}]}], "name"),
        ([RESPONSE], "contents[0]"),
        ([*HELLO, CALL, RESPONSE, {"role": "model", "parts": [{"text": "Well"}]}, RESPONSE], "contents[4]"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(contents: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_conversation({"contents": contents}, [])

    assert refused.value.param == param
