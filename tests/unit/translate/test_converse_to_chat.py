from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.chat import ChatObserver
from proxy.dialects.eventstream import encode
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.chat_to_converse import ChatToConverse
from proxy.translate.converse_to_chat import ConverseToChat
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.translate.asking import WEATHER, deltas, error, reasons, source

RECORDINGS = golden("converse", "converse_to_chat")
UNFINISHED = ("exception_first", "exception_late", "truncated", "malformed_tool_use")


def frame(name: str, payload: bytes) -> bytes:
    """Return one frame; an exception's *name* begins with an exclamation mark."""
    kind = "exception" if name.startswith("!") else "event"
    headers = {f":{kind}-type": name.removeprefix("!"), ":content-type": "application/json", ":message-type": kind}
    return encode(headers, payload)


def event(name: str, **members: Any) -> bytes:
    return frame(name, orjson.dumps(members))


def frames(recording: bytes) -> list[bytes]:
    """Return the frames of a recording, in which each line is an event's name and payload."""
    return [frame(name.decode(), payload) for name, _, payload in (line.partition(b" ") for line in recording.splitlines())]


def back(**values: Any) -> ConverseToChat:
    made = ChatToConverse().request(source(stream=True, **values)).back
    assert isinstance(made, ConverseToChat)
    return made


def text(words: Any, index: int = 0) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta={"text": words})


def tool(index: Any, **members: Any) -> bytes:
    call = {"toolUseId": f"tooluse_{index}", "name": "f", **members}
    return event("contentBlockStart", contentBlockIndex=index, start={"toolUse": call})


def arguments(piece: Any, index: Any = 0) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta={"toolUse": {"input": piece}})


START = event("messageStart", role="assistant")
STOP = event("messageStop", stopReason="end_turn")
METADATA = event("metadata", usage={"inputTokens": 9, "outputTokens": 5, "cacheReadInputTokens": 4})


def run(*events: bytes, clean: bool = True, **values: Any) -> bytes:
    return translated(back(**values).events(), events, clean=clean)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_becomes_the_agreed_chunks(recording: Golden) -> None:
    asking = back(tools=[WEATHER], stream_options={"include_usage": True})

    made = translated(asking.events(), frames(recording.upstream))

    assert made == recording.expected(made)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_becomes_the_same_however_it_is_cut(recording: Golden) -> None:
    assert_cuts_change_nothing(back().events, b"".join(frames(recording.upstream)), whole_events=False)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_each_frame_is_translated_in_the_call_that_completes_it(recording: Golden) -> None:
    whole, cut = back().events(), back().events()

    for each in frames(recording.upstream):
        expected = whole.feed(each)
        assert cut.feed(each[:-1]) == b""
        assert cut.feed(each[-1:]) == expected


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_client_takes_a_stream_for_finished_only_if_the_upstream_finished_it(recording: Golden) -> None:
    observer = ChatObserver(1)
    observer.feed(translated(back().events(), frames(recording.upstream)))

    assert observer.terminal is (recording.name not in UNFINISHED)
    assert observer.complete(clean=True) is observer.terminal


@pytest.mark.parametrize(
    ("pieces", "clean"),
    [
        pytest.param([START, text("a"), STOP, METADATA], False, id="a body that was cut"),
        pytest.param([START, text("a"), STOP, METADATA[:-1]], True, id="half a frame at the end"),
        pytest.param([START, text("a"), STOP, b"\0" * 20], True, id="no frame at the end"),
    ],
)
def test_behind_its_last_event_a_stream_must_end_cleanly_too(pieces: list[bytes], clean: bool) -> None:
    assert b"[DONE]" not in run(*pieces, clean=clean)


def test_what_is_no_frame_behind_good_ones_of_the_same_read_is_told_at_the_end_at_the_latest() -> None:
    out = run(START + text("a") + b"\0" * 20)

    assert deltas(out[: out.index(b'data: {"error"')])[1:] == [{"content": "a"}]
    assert error(out)["type"] == "server_error"


def test_usage_is_told_when_it_comes_and_the_end_when_the_body_ends() -> None:
    events = back(stream_options={"include_usage": True}).events()
    events.feed(START + STOP)

    assert b'"usage":{"prompt_tokens":13,"completion_tokens":5' in events.feed(METADATA)
    assert events.end(clean=True) == b"data: [DONE]\n\n"
    assert events.usage == Usage(tokens_in=13, tokens_out=5, cached=4)


