from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.openai.chat import read_chat
from tests.unit.simulator.openai.support import BORN, call, chunks, frames, whole

HELLO = [{"role": "user", "content": "Tell me about tea"}]
BODY = {"model": "demo", "messages": HELLO}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    },
    {
        "type": "function",
        "function": {"name": "clock", "parameters": {"type": "object", "properties": {"zone": {"enum": ["UTC"]}}}},
    },
]


def delta(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]


def test_stream_is_role_then_text_then_finish_then_done() -> None:
    first, *middle, last, done = chunks(read_chat, BODY, tokens=5)

    assert delta(first) == {"role": "assistant", "content": "", "refusal": None}
    assert [delta(chunk).keys() for chunk in middle] == [{"content"}] * 5
    assert (delta(last), last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert [chunk["choices"][0]["finish_reason"] for chunk in [first, *middle]] == [None] * 6
    assert done == "[DONE]"


def test_all_chunks_share_their_identity() -> None:
    *parts, _ = chunks(read_chat, BODY, tokens=5)

    assert {(part["id"], part["object"], part["created"], part["model"]) for part in parts} == {
        (parts[0]["id"], "chat.completion.chunk", BORN, "demo")
    }
    assert parts[0]["id"].startswith("chatcmpl-")
    assert all("usage" not in part for part in parts)


def test_only_tokens_are_content_and_the_end_begins_with_the_finish_reason() -> None:
    parts = [part for _, part in frames(read_chat, BODY, tokens=2)]

    assert parts == [Part.FRAME, Part.TOKEN, Part.TOKEN, Part.END, Part.END]


def test_usage_comes_in_a_chunk_of_its_own_before_done() -> None:
    *parts, usage, done = chunks(read_chat, {**BODY, "stream_options": {"include_usage": True}}, tokens=5)

    assert [part["usage"] for part in parts] == [None] * 7
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + 5
    assert done == "[DONE]"


def test_whole_answer_says_the_same_as_the_stream() -> None:
    answer = whole(read_chat, BODY)
    *parts, _, _ = chunks(read_chat, BODY)

    (choice,) = answer["choices"]
    said = "".join(delta(part)["content"] for part in parts)
    assert choice["message"] == {"role": "assistant", "content": said, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert "tea" in said
    assert (answer["object"], answer["created"], answer["id"]) == ("chat.completion", BORN, parts[0]["id"])
    assert answer["usage"]["completion_tokens"] == len(parts) - 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_of_tokens_ends_the_answer_with_length(name: str) -> None:
    answer = whole(read_chat, {**BODY, name: 4})
    *_, last, _ = chunks(read_chat, {**BODY, name: 4})

    assert answer["usage"]["completion_tokens"] == 4
    assert answer["choices"][0]["finish_reason"] == last["choices"][0]["finish_reason"] == "length"


def test_several_choices_are_told_in_turn() -> None:
    *parts, _ = chunks(read_chat, {**BODY, "n": 2}, tokens=3)

    indexes = [part["choices"][0]["index"] for part in parts]
    texts = {
        index: "".join(delta(part).get("content", "") for part in parts if part["choices"][0]["index"] == index)
        for index in (0, 1)
    }
    assert indexes == [0, 1] * 5
    assert texts[0] != texts[1]
    assert [choice["message"]["content"] for choice in whole(read_chat, {**BODY, "n": 2}, tokens=3)["choices"]] == [
        *texts.values()
    ]


def test_thinking_model_shows_its_reasoning_before_the_text() -> None:
    body = {**BODY, "model": "demo-think"}
    kinds = [next(iter(delta(part))) for part in chunks(read_chat, body, tokens=2)[1:-2]]
    answer = whole(read_chat, body, tokens=2)

    reasoning = kinds.count("reasoning_content")
    assert kinds == ["reasoning_content"] * reasoning + ["content"] * 2
    assert reasoning > 5
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == reasoning
    assert answer["usage"]["completion_tokens"] == reasoning + 2
    assert answer["choices"][0]["message"]["reasoning_content"]


def test_tool_call_is_streamed_in_fragments() -> None:
    role, head, *fragments, last, _ = chunks(read_chat, {**BODY, "tools": TOOLS})

    (opening,) = delta(head)["tool_calls"]
    pieces = [delta(fragment)["tool_calls"][0] for fragment in fragments]
    arguments = "".join(piece["function"]["arguments"] for piece in pieces)
    assert delta(role)["content"] is None
    assert (opening["index"], opening["type"], opening["function"]) == (0, "function", {"name": "weather", "arguments": ""})
    assert opening["id"].startswith("call_")
    assert len(pieces) > 2
    assert all(piece.keys() == {"index", "function"} and piece["function"].keys() == {"arguments"} for piece in pieces)
    assert orjson.loads(arguments).keys() == {"city"}
    assert last["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "messages": [{"role": "user", "content": "Call both tools"}], "tools": TOOLS},
        {**BODY, "tools": TOOLS, "parallel_tool_calls": True},
    ],
)
def test_two_tools_are_called_in_parallel(body: Any) -> None:
    pieces = [delta(part)["tool_calls"][0] for part in chunks(read_chat, body)[1:-2]]
    (choice,) = whole(read_chat, body)["choices"]

    heads = [piece for piece in pieces if "id" in piece]
    assert [(head["index"], head["function"]["name"]) for head in heads] == [(0, "weather"), (1, "clock")]
    assert [made["id"] for made in choice["message"]["tool_calls"]] == [head["id"] for head in heads]
    assert orjson.loads(choice["message"]["tool_calls"][1]["function"]["arguments"]) == {"zone": "UTC"}
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("extra", [{"tool_choice": "none"}, {"tools": [{"type": "custom", "custom": {"name": "free"}}]}])
def test_no_function_to_call_means_an_answer_in_words(extra: Any) -> None:
    (choice,) = whole(read_chat, {**BODY, "tools": TOOLS, **extra})["choices"]

    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"]


def test_answer_to_a_tool_result_is_in_words() -> None:
    messages = [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "21 degrees"},
    ]

    (choice,) = whole(read_chat, {"model": "demo", "messages": messages, "tools": TOOLS})["choices"]

    assert choice["finish_reason"] == "stop"
    assert "tea" in choice["message"]["content"]


