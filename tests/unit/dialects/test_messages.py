from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import COUNT_TOKENS, MESSAGES
from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL, RequestView
from proxy.dialects.messages import MessagesObserver
from proxy.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    InternalError,
    Kind,
    ModelNotFound,
    ProxyError,
    TooManyStreamsOfSubject,
    Unauthenticated,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.exchange import Usage
from proxy.sse.events import CAP
from tests.support.streams import BOM
from tests.support.whatwg import Event, events
from tests.unit.dialects import recordings_messages
from tests.unit.dialects.recordings import Recording, calls, cut_anyhow, verdict, with_line_end
from tests.unit.dialects.recordings_messages import OVERLOADED, STARTED, STOP, TEXT, begin, end, finish, text

RECORDED = [with_line_end(recording, end) for recording in recordings_messages.MESSAGES for end in (b"\n", b"\r\n", b"\r")]
STREAMS = st.sampled_from(RECORDED)
BODY = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def observe(*chunks: bytes) -> tuple[MessagesObserver, list[int]]:
    observer = MessagesObserver()
    return observer, [observer.feed(data) for data in chunks]


def told(frame: bytes) -> tuple[str, dict[str, Any]]:
    (one,) = events(frame)
    assert isinstance(one, Event)
    return one.type, orjson.loads(one.data)


def read(**changes: Any) -> RequestView:
    return MESSAGES.read_request(orjson.dumps({**BODY, **changes}), {})


# ---- streams


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_event_by_event(recording: Recording) -> None:
    observer, seen = observe(*(block for block, _ in recording.events))

    assert seen == [flags for _, flags in recording.events]
    assert (observer.usage, observer.error, observer.terminal) == (recording.usage, recording.error, recording.terminal)
    assert observer.splitter.lost == 0


@given(recording=STREAMS, seed=st.integers(0, 2**32))
def test_a_recorded_stream_is_understood_however_it_is_cut(recording: Recording, seed: int) -> None:
    whole, _ = observe(*(block for block, _ in recording.events))

    observer, seen = observe(*cut_anyhow(recording.stream, seed))

    assert verdict(observer) == verdict(whole)
    assert reduce(or_, seen, NOTHING) == recording.seen


@pytest.mark.parametrize("recording", recordings_messages.MESSAGES, ids=str)
def test_a_recorded_stream_in_two_pieces_shows_the_same_wherever_it_is_cut(recording: Recording) -> None:
    whole, _ = observe(recording.stream)

    for cut in range(1, len(recording.stream)):
        observer, seen = observe(recording.stream[:cut], recording.stream[cut:])

        assert verdict(observer) == verdict(whole), cut
        assert reduce(or_, seen) == recording.seen, cut


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_ends_with_its_last_event_and_with_nothing_else(clean: bool) -> None:
    observer, _ = observe(STARTED, TEXT, text("Hi"), finish())
    before = observer.complete(clean=clean)

    observer.feed(STOP)

    assert not before
    assert observer.complete(clean=clean)


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_that_failed_is_not_complete_whatever_follows(clean: bool) -> None:
    observer, _ = observe(STARTED, text("Hi"), OVERLOADED, STOP)

    assert not observer.complete(clean=clean)


def test_a_byte_order_mark_is_no_part_of_the_first_event() -> None:
    _, seen = observe(BOM + OVERLOADED)

    assert seen == [FAILED]


def test_a_block_that_begins_with_text_is_content() -> None:
    _, seen = observe(begin('"type":"text","text":"Hi"'), begin('"type":"thinking","thinking":"Hm","signature":""'))

    assert seen == [CONTENT, CONTENT]


def test_a_block_beyond_the_cap_is_content() -> None:
    large = begin(f'"type":"web_search_tool_result","content":"{"x" * CAP}"')

    observer, seen = observe(STARTED, large[:100_000], large[100_000:-100], large[-100:])

    assert seen == [NOTHING, NOTHING, NOTHING, CONTENT]
    assert observer.splitter.lost == 1


@pytest.mark.parametrize(("name", "seen"), [("message_stop", TERMINAL), ("error", FAILED), ("ping", PING), ("", NOTHING)])
def test_a_nameless_event_beyond_the_cap_is_known_by_its_type(name: str, seen: int) -> None:
    large = f'data: {{"type":"{name}","padding":"{"x" * (CAP + 1000)}"}}\n\n'.encode()

    _, flags = observe(large[:-100], large[-100:])

    assert flags == [NOTHING, seen]


