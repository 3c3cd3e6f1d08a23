from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from proxy.dialects.eventstream import encode
from proxy.dialects.messages import MessagesObserver
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.converse_as_messages import ConverseAsMessages
from proxy.translate.names import Names
from tests.support.bedrock import HI, METADATA, START, STOP, THROTTLED, damaged, delta, error_frame, event, exception
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.translate.test_messages_events import told

NAMES = Names(re.compile(r"[a-z]{1,9}"))
BACK = ConverseAsMessages("r1", "claude-x", NAMES)
STREAMS = golden("converse", "converse_as_messages")
FAILED = {"exception_first", "exception_late", "malformed_tool_use"}


def frames(recording: bytes) -> list[bytes]:
    """Return the frames of a recording, in which each line is an event's name and payload; an exception's begins with `!`."""
    lines = (line.partition(b" ") for line in recording.splitlines())
    return [_frame(name.decode(), payload) for name, _, payload in lines]


def _frame(name: str, payload: bytes) -> bytes:
    kind = "exception" if name.startswith("!") else "event"
    return encode({f":{kind}-type": name.removeprefix("!"), ":message-type": kind}, payload)


def run(*pieces: bytes, clean: bool = True) -> list[Any]:
    return told(translated(BACK.events(), pieces, clean=clean))


def types(*pieces: bytes, clean: bool = True) -> list[str]:
    return [each["type"] for each in run(*pieces, clean=clean)]


def whole(*blocks: Any, reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    answer = {"output": {"message": {"role": "assistant", "content": list(blocks)}}, "stopReason": reason, **more}
    read = orjson.loads(BACK.whole(orjson.dumps(answer)))
    assert isinstance(read, dict)
    return read


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_as_agreed(stream: Golden) -> None:
    made = translated(BACK.events(), frames(stream.upstream))

    assert made.decode() == stream.expected(made).decode()


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_alike_however_it_is_cut(stream: Golden) -> None:
    assert_cuts_change_nothing(BACK.events, b"".join(frames(stream.upstream)), whole_events=False)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_the_client_sees_an_end_or_an_error_only_where_there_was_one(stream: Golden) -> None:
    observer = MessagesObserver()

    observer.feed(translated(BACK.events(), frames(stream.upstream)))

    assert (observer.error is not None) is (stream.name in FAILED)
    assert observer.terminal is (stream.name not in {*FAILED, "truncated"})


def test_the_end_is_told_with_the_usage_behind_the_stop() -> None:
    translator = BACK.events()
    before = translator.feed(START + HI + STOP)

    after = told(translator.feed(METADATA))

    assert b"message_delta" not in before
    assert [each["type"] for each in after] == ["message_delta", "message_stop"]
    assert after[0]["usage"]["input_tokens"] == 20
    assert translator.usage == Usage(28, 5, 6, 2)
    assert translator.end(clean=True) == b""


@pytest.mark.parametrize("clean", [True, False])
def test_without_the_usage_an_answer_is_complete_at_a_clean_end_only(clean: bool) -> None:
    assert ("message_stop" in types(START, HI, STOP, clean=clean)) is clean


def test_an_answer_that_has_not_stopped_has_no_end() -> None:
    assert types(START, HI, METADATA)[-1] == "content_block_delta"


def test_half_a_frame_behind_the_stop_is_no_clean_end() -> None:
    assert "message_stop" not in types(START, HI, STOP, METADATA[:-5])


def test_names_that_were_changed_are_restored() -> None:
    changed = NAMES.there("a very long name")
    start = {"toolUse": {"toolUseId": "t1", "name": changed}}

    streamed = run(START, event("contentBlockStart", {"contentBlockIndex": 0, "start": start}))[1]["content_block"]
    (block,) = whole({"toolUse": {"toolUseId": "t1", "name": changed, "input": {"a": 1}}}, reason="tool_use")["content"]

    assert streamed == {"type": "tool_use", "id": "t1", "name": "a very long name", "input": {}}
    assert block == {**streamed, "input": {"a": 1}}


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (THROTTLED, ("rate_limit_error", "Too many requests, please wait before trying again.")),
        (exception("validationException", "no"), ("invalid_request_error", "no")),
        (exception("serviceUnavailableException", "no"), ("overloaded_error", "no")),
        (exception("modelTimeoutException", "no"), ("timeout_error", "no")),
        (exception("modelStreamErrorException", "no"), ("api_error", "no")),
        (error_frame("ThrottlingException", "no"), ("rate_limit_error", "no")),
        (error_frame("Whatever", ""), ("api_error", "The model's backend reported an error.")),
    ],
)
@pytest.mark.parametrize("before", [(), (START, HI)], ids=["first", "late"])
def test_a_failure_is_told_once_and_nothing_behind_it(before: tuple[bytes, ...], frame: bytes, error: tuple[str, str]) -> None:
    events = run(*before, frame, frame, HI, STOP, METADATA)

    assert events[-1] == {"type": "error", "error": {"type": error[0], "message": error[1]}, "request_id": "r1"}
    assert len(events) == (1 if not before else 4)


