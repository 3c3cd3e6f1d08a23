from __future__ import annotations

from typing import Any

import pytest

from proxy.exchange import Usage
from proxy.translate import chat_stream
from proxy.translate.chat_stream import ChatStream
from tests.unit.translate.asking import WEATHER, chunks, deltas, error, reasons
from tests.unit.translate.test_chat_chunks import facts

ROLE = {"role": "assistant", "content": "", "refusal": None}


def stream(**values: Any) -> ChatStream:
    return ChatStream(facts(**values))


def test_the_first_chunk_comes_once_with_the_upstreams_name_for_the_model() -> None:
    begun = stream(model="target")

    (first,) = chunks(begun.begin("claude-x"))

    assert first["model"] == "claude-x"
    assert first["choices"][0]["delta"] == ROLE
    assert begun.begin("other") == b""


@pytest.mark.parametrize("model", [None, "", 7])
def test_a_model_without_a_name_is_called_what_it_was_asked_by(model: Any) -> None:
    assert chunks(stream(model="target").begin(model))[0]["model"] == "target"


def test_what_comes_before_the_beginning_begins() -> None:
    assert deltas(stream().write(b"a")) == [ROLE, {"content": "a"}]
    assert deltas(stream().think(b"a")) == [ROLE, {"reasoning_content": "a"}]
    assert deltas(stream().call("c1", "f"))[0] == ROLE
    assert deltas(stream().finish("stop")) == [ROLE]


def test_empty_pieces_and_what_is_no_text_say_nothing() -> None:
    begun = stream()

    assert begun.write(b"") == begun.write_text("") == begun.write_text(None) == begun.write_text(7) == b""
    assert begun.think(b"") == begun.think_text("") == begun.think_text(None) == b""


def test_calls_are_numbered_and_one_without_arguments_gets_its_own_before_the_end() -> None:
    running = stream()
    out = running.call("c1", "f") + running.call("c2", "g", {"a": 1}) + running.call("c3", "h")
    out += running.arguments(0, b'{\\"b\\":2}') + running.close_call(0) + running.close_call(1) + running.finish("tool_calls")

    pieces = [delta["tool_calls"][0] for delta in deltas(out)[1:]]
    assert pieces == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 2, "id": "c3", "type": "function", "function": {"name": "h", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"b":2}'}},
        {"index": 1, "function": {"arguments": '{"a":1}'}},
        {"index": 2, "function": {"arguments": "{}"}},
    ]
    assert reasons(out) == ["tool_calls"]


def test_a_call_that_is_none_ends_the_stream_as_malformed() -> None:
    running = stream()

    out = running.call(None, "f")

    assert (error(out)["message"], error(out)["code"]) == (chat_stream.MALFORMED, None)
    assert running.over


def test_a_delta_of_any_other_kind_is_told_until_the_end() -> None:
    running = stream()

    assert deltas(running.delta({"images": [1]})) == [ROLE, {"images": [1]}]
    running.end()
    assert running.delta({"images": [2]}) == b""


def test_an_answer_finishes_once() -> None:
    running = stream()

    assert reasons(running.finish("stop") + running.finish("length")) == ["stop"]


def test_nothing_comes_behind_the_end() -> None:
    running = stream()
    running.begin()
    assert running.end() == b"data: [DONE]\n\n"

    assert running.begin() == running.write(b"a") == running.think(b"a") == running.sign("s") == running.seal("x") == b""
    assert running.call("c", "f") == running.finish("stop") == running.end() == running.fail(500, "m") == b""


def test_an_answer_that_never_began_has_no_end() -> None:
    assert stream().end() == b""


def test_an_error_may_come_first_and_is_the_last() -> None:
    running = stream()

    assert error(running.fail(529, "Overloaded"))["code"] == "overloaded"
    assert running.begin() == running.end() == running.fail(500, "m") == b""


def test_usage_is_told_once_behind_the_finish_to_a_client_that_asked() -> None:
    running = stream(stream_options={"include_usage": True})
    early = running.begin() + running.tell_usage(Usage(1, 2))
    out = running.finish("stop") + running.tell_usage(None) + running.tell_usage(Usage(1, 2)) + running.tell_usage(Usage(3, 4))

    assert len(chunks(early)) == 1
    assert [chunk["usage"] for chunk in chunks(out)] == [None, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}]


def test_usage_is_not_told_to_a_client_that_did_not_ask_or_behind_the_end() -> None:
    silent, over = stream(), stream(stream_options={"include_usage": True})
    for each in (silent, over):
        each.finish("stop")
    over.end()

    assert silent.tell_usage(Usage(1, 2)) == over.tell_usage(Usage(1, 2)) == b""


def test_reasoning_is_told_again_signed_where_the_client_may_have_to_send_it_back() -> None:
    running = stream(tools=[WEATHER])
    out = running.think(b"a\\n") + running.think(b'\\"b\\"') + running.sign("s1") + running.seal("x")
    out += running.think(b"c") + running.sign("s2")

    blocks = [delta["thinking_blocks"][0] for delta in deltas(out) if "thinking_blocks" in delta]
    assert blocks == [
        {"index": 0, "type": "thinking", "thinking": 'a\n"b"', "signature": "s1"},
        {"index": 1, "type": "redacted_thinking", "data": "x"},
        {"index": 2, "type": "thinking", "thinking": "c", "signature": "s2"},
    ]


def test_reasoning_is_not_told_again_where_no_tools_are() -> None:
    running = stream()
    out = running.think(b"a")

    assert not running._reasoning
    assert deltas(out + running.sign("s") + running.seal("x")) == [ROLE, {"reasoning_content": "a"}]


def test_reasoning_that_nobody_signed_is_forgotten() -> None:
    running = stream(tools=[WEATHER])
    running.think(b"a")
    running.new_block()

    (block,) = deltas(running.sign("s"))[0]["thinking_blocks"]

    assert block["thinking"] == ""


def test_reasoning_beyond_what_is_kept_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_stream, "REASONING_CAP", 4)
    running = stream(tools=[WEATHER])
    for _ in range(2):
        running.think(b"ab")
    assert deltas(running.sign("s"))[-1]["thinking_blocks"][0]["thinking"] == "abab"

    for _ in range(10):
        running.think(b"ab")

    assert len(running._reasoning) == 6
    assert running.sign("s") == b""
    assert not running._reasoning


def test_half_a_surrogate_pair_in_a_signature_is_told_as_it_came() -> None:
    running = stream(tools=[WEATHER])

    assert b'"signature":"\\ud83d"' in running.sign("\ud83d")


@pytest.mark.parametrize("bad", [None, 7, {}])
def test_a_signature_or_a_seal_of_no_text_is_none(bad: Any) -> None:
    running = stream(tools=[WEATHER])

    assert running.sign(bad) == running.seal(bad) == b""
