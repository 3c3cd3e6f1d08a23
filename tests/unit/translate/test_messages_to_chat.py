from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import CONTENT, TERMINAL
from proxy.dialects.chat import ChatObserver
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate import messages_to_chat
from proxy.translate.chat_to_messages import ChatToMessages
from proxy.translate.messages_to_chat import MessagesEvents, MessagesToChat
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.dialects.recordings import calls
from tests.unit.translate.asking import WEATHER, chunks, deltas, error, reasons, source
from tests.unit.translate.test_chat_chunks import facts

RECORDINGS = golden("messages", "messages_to_chat")
UNFINISHED = ("error_first", "error_late", "truncated")

START = b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":9}}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def back(**values: Any) -> MessagesToChat:
    made = ChatToMessages().request(source(stream=True, **values)).back
    assert isinstance(made, MessagesToChat)
    return made


def event(name: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **members}))


def delta(kind: str, key: str, text: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, key: text})


def text(words: str) -> bytes:
    return delta("text_delta", "text", words)


def tool(index: int, **members: Any) -> bytes:
    block = {"type": "tool_use", "id": f"toolu_{index}", "name": "f", "input": {}, **members}
    return event("content_block_start", index=index, content_block=block)


def ended(reason: str) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 5})


def run(*events: bytes, **values: Any) -> bytes:
    return translated(back(**values).events(), events)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_becomes_the_agreed_chunks(recording: Golden) -> None:
    asking = back(tools=[WEATHER], stream_options={"include_usage": True})

    made = translated(asking.events(), [recording.upstream])

    assert made == recording.expected(made)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_recorded_stream_becomes_the_same_however_it_is_cut(recording: Golden) -> None:
    assert_cuts_change_nothing(back().events, recording.upstream, whole_events=recording.name != "truncated")


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_each_event_is_translated_in_the_call_that_completes_it(recording: Golden) -> None:
    events = [block + b"\n\n" for block in recording.upstream.replace(b"\r\n", b"\n").split(b"\n\n")]
    whole, cut = back().events(), back().events()

    for block in events:
        expected = whole.feed(block)
        assert cut.feed(block[:-1]) + cut.feed(block[-1:]) == expected


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_client_takes_a_stream_for_finished_only_if_the_upstream_finished_it(recording: Golden) -> None:
    observer = ChatObserver(1)
    observer.feed(translated(back().events(), [recording.upstream]))

    assert observer.terminal is (recording.name not in UNFINISHED)
    assert observer.complete(clean=True) is observer.terminal


def test_usage_is_known_whether_the_client_asked_for_it_or_not() -> None:
    events = back().events()
    translated(events, [next(each for each in RECORDINGS if each.name == "thinking").upstream])

    assert events.usage == Usage(tokens_in=130, tokens_out=40, cached=100, cache_write=5, reasoning=30)


def test_usage_so_far_is_known_when_a_stream_breaks() -> None:
    events = back().events()
    events.feed(START)

    assert events.usage == Usage(tokens_in=9)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_each_stop_reason_has_its_finish_reason(reason: str, finish: str) -> None:
    assert reasons(run(START, ended(reason), STOP)) == [finish]


def test_an_answer_that_stops_without_a_reason_still_has_one() -> None:
    assert reasons(run(START, text("a"), STOP)) == ["stop"]
    assert reasons(run(START, tool(0), STOP)) == ["tool_calls"]


def test_words_come_out_as_they_went_in_escapes_and_all() -> None:
    escapes = b'\\u20ac\\ud83d\\ude00\\ud83d \\"q\\" \\\\ \\n\\/ \xe2\x82\xac'
    raw = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}\n\n'

    out = run(START, raw % escapes)

    assert b'"delta":{"content":"%b"}' % escapes in out


@given(st.text(min_size=1), st.sampled_from(["text_delta", "thinking_delta"]))
def test_the_quick_and_the_long_way_say_the_same(words: str, kind: str) -> None:
    key = kind.removesuffix("_delta")
    quick = delta(kind, key, words)
    slow = event("content_block_delta", index=0, delta={key: words, "type": kind})

    assert deltas(run(START, quick)) == deltas(run(START, slow))


def test_an_ordinary_delta_costs_no_reading_of_json() -> None:
    events = back().events()
    events.feed(START)
    ordinary = text(" Hello")

    assert calls(lambda: events.feed(ordinary)) <= 8


def test_two_events_in_one_read_are_two_chunks_and_neither_is_read_as_json() -> None:
    events = back().events()
    events.feed(START)
    both = text("a") + text("b")

    assert deltas(events.feed(both)) == [{"content": "a"}, {"content": "b"}]
    assert calls(lambda: events.feed(both)) <= 60  # reading them takes twice as many