@pytest.mark.parametrize(
    ("form", "keys"),
    [
        ({"type": "json_object"}, {"answer", "sure"}),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            },
            {"x"},
        ),
    ],
)
def test_structured_answer_is_json_of_the_wanted_form(form: Any, keys: set[str]) -> None:
    (choice,) = whole(read_chat, {**BODY, "response_format": form})["choices"]

    assert orjson.loads(choice["message"]["content"]).keys() == keys


def test_topic_is_that_of_the_last_message_of_a_person() -> None:
    parts = [
        {"type": "text", "text": "Describe green apples"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    messages = [{"role": "system", "content": "Be brief"}, *HELLO, {"role": "user", "content": parts}]

    (choice,) = whole(read_chat, {"model": "demo", "messages": messages})["choices"]

    assert "green apples" in choice["message"]["content"]


def test_longer_prompt_costs_more_tokens() -> None:
    short = whole(read_chat, BODY)["usage"]["prompt_tokens"]
    longer = whole(read_chat, {**BODY, "messages": [{"role": "system", "content": "x" * 400}, *HELLO]})["usage"]["prompt_tokens"]

    assert (short, longer) == (9, 113)


def test_error_event_is_what_every_client_recognises() -> None:
    stream = read_chat(call({**BODY, "stream": True})).stream
    assert stream is not None

    frame = stream.error_event(Failure(status=500, kind=Kind.SERVER, message="Oh.", code="server_error"), 4)

    assert frame.startswith(b'data: {"error":')
    assert frame.endswith(b"}}\n\n")
    assert b"choices" not in frame


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream_options": 5}, "stream_options"),
        ({"response_format": "json"}, "response_format"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_chat(call({**BODY, **change}))

    assert refused.value.param == param
