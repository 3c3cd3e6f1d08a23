from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.messages import MessagesObserver
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.chat_as_messages import ChatAsMessages
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.dialects.recordings import calls
from tests.unit.translate.test_messages_events import told

BACK = ChatAsMessages("r1", "gpt-test")
STREAMS = golden("chat", "chat_as_messages")
UNFINISHED = {"truncated", "truncated_in_a_tool"}


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    answer = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    read = orjson.loads(BACK.whole(orjson.dumps(answer)))
    assert isinstance(read, dict)
    return read


def call(arguments: str, id: str = "c1") -> dict[str, Any]:  # noqa: A002
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_as_agreed(stream: Golden) -> None:
    made = translated(BACK.events(), [stream.upstream])

    assert made.decode() == stream.expected(made).decode()


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_alike_however_it_is_cut(stream: Golden) -> None:
    assert_cuts_change_nothing(BACK.events, stream.upstream)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_line_ends_do_not_matter(stream: Golden, end: bytes) -> None:
    other = stream.upstream.replace(b"\n", end) + b": the last CR is decided by what follows it\n\n"

    assert translated(BACK.events(), [other]) == translated(BACK.events(), [stream.upstream])


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_the_client_sees_an_end_or_an_error_only_where_there_was_one(stream: Golden) -> None:
    observer, translator = MessagesObserver(), BACK.events()

    observer.feed(translated(translator, [stream.upstream]))

    failed = stream.name.startswith("error") or stream.name == "unreadable"
    assert (observer.error is not None) is failed
    assert observer.terminal is (not failed and stream.name not in UNFINISHED)


@pytest.mark.parametrize(
    ("name", "usage"), [("usage", Usage(9, 3, 4, 2, 1)), ("text", None), ("parts", Usage(5, 2)), ("reasoning", Usage(8, 5, 6))]
)
def test_the_proxy_learns_the_usage_as_the_upstream_says_it(name: str, usage: Usage | None) -> None:
    (stream,) = (each for each in STREAMS if each.name == name)
    translator = BACK.events()

    translated(translator, [stream.upstream])

    assert translator.usage == usage


def test_words_wait_behind_a_call_that_has_not_all_its_arguments() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":%b}]}\n\n'
    call = chunk % b'{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}'
    rest = chunk % b'{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}'
    words = [chunk % b'{"content":"%b"}' % piece for piece in (b"one", b"two", b"three")]
    translator = BACK.events()
    translator.feed(call)

    waiting = [translator.feed(piece) for piece in words]

    assert waiting == [b"", b"", b""]
    assert [each["delta"].get("text") for each in told(translator.feed(rest)) if "delta" in each] == [None, "one", "two", "three"]


def test_a_piece_of_text_like_the_one_before_takes_few_steps() -> None:
    (stream,) = (each for each in STREAMS if each.name == "text")
    chunks = [event + b"\n\n" for event in stream.upstream.split(b"\n\n")]
    translator = BACK.events()
    for chunk in chunks[:2]:
        translator.feed(chunk)

    assert calls(lambda: translator.feed(chunks[2])) < 20


def test_a_whole_answer_is_a_whole_message() -> None:
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm", "tool_calls": [call('{"a":1}')]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}

    assert whole(message, "tool_calls", usage=usage) == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "text", "text": "Yes."},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3},
    }


@pytest.mark.parametrize(
    ("message", "finish", "reason"),
    [
        ({"content": "Hi"}, "stop", "end_turn"),
        ({"content": "Hi"}, "eos_token", "end_turn"),
        ({"content": "Hi"}, "length", "max_tokens"),
        ({"content": "Hi"}, "content_filter", "refusal"),
        ({"content": None, "refusal": "No"}, "stop", "refusal"),
        ({"tool_calls": [call("{}")]}, "tool_calls", "tool_use"),
        ({"tool_calls": [call("{}")]}, "stop", "tool_use"),
        ({"tool_calls": [call("{}")]}, "length", "max_tokens"),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "function_call", "tool_use"),
    ],
)
def test_each_reason_has_its_counterpart(message: dict[str, Any], finish: str, reason: str) -> None:
    assert whole(message, finish)["stop_reason"] == reason


def test_no_arguments_are_an_empty_object_and_no_id_gets_one() -> None:
    assert whole({"tool_calls": [call("", "")]})["content"] == [{"type": "tool_use", "id": "call_r1_0", "name": "f", "input": {}}]


def test_a_call_that_was_cut_short_is_no_call() -> None:
    assert whole({"content": "Hi", "tool_calls": [call('{"a')]}, "length")["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"error":{"message":"no"},"choices":[{"index":0,"message":{"content":"Hi"}}]}',
        b'{"choices":[{"index":0,"finish_reason":"stop","message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]}}]}',
    ],
)
def test_an_answer_that_says_nothing_is_malformed(answer: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        BACK.whole(answer)


@pytest.mark.parametrize(
    ("status", "body", "told", "error"),
    [
        (
            404,
            b'{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"model_not_found"}}',
            404,
            {"type": "not_found_error", "message": "no such model", "code": "model_not_found"},
        ),
        (503, b'{"error":{"message":"busy"}}', 529, {"type": "overloaded_error", "message": "busy"}),
        (
            400,
            b'{"object":"error","message":"flat","code":40}',
            400,
            {"type": "invalid_request_error", "message": "flat", "code": "40"},
        ),
        (502, b"<html>", 500, {"type": "api_error", "message": "The model's backend reported an error."}),
        (429, b'{"error":"slow down"}', 429, {"type": "rate_limit_error", "message": "slow down"}),
    ],
)
def test_an_error_answer_keeps_its_message(status: int, body: bytes, told: int, error: dict[str, Any]) -> None:
    code, made = BACK.error(status, body)

    assert code == told
    assert orjson.loads(made) == {"type": "error", "error": error, "request_id": "r1"}
