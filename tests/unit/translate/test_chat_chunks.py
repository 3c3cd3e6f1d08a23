from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.chat_chunks import Chunks, Facts, answer, usage_object, write_call, write_message
from proxy.translate.chat_request import read_chat
from proxy.translate.messages_turns import TOOL_NAME
from proxy.translate.names import Names
from tests.unit.translate.asking import WEATHER, chunks, source


def facts(**values: Any) -> Facts:
    asked = source(**values)
    return Facts.of(asked, read_chat(asked), Names(TOOL_NAME))


def test_what_a_request_decides_about_its_answer() -> None:
    plain = facts(model="target")
    assert (plain.id, plain.created, plain.model) == ("chatcmpl-r1", 1763712000, "target")
    assert plain.call_id(2) == "call_r1_2"
    assert not plain.loops
    assert not plain.include_usage

    assert facts(tools=[WEATHER]).loops
    assert facts(stream_options={"include_usage": True}).include_usage


def test_every_chunk_has_the_same_head() -> None:
    made = Chunks(facts(), "claude")
    out = made.delta({"content": "a"}) + made.finish("stop") + made.usage(Usage(1, 2))

    head = {"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": 1763712000, "model": "claude"}
    assert chunks(out) == [
        {**head, "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    ]


def test_what_stands_around_a_text_makes_the_same_chunk_as_writing_it() -> None:
    made = Chunks(facts(), "claude")

    assert made.text_before + b"a\\n" + made.text_after == made.delta({"content": "a\n"})
    assert made.reasoning_before + b"a" + made.text_after == made.delta({"reasoning_content": "a"})
    assert made.arguments_before(3) + b"{}" + made.arguments_after == made.delta(
        {"tool_calls": [{"index": 3, "function": {"arguments": "{}"}}]}
    )


def test_a_client_that_wants_usage_gets_null_until_it_comes() -> None:
    made = Chunks(facts(stream_options={"include_usage": True}), "claude")

    told = chunks(made.delta({"content": "a"}) + made.finish("stop") + made.usage(Usage(1, 2)))

    assert [chunk["usage"] for chunk in told[:2]] == [None, None]
    assert told[2]["usage"]["total_tokens"] == 3


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (Usage(10, 5), {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}),
        (Usage(10), {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": None}),
        (
            Usage(10, 5, cached=4, cache_write=0, reasoning=3),
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        ),
    ],
)
def test_usage_is_told_as_far_as_the_upstream_told_it(usage: Usage, told: dict[str, Any]) -> None:
    assert usage_object(usage) == told


def test_a_whole_call_has_its_arguments_in_a_string() -> None:
    assert write_call(facts(), "c1", "f", {"a": 1}, more=2) == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1}'},
        "more": 2,
    }
    assert write_call(facts(), "c1", "f", None)["function"]["arguments"] == "{}"


@pytest.mark.parametrize(("call", "name"), [(None, "f"), ("c1", None), (7, "f")])
def test_a_call_without_id_or_name_is_no_call(call: Any, name: Any) -> None:
    with pytest.raises(UpstreamMalformed):
        write_call(facts(), call, name, {})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, {"content": ""}),
        ({"words": ["a", None, "b"]}, {"content": "ab"}),
        ({"calls": [{"id": "c1"}]}, {"content": None, "tool_calls": [{"id": "c1"}]}),
        ({"words": ["a"], "calls": [{"id": "c1"}]}, {"content": "a", "tool_calls": [{"id": "c1"}]}),
        ({"thoughts": ["Hm", 7]}, {"content": "", "reasoning_content": "Hm"}),
    ],
)
def test_a_message_holds_what_was_said_and_nothing_empty(said: dict[str, Any], message: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {"words": [], "thoughts": [], "signed": [], "calls": []}

    assert write_message(facts(), **{**nothing, **said}) == message


def test_signed_reasoning_is_told_where_it_may_be_sent_back() -> None:
    said: dict[str, Any] = {"words": [], "thoughts": [], "signed": [{"data": "x"}], "calls": []}

    assert "thinking_blocks" not in write_message(facts(), **said)
    assert write_message(facts(tools=[WEATHER]), **said)["thinking_blocks"] == [{"data": "x"}]


def test_a_whole_answer_has_all_that_openais_has() -> None:
    assert orjson.loads(answer(facts(), {"content": "Hi"}, model="claude", reason="stop", usage=None)) == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1763712000,
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": None,
    }