def test_usage_is_the_last_word_on_each_count() -> None:
    observer, _ = observe(
        STARTED,
        finish(usage='"output_tokens":3'),
        finish(usage='"input_tokens":26,"cache_read_input_tokens":null,"output_tokens":7'),
        STOP,
    )

    assert observer.usage == Usage(26, 7, 0, 0)


def test_usage_is_known_while_the_answer_is_unfinished() -> None:
    observer, _ = observe(STARTED, TEXT, text("Hi"))

    assert observer.usage == Usage(25, 1, 0, 0)


def test_counts_that_nobody_knows_are_not_kept() -> None:
    """A stream's memory is bounded, whatever its upstream counts."""
    observer, _ = observe(*(finish(usage=f'"count_{number}":1') for number in range(100)))

    assert not observer._told


def test_a_delta_is_not_parsed() -> None:
    """The work per token is counted in calls, which no busy machine changes."""
    observer, _ = observe(STARTED, TEXT)
    delta = text("Hi")

    assert calls(lambda: observer.feed(delta)) <= 8


def test_nor_is_one_that_comes_with_others() -> None:
    def cost(block: bytes) -> int:
        observer, _ = observe(STARTED, TEXT)
        return calls(lambda: observer.feed(block * 2))

    assert cost(text("Hi")) <= cost(end()) - 10


def test_a_delta_is_read_where_it_is_only_part_of_an_event() -> None:
    observer, seen = observe(STARTED, b": comment\n", text("Hi"))
    held = bytes(observer.splitter.held)

    assert (seen, held) == ([NOTHING, NOTHING, CONTENT], b"")
    assert observer.feed(STOP) == TERMINAL


@pytest.mark.parametrize(
    ("almost", "seen"),
    [
        (b"event: content_block_delta\n\n", NOTHING),
        (b"event: content_block_delta\n: c\n\n", NOTHING),
        (b"event: content_block_delta\ndata: {}\nevent: error\n\n", FAILED),
        (b"event: content_block_delta\ndata: {}\nid: 7\n\n", CONTENT),
        (b"event: content_block_delta\rdata: {}\n\n", CONTENT),
        (b"event: content_block_delta\ndata: {}\revent: error\n\n", FAILED),
        (b"event: content_block_delta\ndata: {}\n\nevent: error\ndata: {}\n\n", CONTENT | FAILED),
        (b"event: content_block_delta\ndata: {}\n", NOTHING),
        (b"event: content_block_delta\ndata: {}\n\r", CONTENT),
        (b"event: content_block_delta\ndata: {}\nx", NOTHING),
        (b"event: content_block_delta_x\ndata: {}\n\n", NOTHING),
        (b"xevent: content_block_delta\ndata: {}\n\n", NOTHING),
    ],
    ids=repr,
)
def test_what_only_begins_like_a_delta_is_read_like_anything_else(almost: bytes, seen: int) -> None:
    whole, (_, flags) = observe(STARTED, almost)
    pieces, flags_of_pieces = observe(STARTED, *(almost[at : at + 1] for at in range(len(almost))))

    assert flags == reduce(or_, flags_of_pieces) == seen
    assert verdict(whole) == verdict(pieces)
    assert whole.splitter.held == pieces.splitter.held


# ---- requests


def test_a_request_is_read_and_its_body_kept() -> None:
    body = b'{"stream":true, "max_tokens":9,"model" : "claude-x", "messages":[]}'

    view = MESSAGES.read_request(body, {})

    assert (view.model, view.stream, view.stateful) == ("claude-x", True, False)
    assert view.values["max_tokens"] == 9
    assert view.place is not None
    assert view.place.with_model("other") == body.replace(b"claude-x", b"other")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model":7}', b'{"model":"m","stream":"yes"}'])
def test_a_request_that_cannot_be_understood_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        MESSAGES.read_request(body, {})


FILE = {"type": "file", "file_id": "file_1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"container": "container_1"},
        {"container": {"id": "container_1"}},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": FILE}]}]},
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "file_1"}]}]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image", "source": FILE}]}]},
            ]
        },
    ],
)
def test_a_request_that_leans_on_an_account_s_state_is_marked(changes: dict[str, Any]) -> None:
    assert read(**changes).stateful


@pytest.mark.parametrize(
    "changes",
    [
        {"container": None},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"file_id": FILE}}}]},
        {"messages": [{"role": "user", "content": 'a "file_id"'}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "file_id": 1}, 7, None]}, 7]},
        {"messages": {"file_id": 1}},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "file_id": 1}}]}]},
    ],
)
def test_one_that_does_not_is_not(changes: dict[str, Any]) -> None:
    assert not read(**changes).stateful


