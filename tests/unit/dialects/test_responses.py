from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import orjson
import pytest

from proxy.dialects import RESPONSES
from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, RequestView
from proxy.dialects.chat import ChatObserver
from proxy.dialects.responses import ResponsesKeepalive, ResponsesObserver
from proxy.errors import UpstreamRefused, UpstreamStalled, UpstreamTruncated
from proxy.sse.events import CAP
from tests.support.whatwg import Event, events
from tests.unit.dialects import recordings
from tests.unit.dialects.recordings import (
    CREATED,
    FINISHED,
    RESPONSE,
    Recording,
    calls,
    cut_anyhow,
    event,
    verdict,
    with_line_end,
)

RECORDED = [with_line_end(recording, end) for recording in recordings.RESPONSES for end in (b"\n", b"\r\n", b"\r")]
WALL = 1_700_000_000.0
COMMENT = b": keepalive\n\n"


def observe(*chunks: bytes) -> tuple[ResponsesObserver, list[int]]:
    observer = ResponsesObserver()
    return observer, [observer.feed(data) for data in chunks]


def numbered(number: int) -> bytes:
    return event("response.output_text.delta", f'"sequence_number":{number},"delta":"a"')


def told(frame: bytes) -> tuple[str, dict[str, Any]]:
    (one,) = events(frame)
    assert isinstance(one, Event)
    return one.type, orjson.loads(one.data)


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_event_by_event(recording: Recording) -> None:
    observer, seen = observe(*(block for block, _ in recording.events))

    assert seen == [flags for _, flags in recording.events]
    assert (observer.usage, observer.error, observer.terminal) == (recording.usage, recording.error, recording.terminal)
    assert observer.complete(clean=False) is (recording.error is None)


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_however_it_is_cut(recording: Recording) -> None:
    whole, _ = observe(*(block for block, _ in recording.events))

    for seed in range(12):
        observer, seen = observe(*cut_anyhow(recording.stream, seed))

        assert verdict(observer) == verdict(whole), seed
        assert (observer.created, observer.sequence_number, observer.response) == (
            whole.created,
            whole.sequence_number,
            whole.response,
        )
        assert reduce(or_, seen, NOTHING) == recording.seen, seed


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_ends_with_its_last_event_and_with_nothing_else(clean: bool) -> None:
    observer, _ = observe(CREATED, numbered(1))
    before = observer.complete(clean=clean)

    observer.feed(event("response.completed", f'"sequence_number":2,{FINISHED.format("completed")}'))

    assert not before
    assert observer.complete(clean=clean)


def test_a_last_event_beyond_the_cap_still_ends_the_answer() -> None:
    """It repeats the whole answer, base64 images and all."""
    large = event("response.completed", '"sequence_number":9,"response":{"output":["' + "x" * (CAP + 10) + '"]}')

    observer, seen = observe(CREATED, numbered(1), large[:100_000], large[100_000:-100], large[-100:])

    assert seen == [NOTHING, CONTENT, NOTHING, NOTHING, TERMINAL]
    assert observer.splitter.lost == 1
    assert observer.complete(clean=False)


@pytest.mark.parametrize(("name", "seen"), [("response.failed", TERMINAL | FAILED), ("response.incomplete", TERMINAL)])
def test_a_nameless_last_event_beyond_the_cap_is_known_by_its_type(name: str, seen: int) -> None:
    large = f'data: {{"sequence_number":9,"type":"{name}","response":{{"output":["{"x" * (CAP + 1000)}"]}}}}\n\n'.encode()

    observer, flags = observe(large[:-100], large[-100:])

    assert flags == [NOTHING, seen]
    assert observer.splitter.lost == 1


def test_a_nameless_event_is_known_by_its_own_type_not_by_one_inside_of_it() -> None:
    _, seen = observe(b'data: {"item":{"type":"error"},"response":{"type":"response.failed"},"type":"response.in_progress"}\n\n')

    assert seen == [NOTHING]