def test_usage_is_known_whether_the_client_asked_for_it_or_not() -> None:
    events = back().events()

    assert b"prompt_tokens" not in translated(events, [START, STOP, METADATA])
    assert events.usage == Usage(tokens_in=13, tokens_out=5, cached=4)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_each_stop_reason_has_its_finish_reason(reason: str, finish: str) -> None:
    assert reasons(run(START, event("messageStop", stopReason=reason))) == [finish]


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_its_model_spoilt_is_none(reason: str) -> None:
    assert error(run(START, text("a"), event("messageStop", stopReason=reason), METADATA))["type"] == "server_error"
    with pytest.raises(UpstreamMalformed):
        back().whole(orjson.dumps({"output": {"message": {"content": []}}, "stopReason": reason}))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(frame("!validationException", b'{"message":"Too long."}'), "Too long.", id="exception"),
        pytest.param(frame("!newException", b"{"), "The model's backend reported an error.", id="exception without words"),
        pytest.param(
            encode({":message-type": "error", ":error-code": "InternalError", ":error-message": "Sorry."}, b""),
            "Sorry.",
            id="error",
        ),
    ],
)
def test_an_error_is_told_with_the_upstreams_message_and_nothing_behind_it(broken: bytes, message: str) -> None:
    closed = event("contentBlockStop", contentBlockIndex=0)

    assert error(run(START, broken, tool(0), text("a"), closed, STOP))["message"] == message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "rate_limit_exceeded"),
        ("serviceUnavailableException", "overloaded"),
        ("modelTimeoutException", "timeout"),
        ("validationException", None),
        ("modelStreamErrorException", None),
    ],
)
def test_each_exception_has_its_code(kind: str, code: str | None) -> None:
    assert error(run(frame(f"!{kind}", b'{"message":"m"}')))["code"] == code


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(text("b")[:-1] + bytes([text("b")[-1] ^ 1]), id="a damaged frame"),
        pytest.param(b"\0" * 40, id="no frame"),
        pytest.param(frame("contentBlockDelta", b'{"delta":'), id="no json"),
        pytest.param(frame("messageStop", b"[]"), id="no object"),
        pytest.param(tool(0, name=None), id="a call without a name"),
    ],
)
def test_what_cannot_be_read_ends_the_stream(broken: bytes) -> None:
    out = run(START, text("a"), broken, text("c"), STOP)

    assert [delta["content"] for delta in deltas(out[: out.index(b'data: {"error"')]) if delta.get("content")] == ["a"]
    assert (error(out)["type"], error(out)["code"]) == ("server_error", None)


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(text(""), id="empty text"),
        pytest.param(text(7), id="a number as text"),
        pytest.param(event("contentBlockDelta"), id="no delta"),
        pytest.param(event("contentBlockDelta", delta={"reasoningContent": {"text": None}}), id="no reasoning"),
        pytest.param(event("contentBlockStart", contentBlockIndex=0, start={}), id="a block of text"),
        pytest.param(event("contentBlockStart", contentBlockIndex=[], start={"toolUse": {"name": "f"}}), id="a call nowhere"),
        pytest.param(event("contentBlockStop", contentBlockIndex={}), id="a stop nowhere"),
        pytest.param(arguments("{}", 3), id="arguments of no call"),
        pytest.param(arguments("{}", []), id="arguments nowhere"),
        pytest.param(START, id="a second start"),
        pytest.param(frame("somethingNew", b"{"), id="a new event"),
        pytest.param(encode({}, b"{}"), id="a frame without headers"),
    ],
)
def test_what_says_nothing_becomes_nothing(nothing: bytes) -> None:
    events = back().events()
    events.feed(START)

    assert events.feed(nothing) == b""


def test_pieces_of_arguments_go_to_the_call_whose_block_they_belong_to() -> None:
    closed = event("contentBlockStop", contentBlockIndex=1)
    out = run(
        START,
        tool(1),
        tool(2),
        tool(1),
        arguments('{"b"', 2),
        arguments("", 1),
        arguments(7, 1),
        closed,
        closed,
        arguments("{", 1),
    )

    pieces = [part["tool_calls"][0] for part in deltas(out)[3:]]
    assert pieces == [{"index": 1, "function": {"arguments": '{"b"'}}, {"index": 0, "function": {"arguments": "{}"}}]


def test_reasoning_that_nobody_signed_does_not_run_into_the_next_block() -> None:
    def reasoning(**delta: str) -> bytes:
        return event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": delta})

    closed = event("contentBlockStop", contentBlockIndex=0)
    out = run(START, reasoning(text="a"), closed, reasoning(text="b"), reasoning(signature="s"), tools=[WEATHER])

    assert deltas(out)[-1]["thinking_blocks"] == [{"index": 0, "type": "thinking", "thinking": "b", "signature": "s"}]


def test_a_whole_answer_is_told_in_openais_form() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "eA=="}},
        {"text": "Let me "},
        {"text": "see."},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Rome"}}},
        {"somethingNew": {}},
        7,
    ]
    usage = {"inputTokens": 9, "cacheReadInputTokens": 4, "outputTokens": 7, "totalTokens": 20}
    whole = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use", "usage": usage}

    answer = orjson.loads(back(tools=[WEATHER], model="nova").whole(orjson.dumps(whole)))

    assert answer["model"] == "nova"
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "reasoning_content": "Hm",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "eA=="},
        ],
        "tool_calls": [{"id": "tooluse_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}],
    }
    assert answer["usage"] == {
        "prompt_tokens": 13,
        "completion_tokens": 7,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"output":7}', b'{"output":{"message":{"content":{}}}}'])
def test_a_whole_answer_that_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        back().whole(body)


def test_an_error_answer_has_openais_status_and_form() -> None:
    status, body = back().error(424, b'{"message":"The model failed."}')

    assert status == 502
    assert orjson.loads(body)["error"]["message"] == "The model failed."


@pytest.mark.parametrize(("behind", "unfinished"), [(b"", False), (STOP[:20], True)], ids=["nothing", "half a frame"])
def test_half_a_frame_behind_the_reason_to_stop_is_no_end(behind: bytes, unfinished: bool) -> None:
    events = back().events()

    events.feed(START + text("a") + STOP + behind)
    last = events.end(clean=True)

    assert events.unfinished is unfinished
    assert (last == b"") is unfinished