# ---- keepalives, errors, usage


def test_the_keepalive_is_the_api_s_own_ping() -> None:
    keepalive = MESSAGES.keepalive()

    assert keepalive is not None
    frame = keepalive.with_text("x").frame(None, id_seen=False, wall=0.0)
    assert frame == b'event: ping\ndata: {"type": "ping"}\n\n'
    assert observe(frame)[1] == [PING]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BadRequest("No."), "invalid_request_error"),
        (Unauthenticated("missing"), "authentication_error"),
        (Forbidden("model"), "permission_error"),
        (ModelNotFound(), "not_found_error"),
        (BodyTooLarge(), "request_too_large"),
        (TooManyStreamsOfSubject(), "rate_limit_error"),
        (UpstreamBusy(), "overloaded_error"),
        (UpstreamTimeout(), "timeout_error"),
        (InternalError("secret"), "api_error"),
    ],
)
def test_an_error_is_told_in_the_api_s_words(error: ProxyError, word: str) -> None:
    body = MESSAGES.error_body(error, "r1")

    assert orjson.loads(body) == {
        "type": "error",
        "error": {"type": word, "message": error.public, "code": error.code},
        "request_id": "r1",
    }
    assert b"secret" not in body


def test_every_kind_of_error_has_its_word() -> None:
    class Odd(ProxyError):
        pass

    for kind in Kind:
        Odd.kind = kind
        assert orjson.loads(MESSAGES.error_body(Odd(), "r1"))["error"]["type"]


def test_an_error_in_a_stream_is_the_named_event() -> None:
    """The official SDKs drop what has no name."""
    frame = MESSAGES.error_event(UpstreamTruncated("secret"), "r1", None)

    assert told(frame) == ("error", orjson.loads(MESSAGES.error_body(UpstreamTruncated(), "r1")))
    assert observe(frame)[1] == [FAILED]


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (
            b'{"type":"error","error":{"type":"billing_error","message":"m"},"request_id":"req_1"}',
            {"type": "error", "error": {"type": "billing_error", "message": "m"}, "request_id": "req_1"},
        ),
        (b'{"error":{"message":"m","code":5}}', {"type": "error", "error": {"type": "api_error", "message": "m", "code": 5}}),
        (b'{"error":"boom"}', {"type": "error", "error": {"type": "api_error", "message": "boom"}}),
        (b'[{"error":{"code":5}}]', {"type": "error", "error": {"type": "api_error", "code": 5}}),
    ],
)
def test_an_upstream_s_error_body_is_told_in_the_stream(body: bytes, event: dict[str, Any]) -> None:
    frame = MESSAGES.answer_event(body)

    assert frame is not None
    assert told(frame) == ("error", event)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":null}', b"[]", b"1"])
def test_a_body_that_tells_no_error_is_not_told(body: bytes) -> None:
    assert MESSAGES.answer_event(body) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_whole_answer_s_usage_is_read_also_from_its_end(whole: bool) -> None:
    answer = (
        b'{"id":"msg_1","content":[{"type":"text","text":"\\"usage\\":{}"}],"stop_reason":"end_turn","usage":{"input_tokens":9,'
        b'"cache_creation":{"ephemeral_5m_input_tokens":2},"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"output_tokens":5}}'
    )

    assert MESSAGES.usage_of(answer if whole else answer[40:]) == Usage(15, 5, 4, 2)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"usage":null}', b"7"])
def test_an_answer_without_usage_has_none(answer: bytes) -> None:
    assert MESSAGES.usage_of(answer) is None


# ---- counting tokens


def test_counting_is_no_stream_and_uses_nothing_up() -> None:
    body = orjson.dumps({**BODY, "stream": True, "container": "c"})

    view = COUNT_TOKENS.read_request(body, {})

    assert (view.model, view.stream, view.stateful) == ("claude-x", False, True)
    assert view.place is not None
    assert view.values["max_tokens"] == 9
    assert COUNT_TOKENS.usage_of(b'{"input_tokens":14,"usage":{"input_tokens":14}}') is None
    assert COUNT_TOKENS.name == "count_tokens"


def test_every_stream_has_its_own_observer() -> None:
    view = RequestView("m", stream=True)

    assert MESSAGES.observer(view) is not MESSAGES.observer(view)
