from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.chat import ChatObserver
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate import gemini_to_chat
from proxy.translate.chat_to_gemini import ChatToGemini
from proxy.translate.gemini_to_chat import GeminiEvents, GeminiToChat
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.dialects.recordings import calls
from tests.unit.translate.asking import WEATHER, deltas, error, reasons, source
from tests.unit.translate.test_chat_chunks import facts

RECORDINGS = golden("gemini", "gemini_to_chat")
UNFINISHED = ("error_first", "error_late", "error_at_the_end", "truncated", "unfinished", "malformed_call")


def back(**values: Any) -> GeminiToChat:
    made = ChatToGemini().request(source(stream=True, **values)).back
    assert isinstance(made, GeminiToChat)
    return made


def event(value: Any) -> bytes:
    return b"data: %b\r\n\r\n" % orjson.dumps(value)


def said(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], **more}


def run(*responses: Any, clean: bool = True, **values: Any) -> bytes:
    return translated(back(**values).events(), map(event, responses), clean=clean)


HI = said({"text": "Hi"}, usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 1})
STOP = said(finish="STOP")


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
    blocks = recording.upstream.replace(b"\r\n", b"\n").split(b"\n\n")
    whole, cut = back().events(), back().events()

    for block in blocks[:-1]:
        expected = whole.feed(block + b"\n\n")
        assert cut.feed(block) + cut.feed(b"\n\n") == expected


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_a_client_takes_a_stream_for_finished_only_if_the_upstream_finished_it(recording: Golden) -> None:
    observer = ChatObserver(1)
    observer.feed(translated(back().events(), [recording.upstream]))

    assert observer.terminal is (recording.name not in UNFINISHED)
    assert observer.complete(clean=True) is observer.terminal


def test_behind_the_finish_reason_a_stream_must_end_cleanly_too() -> None:
    assert b"[DONE]" in run(HI, STOP)
    assert b"[DONE]" not in run(HI, STOP, clean=False)

    cut = back().events()
    assert b"[DONE]" not in translated(cut, [event(HI), event(STOP), b"data: {"])


def test_the_last_count_is_the_usage_whether_the_client_asked_for_it_or_not() -> None:
    events = back().events()
    assert events.usage is None

    counts = {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4}
    out = translated(events, map(event, (HI, said(usageMetadata=counts), said(usageMetadata=None), STOP)))

    assert b"prompt_tokens" not in out
    assert events.usage == Usage(tokens_in=9, tokens_out=8, cached=4, reasoning=3)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_each_finish_reason_has_openais(reason: str, finish: str) -> None:
    whole = orjson.loads(back().whole(orjson.dumps(said({"text": "a"}, finish=reason))))

    assert reasons(run(HI, said(finish=reason))) == [finish]
    assert whole["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(("reason", "finish"), [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter")])
def test_an_answer_with_calls_finishes_for_them_unless_something_else_ended_it(reason: str, finish: str) -> None:
    calling = {"functionCall": {"name": "f", "args": {}}}
    whole = orjson.loads(back().whole(orjson.dumps(said(calling, finish=reason))))

    assert reasons(run(said(calling, finish=reason))) == [finish]
    assert whole["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE"])
def test_an_answer_that_its_model_spoilt_is_none(reason: str) -> None:
    assert error(run(HI, said(finish=reason)))["type"] == "server_error"
    with pytest.raises(UpstreamMalformed):
        back().whole(orjson.dumps(said(finish=reason)))


def test_a_call_has_an_id_of_its_own_and_its_signature_where_clients_send_it_back() -> None:
    first = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    second = {"functionCall": {"id": "own", "name": "f", "args": None}}

    parts = [delta["tool_calls"][0] for delta in deltas(run(said(first, second)))[1:]]

    assert parts == [
        {
            "index": 0,
            "id": "call_r1_0",
            "type": "function",
            "function": {"name": "f", "arguments": ""},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        },
        {"index": 0, "function": {"arguments": '{"a":1}'}},
        {"index": 1, "id": "own", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"candidates": []}, id="no candidate"),
        pytest.param({"candidates": {}}, id="candidates that are no list"),
        pytest.param({"candidates": [7]}, id="a number as candidate"),
        pytest.param({"candidates": [{"content": None}]}, id="no content"),
        pytest.param({"candidates": [{"content": {"parts": {}}}]}, id="parts that are no list"),
        pytest.param(said(7, {}, {"text": 7}, {"text": ""}), id="parts that say nothing"),
        pytest.param(said({"inlineData": {"mimeType": "image/png"}}, {"inlineData": 7}), id="data without data"),
        pytest.param(said({"executableCode": {"code": "1"}}), id="code"),
        pytest.param({"error": None, "promptFeedback": 7}, id="no error"),
        pytest.param([], id="an array"),
    ],
)
def test_what_says_nothing_becomes_nothing(nothing: Any) -> None:
    events = back().events()
    events.feed(event(HI))

    assert events.feed(event(nothing)) == b""
    assert events.feed(b": comment\r\n\r\n" + b"data: : keepalive\r\n\r\n" + b"\r\n") == b""


