from __future__ import annotations

from typing import Any

import pytest

from proxy.exchange import Usage
from proxy.translate.chat_deltas import ChatReader, Delta, Kind


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def piece(number: int | None = 0, arguments: Any = "", **more: Any) -> dict[str, Any]:
    """Return the delta of a tool call; *more* are `id` and `name`."""
    call: dict[str, Any] = {"function": {"arguments": arguments, **({"name": more["name"]} if "name" in more else {})}}
    if "id" in more:
        call["id"] = more["id"]
    if number is not None:
        call["index"] = number
    return {"tool_calls": [call]}


def read(*deltas: dict[str, Any]) -> list[Delta]:
    reader = ChatReader()
    return [delta for each in deltas for delta in reader.read(chunk(each))]


@pytest.mark.parametrize(
    ("said", "deltas"),
    [
        ({"content": "Hi"}, [Delta(Kind.TEXT, b"Hi")]),
        ({"content": 'a "b"\n'}, [Delta(Kind.TEXT, rb"a \"b\"\n")]),
        ({"content": ""}, []),
        ({"content": None, "role": "assistant"}, []),
        ({"refusal": "No"}, [Delta(Kind.REFUSAL, b"No")]),
        ({"reasoning_content": "Hm"}, [Delta(Kind.REASONING, b"Hm")]),
        ({"reasoning": "Hm", "reasoning_content": "Hm"}, [Delta(Kind.REASONING, b"Hm")]),
        ({"reasoning": "Hm", "content": "Yes"}, [Delta(Kind.REASONING, b"Hm"), Delta(Kind.TEXT, b"Yes")]),
        ({"content": [{"type": "text", "text": "Hi"}]}, [Delta(Kind.TEXT, b"Hi")]),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Yes"}]},
            [Delta(Kind.REASONING, b"Hm"), Delta(Kind.TEXT, b"Yes")],
        ),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [Delta(Kind.CALL, b"{}", 0, "", "f")]),
        ({"content": 5, "reasoning": {}, "tool_calls": "no", "function_call": []}, []),
        ({"content": [1, {"type": "image"}], "tool_calls": [None]}, []),
        (None, []),
        ("no object", []),
    ],
)
def test_what_a_delta_says_is_told_in_order(said: Any, deltas: list[Delta]) -> None:
    assert ChatReader().read(chunk(said)) == deltas


def test_pieces_of_a_call_are_known_by_the_upstreams_number() -> None:
    deltas = read(piece(0, id="a", name="f"), piece(1, id="b", name="g"), piece(0, "{"), piece(1, "[]"), piece(0, "}"))

    assert deltas == [
        Delta(Kind.CALL, b"", 0, "a", "f"),
        Delta(Kind.CALL, b"", 1, "b", "g"),
        Delta(Kind.CALL, b"{", 0),
        Delta(Kind.CALL, b"[]", 1),
        Delta(Kind.CALL, b"}", 0),
    ]


def test_another_id_under_the_same_number_is_another_call() -> None:
    deltas = read(piece(0, "{}", id="a", name="f"), piece(0, "{", id="b", name="g"), piece(0, "}"))

    assert [(delta.call, delta.text) for delta in deltas] == [(0, b"{}"), (1, b"{"), (1, b"}")]


def test_an_id_that_is_repeated_or_comes_late_begins_no_call() -> None:
    deltas = read(piece(0, "", name="f"), piece(0, "{", id="a"), piece(0, "}", id="a"))

    assert [(delta.call, delta.id) for delta in deltas] == [(0, ""), (0, "a"), (0, "a")]


def test_a_piece_without_anything_is_none() -> None:
    assert len(read(piece(0, id="a", name="f"), piece(0), piece(0, id="a"))) == 1


def test_without_numbers_a_piece_goes_on_with_the_last_call() -> None:
    deltas = read(piece(None, "", id="a", name="f"), piece(None, "{}"), piece(None, "", id="b", name="g"), piece(None, "[]"))

    assert [(delta.call, delta.text) for delta in deltas] == [(0, b""), (0, b"{}"), (1, b""), (1, b"[]")]


def test_arguments_that_come_as_an_object_are_written_as_text() -> None:
    assert read(piece(0, {"a": 1}, id="a", name="f")) == [Delta(Kind.CALL, rb"{\"a\":1}", 0, "a", "f")]


def test_a_whole_answer_is_read_like_one_chunk() -> None:
    reader = ChatReader()
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    message = {"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": calls}

    deltas = reader.read({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    assert [(delta.kind, delta.call, delta.text) for delta in deltas] == [
        (Kind.TEXT, -1, b"Hi"),
        (Kind.CALL, 0, b"{}"),
        (Kind.CALL, 1, b"{}"),
    ]
    assert (reader.model, reader.finish, reader.calls) == ("m", "stop", 2)


def test_only_the_first_choice_counts() -> None:
    choices = [{"index": 1, "delta": {"content": "two"}, "finish_reason": "length"}, {"index": 0, "delta": {"content": "one"}}]
    reader = ChatReader()

    assert reader.read({"choices": choices}) == [Delta(Kind.TEXT, b"one")]
    assert reader.finish == ""


def test_the_first_reason_stays_and_so_does_the_last_usage() -> None:
    reader = ChatReader()
    reader.read(chunk({}, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 1}))
    reader.read(chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 2, "completion_tokens": 3}}))
    reader.read({"choices": [], "usage": None})

    assert reader.finish == "tool_calls"
    assert reader.usage == Usage(2, 3)


@pytest.mark.parametrize(
    ("told", "name", "error"),
    [
        ({"error": {"message": "no"}}, b"", {"message": "no"}),
        ({"error": "no"}, b"", "no"),
        ({"x_groq": {"error": "no"}}, b"", "no"),
        ({"object": "error", "message": "no"}, b"", {"object": "error", "message": "no"}),
        ({"message": "no"}, b"error", {"message": "no"}),
        ({"choices": [{"index": 0, "delta": {"content": "x"}, "error": {"code": 1}}]}, b"", {"code": 1}),
        ({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "error"}]}, b"", "error"),
    ],
)
def test_an_error_is_told_instead_of_an_answer(told: dict[str, Any], name: bytes, error: Any) -> None:
    reader = ChatReader()

    assert reader.read(told, name) == []
    assert reader.error == error