@pytest.mark.parametrize(
    "broken",
    [
        damaged(HI),
        damaged(HI, 0),
        b"\x00" * 20,
        encode({":event-type": "contentBlockDelta", ":message-type": "event"}, b"{"),
        event("messageStop", {"stopReason": "malformed_model_output"}),
    ],
    ids=["sum", "prelude", "no frame", "no JSON", "no answer"],
)
def test_what_cannot_be_read_fails_behind_what_could(broken: bytes) -> None:
    assert types(START + HI + broken)[-2:] == ["content_block_delta", "error"]
    assert types(START, HI, broken, STOP, METADATA)[-2:] == ["content_block_delta", "error"]


@pytest.mark.parametrize(
    "odd",
    [
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"citation": {}}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": ""}}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": "?"}),
        event("contentBlockStart", {"contentBlockIndex": 0, "start": {}}),
        event("contentBlockStop", {"contentBlockIndex": 7}),
        event("somethingNew", {}),
        delta(""),
    ],
)
def test_what_says_nothing_comes_out_as_nothing(odd: bytes) -> None:
    translator = BACK.events()
    translator.feed(START)

    assert translator.feed(odd) == b""


def test_a_block_ends_when_its_own_end_comes() -> None:
    translator = BACK.events()
    translator.feed(START + HI)

    others = translator.feed(event("contentBlockStop", {"contentBlockIndex": 7}))
    own = translator.feed(event("contentBlockStop", {"contentBlockIndex": 0}))

    assert others == b""
    assert [each["type"] for each in told(own)] == ["content_block_stop"]


def test_a_stream_that_lost_its_beginning_begins_all_the_same() -> None:
    assert types(HI)[0] == "message_start"


def test_a_whole_answer_is_a_whole_message() -> None:
    usage = {"inputTokens": 9, "outputTokens": 5, "cacheReadInputTokens": 4}

    message = whole(
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "eA=="}},
        {"text": "Hi"},
        {"citationsContent": {}},
        reason="stop_sequence",
        usage=usage,
        additionalModelResponseFields={"stop_sequence": "END"},
    )

    assert (message["id"], message["model"], message["stop_reason"], message["stop_sequence"]) == (
        "msg_r1",
        "claude-x",
        "stop_sequence",
        "END",
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": "Hi"},
    ]
    assert (message["usage"]["input_tokens"], message["usage"]["cache_read_input_tokens"]) == (9, 4)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end_turn"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("guardrail_intervened", "refusal"),
        ("content_filtered", "refusal"),
        ("something_new", "end_turn"),
    ],
)
def test_each_reason_has_its_counterpart(reason: str, stop: str) -> None:
    assert whole({"text": "Hi"}, reason=reason)["stop_reason"] == stop


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"output":{"message":{"content":"Hi"}}}'])
def test_an_answer_that_says_nothing_is_malformed(answer: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        BACK.whole(answer)


def test_an_answer_that_broke_off_is_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        whole({"text": "Hi"}, reason="malformed_tool_use")


@pytest.mark.parametrize(
    ("status", "body", "told_status", "kind", "message"),
    [
        (429, b'{"message":"wait"}', 429, "rate_limit_error", "wait"),
        (400, b'{"Message":"no"}', 400, "invalid_request_error", "no"),
        (503, b"<html>", 529, "overloaded_error", "The model's backend reported an error."),
        (408, b'{"message":1}', 504, "timeout_error", "The model's backend reported an error."),
    ],
)
def test_an_error_answer_keeps_its_message(status: int, body: bytes, told_status: int, kind: str, message: str) -> None:
    code, made = BACK.error(status, body)

    assert code == told_status
    assert orjson.loads(made)["error"] == {"type": kind, "message": message}