@pytest.mark.parametrize(
    "broken", [b'data: {"candidates":[\r\n\r\n', b"data: {\n\n", event(said({"functionCall": {"args": {}}})), event(said({"functionCall": {"name": 7}}))]
)  # fmt: skip
def test_what_cannot_be_read_ends_the_stream(broken: bytes) -> None:
    out = translated(back().events(), [event(HI), broken, event(HI), event(STOP)])

    assert deltas(out[: out.index(b'data: {"error"')])[1:] == [{"content": "Hi"}]
    assert (error(out)["type"], error(out)["code"]) == ("server_error", None)


def test_an_event_too_large_to_be_held_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini_to_chat, "EVENT_CAP", 4200)
    events = GeminiEvents(facts())
    out = (
        events.feed(event(HI))
        + events.feed(event(said({"text": "a" * 5000}))[:-4])
        + events.feed(b"\n")
        + events.feed(event(STOP))
    )

    assert (error(out)["type"], error(out)["code"]) == ("server_error", None)


@pytest.mark.parametrize(
    ("told_error", "message", "kind", "code"),
    [
        ({"code": 400, "message": "Bad."}, "Bad.", "invalid_request_error", None),
        ({"code": 429, "message": "Slow down."}, "Slow down.", "rate_limit_error", "rate_limit_exceeded"),
        ({"code": 499, "message": "Gone."}, "Gone.", "invalid_request_error", None),
        ({"code": 503, "message": "Later."}, "Later.", "server_error", "overloaded"),
        ({"code": 599, "message": "Later."}, "Later.", "server_error", None),
        ({"code": "503", "message": "Later."}, "Later.", "server_error", None),
        ({"code": 399, "message": "Later."}, "Later.", "server_error", None),
        ("Sorry.", "Sorry.", "server_error", None),
        ([1], "The model's backend reported an error.", "server_error", None),
    ],
)
def test_an_error_is_told_in_openais_words_with_the_upstreams_message(
    told_error: Any, message: str, kind: str, code: str | None
) -> None:
    assert error(run(HI, {"error": told_error}, HI, STOP)) == {"message": message, "type": kind, "param": None, "code": code}


def test_what_looks_like_an_event_is_none_in_the_middle_of_another() -> None:
    out = translated(back().events(), [event(HI), b"data: {\r\n", event(HI)])

    assert error(out)["type"] == "server_error"


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\r\r", b"\n\r\n"])
def test_events_are_read_whatever_ends_their_lines(end: bytes) -> None:
    one = event(HI)[:-4] + end

    out = translated(back().events(), [one + one, one, one])

    assert deltas(out)[1:] == [{"content": "Hi"}] * 4


def test_an_ordinary_chunk_is_not_cut_out_of_anything() -> None:
    events = back().events()
    events.feed(event(HI))
    ordinary = event(HI)

    assert calls(lambda: events.feed(ordinary)) <= 55  # by way of the splitter about 70


def test_a_whole_answer_is_told_in_openais_form() -> None:
    whole = said(
        {"text": "Hm", "thought": True},
        {"text": "Let me "},
        {"text": "see."},
        {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "own", "name": "now"}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        finish="STOP",
        modelVersion="gemini-x",
        usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 2},
    )

    answer = orjson.loads(back(tools=[WEATHER]).whole(orjson.dumps(whole)))

    assert answer["model"] == "gemini-x"
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "reasoning_content": "Hm",
        "tool_calls": [
            {
                "id": "call_r1_0",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                "extra_content": {"google": {"thought_signature": "c2ln"}},
            },
            {"id": "own", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
        "images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
    }
    assert answer["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "total_tokens": 16,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    answer = orjson.loads(back(model="target").whole(b'{"promptFeedback":{"blockReason":"SAFETY"}}'))

    assert answer["model"] == "target"
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert answer["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"candidates":[]}', b'{"candidates":[7]}', b'{"error":{"code":500}}']
)
def test_a_whole_answer_that_is_no_response_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        back().whole(body)


def test_an_error_answer_has_openais_form() -> None:
    status, body = back().error(400, b'[{"error":{"code":400,"message":"Bad.","status":"INVALID_ARGUMENT"}}]')

    assert status == 400
    assert orjson.loads(body)["error"]["message"] == "Bad."


@pytest.mark.parametrize(("behind", "unfinished"), [(b"", False), (event(STOP)[:20], True)], ids=["nothing", "half an event"])
def test_half_an_event_behind_the_reason_to_stop_is_no_end(behind: bytes, unfinished: bool) -> None:
    events = back().events()

    events.feed(event(STOP) + behind)
    last = events.end(clean=True)

    assert events.unfinished is unfinished
    assert (last == b"") is unfinished