def test_what_looks_like_an_event_is_none_in_the_middle_of_another() -> None:
    out = run(START, b"data: x\n", text("a"))

    assert error(out)["type"] == "server_error"


@pytest.mark.parametrize("named", [True, False])
def test_an_event_is_known_by_its_name_or_by_its_type(named: bool) -> None:
    inside = {"delta": {"type": "text_delta", "text": "a"}}
    once = event("content_block_delta", **inside)
    once = b"event: content_block_delta\ndata: %b\n\n" % orjson.dumps(inside) if named else once.partition(b"\n")[2]

    assert deltas(run(START, once))[1:] == [{"content": "a"}]


def test_a_stream_that_never_tells_its_usage_has_none() -> None:
    events = back(stream_options={"include_usage": True}).events()
    out = translated(events, [event("message_start", message={}), STOP])

    assert events.usage is None
    assert chunks(out)[-1] == b"[DONE]"
    assert not any(chunk["usage"] for chunk in chunks(out)[:-1])


def test_reasoning_that_nobody_signed_does_not_run_into_the_next_block() -> None:
    def thinking(index: int, **delta: str) -> bytes:
        return event("content_block_delta", index=index, delta=delta)

    begun = event("content_block_start", index=1, content_block={"type": "thinking", "thinking": "", "signature": ""})
    unsigned = thinking(0, type="thinking_delta", thinking="a")
    signed = thinking(1, type="thinking_delta", thinking="b") + thinking(1, type="signature_delta", signature="s")

    out = run(START, unsigned, begun, signed, tools=[WEATHER])

    assert deltas(out)[-1]["thinking_blocks"] == [{"index": 0, "type": "thinking", "thinking": "b", "signature": "s"}]


def test_what_the_long_way_reads_is_told_too() -> None:
    begun = event("content_block_start", index=0, content_block={"type": "text", "text": "a"})
    thinking = event("content_block_start", index=1, content_block={"type": "thinking", "thinking": "b", "signature": ""})

    assert deltas(run(START, begun, thinking))[1:] == [{"content": "a"}, {"reasoning_content": "b"}]


def test_arguments_that_come_with_the_call_are_told_when_no_piece_of_them_follows() -> None:
    out = run(START, tool(0, input={"a": 1}), event("content_block_stop", index=0))

    assert [part["tool_calls"][0]["function"]["arguments"] for part in deltas(out)[1:]] == ["", '{"a":1}']


def test_pieces_of_arguments_go_to_the_call_whose_block_they_belong_to() -> None:
    out = run(
        START,
        tool(1),
        tool(4),
        delta("input_json_delta", "partial_json", '{"b"', 4),
        delta("input_json_delta", "partial_json", "{", 1),
    )

    pieces = [part["tool_calls"][0] for part in deltas(out)[3:]]
    assert pieces == [{"index": 1, "function": {"arguments": '{"b"'}}, {"index": 0, "function": {"arguments": "{"}}]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((event("ping"),), id="ping"),
        pytest.param((b": comment\n\n",), id="comment"),
        pytest.param((b"event: ping\n\n",), id="event without data"),
        pytest.param((b"data: : keepalive\n\n",), id="no json without a name"),
        pytest.param((b"event: new\ndata: {\n\n",), id="no json with a new name"),
        pytest.param((b"data: [DONE]\n\n",), id="another api's end"),
        pytest.param((START,), id="a second start"),
        pytest.param((event("content_block_start", index=0),), id="block without a block"),
        pytest.param((event("content_block_delta", index=0, delta=7),), id="delta that is none"),
        pytest.param((event("content_block_delta", index=0, delta={"type": "text_delta", "text": None}),), id="text that is none"),
        pytest.param((delta("text_delta", "text", ""),), id="empty text"),
        pytest.param((delta("input_json_delta", "partial_json", "{}", 7),), id="arguments of no call"),
        pytest.param((event("content_block_delta", index=[], delta={"type": "input_json_delta", "partial_json": "{"}),), id="strange index"),
        pytest.param((event("content_block_stop", index={}),), id="stop of a strange index"),
        pytest.param((event("content_block_start", index="0", content_block={"type": "tool_use"}),), id="call with a strange index"),
        pytest.param((event("message_delta", delta=None, usage=7),), id="message delta of nothing"),
        pytest.param((event("something_new", index=0),), id="new event"),
    ],
)  # fmt: skip
def test_what_says_nothing_becomes_nothing(events: tuple[bytes, ...]) -> None:
    stream = back().events()
    stream.feed(START)

    assert b"".join(stream.feed(each) for each in events) == b""