def test_the_last_sequence_number_is_remembered() -> None:
    observer, _ = observe(CREATED, numbered(1), numbered(2))
    after_deltas = observer.sequence_number

    observer.feed(b": comment\n\n")
    observer.feed(event("keepalive", '"sequence_number": 17'))

    assert ResponsesObserver().sequence_number == 0
    assert after_deltas == 2
    assert observer.sequence_number == 17


def test_an_event_without_a_number_does_not_reset_it() -> None:
    observer, _ = observe(numbered(5))
    before = observer.sequence_number

    observer.feed(b"data: [DONE]\n\n")

    assert (before, observer.sequence_number) == (5, 5)


def test_a_number_of_absurd_length_is_no_trouble() -> None:
    observer, _ = observe(event("response.output_text.delta", '"sequence_number":' + "1" * 5000))

    assert observer.sequence_number == int("1" * 18)


@pytest.mark.parametrize(
    "created",
    [
        b"event: response.created\ndata: {}\n\n",
        b"event: response.created\ndata: []\n\n",
        b"event: response.created\ndata: not json\n\n",
        event("response.created", '"response":[]'),
        event("response.created", '"response":{"instructions":"\\ud800"}'),
    ],
    ids=repr,
)
def test_a_response_that_cannot_be_said_again_is_empty(created: bytes) -> None:
    observer, _ = observe(created)

    assert observer.created
    assert observer.response == {}


def test_a_delta_is_not_parsed() -> None:
    """The work per token is counted in calls, which no busy machine changes."""
    observer, _ = observe(CREATED)
    delta = numbered(1)

    assert calls(lambda: observer.feed(delta)) <= 11


def test_a_delta_is_read_where_it_is_only_part_of_an_event() -> None:
    observer, seen = observe(
        CREATED, b": comment\n", numbered(1), event("response.completed", f'"sequence_number":2,{FINISHED.format("completed")}')
    )

    assert seen == [NOTHING, NOTHING, CONTENT, TERMINAL]
    assert observer.usage is not None
    assert not observer.splitter.held


@pytest.mark.parametrize(
    "almost",
    [
        b"event: response.output_text.delta\n\n",
        b"event: response.output_text.delta\n: c\n\n",
        b"event: response.output_text.delta\ndata: {}\nevent: error\n\n",
        b"event: response.output_text.delta\rdata: {}\n\n",
        b"event: response.output_text.delta\ndata: {}\n\nevent: error\ndata: {}\n\n",
        b"event: response.output_text.delta\ndata: {}\n",
        b"event: response.output_text.delta\ndata: {}\r\rdata: {}\n\n",
        b"event: response.output_text.delta_x\ndata: {}\n\n",
        b"xevent: response.output_text.delta\ndata: {}\n\n",
    ],
    ids=repr,
)
def test_what_only_begins_like_a_delta_is_read_like_anything_else(almost: bytes) -> None:
    whole, seen = observe(CREATED, almost)
    pieces, seen_in_pieces = observe(CREATED, *(almost[at : at + 1] for at in range(len(almost))))

    assert reduce(or_, seen) == reduce(or_, seen_in_pieces)
    assert verdict(whole) == verdict(pieces)
    assert bool(whole.splitter.held) is almost.endswith(b"}\n")


# ---- keepalives


def test_the_keepalive_is_a_comment_until_the_response_was_created() -> None:
    """The SDKs' stream helpers fail on any event before it."""
    observer, _ = observe(b": c\n\n")

    assert ResponsesKeepalive().frame(None, id_seen=False, wall=WALL) == COMMENT
    assert ResponsesKeepalive().frame(observer, id_seen=False, wall=WALL) == COMMENT
    assert ResponsesKeepalive().frame(ChatObserver(1), id_seen=True, wall=WALL) == b": keepalive\n"


