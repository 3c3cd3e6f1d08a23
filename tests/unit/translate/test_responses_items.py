from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.translate.chat_deltas import Delta, Kind
from proxy.translate.responses_events import Numbered
from proxy.translate.responses_items import FunctionCall, Item, Texts
from tests.unit.translate.test_responses_events import told

TEXT, REFUSAL, THOUGHT = Delta(Kind.TEXT, b"words"), Delta(Kind.REFUSAL, b"no"), Delta(Kind.REASONING, b"Hm")


def texts(*, thoughts: bool = False, summary: bool = False) -> Texts:
    return Texts(Numbered(), 1, "r1", thoughts=thoughts, summary=summary)


def written(item: Item) -> Any:
    return orjson.loads(orjson.dumps(item.written()))


def kinds(out: bytes) -> list[str]:
    return [each["type"].removeprefix("response.") for each in told(out)]


def test_a_message_is_announced_grows_and_is_told_whole() -> None:
    one = texts()

    data = told(one.begin() + one.add(TEXT) + one.add(TEXT) + one.end())

    assert [each["type"].removeprefix("response.") for each in data] == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert data[0]["item"] == {"id": "msg_r1_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    assert data[-1]["item"] == written(one)
    assert written(one)["status"] == "completed"
    assert [part["text"] for part in written(one)["content"]] == ["wordswords"]


def test_a_refusal_is_a_part_of_its_own() -> None:
    one = texts()
    one.add(TEXT)

    assert kinds(one.add(REFUSAL)) == ["output_text.done", "content_part.done", "content_part.added", "refusal.delta"]
    assert [part["type"] for part in written(one)["content"]] == ["output_text", "refusal"]


@pytest.mark.parametrize(
    ("summary", "item"),
    [
        (False, {"summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}),
        (True, {"summary": [{"type": "summary_text", "text": "Hm"}]}),
    ],
)
def test_thoughts_are_content_or_a_summary(summary: bool, item: dict[str, Any]) -> None:
    one = texts(thoughts=True, summary=summary)
    one.add(THOUGHT)
    one.end()

    assert written(one) == {"id": "rs_r1_1", "type": "reasoning", **item}


def test_an_item_takes_only_what_belongs_to_it() -> None:
    kinds_of = [Kind.TEXT, Kind.REFUSAL, Kind.REASONING, Kind.CALL]

    assert [texts().takes(kind) for kind in kinds_of] == [True, True, False, False]
    assert [texts(thoughts=True).takes(kind) for kind in kinds_of] == [False, False, True, False]


def test_the_growing_text_is_that_of_the_last_part() -> None:
    one = texts()
    one.add(TEXT)
    one.add(REFUSAL)

    assert kinds(one.growing.piece(b"!")) == ["refusal.delta"]


def call() -> FunctionCall:
    return FunctionCall(Numbered(), 2, "r1", "call_1")


def test_a_call_is_announced_with_its_name_and_told_whole() -> None:
    one = call()

    data = told(one.add(Delta(Kind.CALL, b"", 0, "call_1", "f")) + one.add(Delta(Kind.CALL, rb"{\"a\":1}", 0)) + one.end())

    assert [each["type"].removeprefix("response.") for each in data] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    begun = {"id": "fc_r1_2", "type": "function_call", "status": "in_progress", "call_id": "call_1", "name": "f", "arguments": ""}
    assert data[0]["item"] == begun
    assert data[2]["arguments"] == '{"a":1}'
    assert data[3]["item"] == written(one) == {**begun, "status": "completed", "arguments": '{"a":1}'}
    assert one.add(Delta(Kind.CALL, b"", 0)) == b""


def test_what_comes_before_the_name_waits_for_it() -> None:
    one = call()

    assert one.add(Delta(Kind.CALL, b"{", 0)) == b""
    assert kinds(one.add(Delta(Kind.CALL, b"}", 0, "call_9", "f"))) == [
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
    ]
    assert written(one)["call_id"] == "call_9"


def test_a_call_whose_name_never_came_is_told_at_its_end() -> None:
    one = call()
    one.add(Delta(Kind.CALL, b"{}", 0))

    assert kinds(one.end())[0] == "output_item.added"
    assert written(one)["name"] == ""


def test_no_arguments_are_an_empty_object_unless_they_were_cut_off() -> None:
    complete, cut = call(), call()
    for one in (complete, cut):
        one.add(Delta(Kind.CALL, b"", 0, "", "f"))

    assert kinds(complete.end())[0] == "function_call_arguments.delta"
    assert written(complete)["arguments"] == "{}"
    cut.end("incomplete")
    assert (written(cut)["arguments"], written(cut)["status"]) == ("", "incomplete")