def test_a_call_that_is_told_twice_is_one_call_and_a_closed_one_takes_no_more() -> None:
    closed = event("content_block_stop", index=0)
    out = run(START, tool(0), tool(0), closed, closed, delta("input_json_delta", "partial_json", "{}"), tool(0))

    assert [part["tool_calls"][0]["function"]["arguments"] for part in deltas(out)[1:]] == ["", "{}"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a\n\n', id="cut"),
        pytest.param(b"event: message_stop\ndata: []\n\n", id="no object"),
        pytest.param(event("content_block_start", index=0, content_block={"type": "tool_use"}), id="call without a name"),
    ],
)
def test_an_event_of_this_api_that_cannot_be_read_ends_the_stream(broken: bytes) -> None:
    out = run(START, text("a"), broken, text("b"), STOP)

    assert deltas(out[: out.index(b'data: {"error"')])[1:] == [{"content": "a"}]
    assert (error(out)["type"], error(out)["code"]) == ("server_error", None)


def test_an_event_too_large_to_be_held_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_to_chat, "EVENT_CAP", 4200)
    events = MessagesEvents(facts())
    out = events.feed(START) + events.feed(text("a" * 5000)[:-2]) + events.feed(b"\n\n") + events.feed(STOP)

    assert (error(out)["type"], error(out)["code"]) == ("server_error", None)
    assert len(events._splitter.held) < 5000


@pytest.mark.parametrize(
    ("kind", "ours", "code"),
    [
        ("invalid_request_error", "invalid_request_error", None),
        ("authentication_error", "invalid_request_error", "invalid_api_key"),
        ("billing_error", "insufficient_quota", "insufficient_quota"),
        ("permission_error", "permission_error", None),
        ("not_found_error", "invalid_request_error", "model_not_found"),
        ("request_too_large", "invalid_request_error", "request_too_large"),
        ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
        ("timeout_error", "server_error", "timeout"),
        ("overloaded_error", "server_error", "overloaded"),
        ("api_error", "server_error", None),
        ("new_error", "server_error", None),
    ],
)
def test_an_error_is_told_in_openais_words_with_the_upstreams_message(kind: str, ours: str, code: str | None) -> None:
    told_error = error(run(event("error", error={"type": kind, "message": "Sorry"}), START))

    assert told_error == {"message": "Sorry", "type": ours, "param": None, "code": code}


def test_a_whole_answer_is_told_in_openais_form() -> None:
    told_message = {
        "id": "msg_1",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Let me "},
            {"type": "text", "text": "see."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
            {"type": "something_new"},
            7,
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 7},
    }

    answer = orjson.loads(back(tools=[WEATHER]).whole(orjson.dumps(told_message)))

    assert answer["model"] == "claude-x"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": None,
                "reasoning_content": "Hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "Hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "x"},
                ],
                "tool_calls": [
                    {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert answer["usage"] == {
        "prompt_tokens": 13,
        "completion_tokens": 7,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [([], ""), ([{"type": "tool_use", "id": "t", "name": "f", "input": {}}], None), ([{"type": "text"}], "")],
)
def test_a_whole_answer_has_no_words_only_where_it_calls_tools(content: list[Any], words: str | None) -> None:
    answer = orjson.loads(back().whole(orjson.dumps({"content": content})))

    assert answer["choices"][0]["message"]["content"] == words


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"content":"Hi"}',
        b'{"content":[{"type":"tool_use","name":"f"}]}',
        b'{"type":"error","error":{"type":"api_error","message":"m"}}',
    ],
)
def test_a_whole_answer_that_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        back().whole(body)


@pytest.mark.parametrize("model", [None, "", 7])
def test_a_whole_answer_of_a_model_without_a_name_has_the_one_that_was_asked(model: Any) -> None:
    assert orjson.loads(back(model="target").whole(orjson.dumps({"model": model, "content": []})))["model"] == "target"


def test_an_error_answer_has_openais_status_and_form() -> None:
    status, body = back().error(529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')

    assert status == 503
    assert orjson.loads(body)["error"]["message"] == "Overloaded"


def test_what_comes_out_is_told_for_content_by_the_clients_observer() -> None:
    events, observer = back().events(), ChatObserver(1)
    observer.feed(events.feed(START))

    assert observer.feed(events.feed(text("a"))) == CONTENT
    assert observer.feed(events.feed(tool(1))) == CONTENT
    assert observer.feed(events.feed(ended("tool_use") + STOP)) & TERMINAL
    assert chunks(events.end(clean=True)) == []


def test_a_reason_to_stop_is_no_end_before_the_upstream_has_said_so() -> None:
    events = back().events()

    events.feed(START + text("a") + ended("end_turn"))
    before = events.unfinished
    events.feed(STOP)

    assert (before, events.unfinished) == (True, False)


def test_an_error_is_an_end_too() -> None:
    events = back().events()

    events.feed(START + b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"m"}}\n\n')

    assert not events.unfinished