def test_then_it_is_the_api_s_own_with_the_last_number() -> None:
    """Codex counts events, not bytes."""
    observer, _ = observe(CREATED, numbered(1), numbered(41))

    frame = ResponsesKeepalive().frame(observer, id_seen=False, wall=WALL)

    assert frame == b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 41}\n\n'


def test_its_comment_takes_the_configured_text() -> None:
    frame = ResponsesKeepalive().with_text("beat").frame(None, id_seen=False, wall=WALL)

    assert frame == b": beat\n\n"


# ---- errors


def test_an_error_before_the_response_was_created_is_the_nested_error_event() -> None:
    """openai-python yields the flat form as if it were an ordinary event."""
    expected = {
        "type": "error",
        "sequence_number": 0,
        "error": {
            "message": "The model's backend ended the answer before it was complete.",
            "type": "server_error",
            "param": None,
            "code": "upstream_truncated",
            "request_id": "r1",
        },
    }

    for observer in (None, ResponsesObserver(), observe(b": c\n\n")[0]):
        frame = RESPONSES.error_event(UpstreamTruncated(), "r1", observer)

        assert told(frame) == ("error", expected)
        assert frame.endswith(b"\n\n")


def test_an_error_after_it_is_the_failed_response_with_the_next_number() -> None:
    observer, _ = observe(CREATED, numbered(1), numbered(8))

    frame = RESPONSES.error_event(UpstreamStalled("secret detail"), "r1", observer)

    created = orjson.loads("{" + RESPONSE + "}")["response"]
    error = {"code": "server_error", "message": "The model's backend stopped sending."}
    assert told(frame) == (
        "response.failed",
        {"type": "response.failed", "sequence_number": 9, "response": {**created, "status": "failed", "error": error}},
    )
    assert b"secret" not in frame


def test_its_own_error_ends_a_stream_in_the_eyes_of_its_own_observer() -> None:
    observer, _ = observe(CREATED)

    seen = observer.feed(RESPONSES.error_event(UpstreamStalled(), "r1", observer))

    assert seen == TERMINAL | FAILED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"code":"x","message":"m"}}', {"code": "x", "message": "m"}),
        (b'{"error":"boom"}', "boom"),
        (b'{"object":"error","message":"m","code":400}', {"message": "m", "code": 400}),
        (b'[{"error":{"code":503}}]', {"code": 503}),
    ],
)
def test_an_upstream_s_error_body_is_told_in_the_nested_form(body: bytes, error: Any) -> None:
    frame = RESPONSES.answer_event(body)

    assert frame is not None
    assert told(frame) == ("error", {"type": "error", "sequence_number": 0, "error": error})


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":null}', b"[]", b"[1]", b"1"])
def test_a_body_that_tells_no_error_is_not_told(body: bytes) -> None:
    assert RESPONSES.answer_event(body) is None


def test_an_error_body_is_openai_s() -> None:
    body = orjson.loads(RESPONSES.error_body(UpstreamRefused(429, "rate_limited", retryable=True), "r1"))

    assert body["error"]["code"] == "upstream_refused"


@pytest.mark.parametrize(
    ("body", "stateful"),
    [
        ({}, False),
        ({"previous_response_id": "resp_1"}, True),
        ({"previous_response_id": None}, False),
        ({"background": True}, True),
        ({"background": False}, False),
        ({"conversation": "conv_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
    ],
)
def test_a_request_that_leans_on_an_account_s_state_is_marked(body: dict[str, Any], stateful: bool) -> None:
    view = RESPONSES.read_request(orjson.dumps({"model": "m", "input": "Hi", **body}), {})

    assert view.stateful is stateful


def test_every_stream_has_its_own_observer_and_keepalive() -> None:
    view = RequestView("m", stream=True)

    assert RESPONSES.observer(view) is not RESPONSES.observer(view)
    assert isinstance(RESPONSES.keepalive(), ResponsesKeepalive)
