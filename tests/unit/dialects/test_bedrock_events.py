from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL
from proxy.dialects.bedrock_events import ConverseObserver, FrameObserver, Frames, InvokeObserver
from proxy.dialects.eventstream import encode
from proxy.exchange import Usage
from tests.support.bedrock import (
    BLOCK_STOP,
    CLAUDE,
    FRAMES,
    HI,
    METADATA,
    OTHER_MODEL,
    START,
    STOP,
    STREAM_ERRORS,
    THROTTLED,
    WHOLE,
    damaged,
    delta,
    error_frame,
    event,
    exception,
    native,
)

SEEN = [NOTHING, CONTENT, CONTENT, NOTHING, NOTHING, TERMINAL]
CLAUDE_SEEN = [NOTHING, NOTHING, CONTENT, NOTHING, NOTHING, TERMINAL]
OBSERVERS = (ConverseObserver, InvokeObserver)

Verdict = tuple[bool, bool, str | None, Usage | None, bool]


def observe(*chunks: bytes, of: Callable[[], FrameObserver] = ConverseObserver) -> tuple[FrameObserver, list[int]]:
    observer = of()
    return observer, [observer.feed(data) for data in chunks]


def verdict(observer: FrameObserver) -> Verdict:
    return observer.complete(clean=True), observer.terminal, observer.error, observer.usage, observer.garbled


def pieces(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


# Converse.


def test_a_converse_stream_is_understood_event_by_event() -> None:
    observer, seen = observe(*FRAMES)

    assert seen == SEEN
    assert verdict(observer) == (True, True, None, Usage(28, 5, 6, 2), False)


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        ({"contentBlockIndex": 0, "delta": {"text": ""}}, NOTHING),
        ({"contentBlockIndex": 1, "delta": {"toolUse": {"input": ""}}}, NOTHING),
        ({"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a"'}}}, CONTENT),
        ({"contentBlockIndex": 0, "delta": {"text": '"text":""'}}, CONTENT),
        ({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "so"}}}, CONTENT),
        ({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}, CONTENT),
    ],
)
def test_a_delta_is_content_unless_it_says_nothing(payload: object, flags: int) -> None:
    _, seen = observe(event("contentBlockDelta", payload))

    assert seen == [flags]


@pytest.mark.parametrize(
    "frame",
    [
        event("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t", "name": "n"}}}),
        event("newEvent", {}),
        encode({}, b"x"),
    ],
    ids=["a block's start", "an unknown event", "no headers at all"],
)
def test_other_events_show_nothing_and_harm_nothing(frame: bytes) -> None:
    observer, seen = observe(START, frame, HI, STOP)

    assert seen == [NOTHING, NOTHING, CONTENT, NOTHING]
    assert observer.complete(clean=True)


@pytest.mark.parametrize(
    ("frames", "complete"),
    [
        ((), False),
        ((START,), False),
        ((START, HI, BLOCK_STOP), False),
        ((START, HI, METADATA), False),
        ((START, HI, STOP), True),
        ((START, HI, STOP, METADATA), True),
        ((START, HI, STOP, METADATA[:-1]), False),
        ((START, HI, STOP, THROTTLED), False),
        ((START, HI, STOP, damaged(METADATA)), False),
    ],
    ids=["nothing", "begun", "no messageStop", "only metadata", "stopped", "whole", "half a frame", "an error", "damaged"],
)
def test_an_answer_is_complete_with_its_message_stop_and_nothing_left_over(frames: tuple[bytes, ...], complete: bool) -> None:
    observer, _ = observe(*frames)

    assert observer.complete(clean=True) is complete
    assert not observer.complete(clean=False)


def test_the_last_event_is_the_one_with_the_usage() -> None:
    """Until it has come, the upstream is not asked to hurry."""
    observer, seen = observe(START, HI, STOP)

    assert TERMINAL not in seen
    assert observer.feed(METADATA) == TERMINAL


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"usage":7}', b"\xff"])
def test_metadata_that_cannot_be_read_says_nothing_of_the_usage(payload: bytes) -> None:
    observer, _ = observe(STOP, encode({":event-type": "metadata", ":message-type": "event"}, payload))

    assert observer.usage is None
    assert observer.complete(clean=True)


# Invoke.


def test_claude_s_own_stream_is_understood_event_by_event() -> None:
    observer, seen = observe(*CLAUDE, of=InvokeObserver)

    assert seen == CLAUDE_SEEN
    assert verdict(observer) == (True, True, None, Usage(16, 4, 3, 2), False)


@pytest.mark.parametrize("count", range(1, len(CLAUDE)))
def test_claude_s_own_stream_is_not_complete_without_its_last_event(count: int) -> None:
    observer, _ = observe(*CLAUDE[:count], of=InvokeObserver)

    assert not observer.complete(clean=True)


def test_another_model_s_stream_is_content_and_ends_with_its_framing() -> None:
    observer, seen = observe(*OTHER_MODEL, of=InvokeObserver)

    assert seen == [CONTENT, CONTENT]
    assert observer.usage == Usage(11, 4)
    assert observer.complete(clean=True)
    assert not observer.complete(clean=False)


def test_an_error_of_claude_s_own_fails_the_stream() -> None:
    told = native({"type": "error", "error": {"type": "overloaded_error", "message": "m"}})

    observer, seen = observe(CLAUDE[0], told, of=InvokeObserver)

    assert (seen, observer.error) == ([NOTHING, FAILED], "overloaded_error")
    assert not observer.complete(clean=True)


def test_a_ping_is_no_content() -> None:
    _, seen = observe(native({"type": "ping"}), of=InvokeObserver)

    assert seen == [PING]


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b'{"bytes":7}', b'{"bytes":"%%%"}', b'{"bytes":"YQ"}', b'{"bytes":"YQ=="}', b'{"bytes":"W10="}']
)
def test_a_chunk_that_is_no_json_is_a_model_s_content(payload: bytes) -> None:
    observer, seen = observe(encode({":event-type": "chunk", ":message-type": "event"}, payload), of=InvokeObserver)

    assert seen == [CONTENT]
    assert observer.complete(clean=True)


@pytest.mark.parametrize(
    "told", [{"type": "message_start"}, {"type": "message_start", "message": 7}, {"type": "message_delta", "usage": []}]
)
def test_a_strange_event_of_claude_s_is_borne(told: dict[str, object]) -> None:
    observer, _ = observe(native(told), *CLAUDE[1:], of=InvokeObserver)

    assert observer.complete(clean=True)


# Errors.


@pytest.mark.parametrize("of", OBSERVERS)
@pytest.mark.parametrize("name", [*STREAM_ERRORS, "newException"])
def test_an_exception_fails_the_stream_under_its_own_name(name: str, of: Callable[[], FrameObserver]) -> None:
    observer, seen = observe(exception(name), of=of)

    assert (seen, observer.error) == ([FAILED], name)
    assert not observer.complete(clean=True)


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (error_frame("InternalFailure"), "InternalFailure"),
        (encode({":message-type": "error"}, b""), "error"),
        (exception("x" * 200), "x" * 64),
    ],
)
def test_an_error_frame_fails_the_stream_too(frame: bytes, word: str) -> None:
    observer, seen = observe(START, frame)

    assert (seen, observer.error) == ([NOTHING, FAILED], word)


# Bytes that are no frames.


@pytest.mark.parametrize("of", OBSERVERS)
@pytest.mark.parametrize(
    "bad", [damaged(HI), damaged(HI, 9), damaged(HI, 2), b"HTTP/1.1 502 ", b'{"message":"no"}'], ids=lambda bad: repr(bad[:9])
)
def test_bytes_that_are_no_frame_fail_the_stream_once_and_for_all(bad: bytes, of: Callable[[], FrameObserver]) -> None:
    observer, seen = observe(START, bad, HI, STOP, METADATA, of=of)

    assert seen[1:] == [FAILED, NOTHING, NOTHING, NOTHING]
    assert observer.garbled
    assert not observer.complete(clean=True)


def test_good_frames_before_bad_bytes_are_still_seen() -> None:
    observer, seen = observe(START + HI + b"\0" * 12, b"", b"more")

    assert seen[0] == CONTENT
    assert observer.garbled


def test_what_is_no_frame_comes_out_once() -> None:
    frames = Frames()

    assert list(frames.feed(b"\0" * 20)) == [b"\0" * 20]
    frames.garbled = True
    assert list(frames.feed(HI)) == []


# However it is cut.


@pytest.mark.parametrize(
    ("stream", "of"),
    [
        (WHOLE, ConverseObserver),
        (START + HI + THROTTLED, ConverseObserver),
        (START + damaged(HI) + STOP, ConverseObserver),
        (START + HI + b"no frame at all", ConverseObserver),
        (b"".join(CLAUDE), InvokeObserver),
        (b"".join(OTHER_MODEL), InvokeObserver),
    ],
    ids=["whole", "error", "damaged", "garbage", "Claude's", "another model's"],
)
@given(places=st.lists(st.integers(min_value=0), max_size=9))
def test_a_stream_means_the_same_however_it_is_cut(stream: bytes, of: Callable[[], FrameObserver], places: list[int]) -> None:
    byte_by_byte, each = observe(*(stream[at : at + 1] for at in range(len(stream))), of=of)

    observer, seen = observe(*pieces(stream, places), b"", of=of)

    assert verdict(observer) == verdict(byte_by_byte)
    assert {flag for flag in (CONTENT, TERMINAL, FAILED) if any(flag & flags for flags in seen)} == {
        flag for flag in (CONTENT, TERMINAL, FAILED) if any(flag & flags for flags in each)
    }


def test_a_long_text_is_one_event() -> None:
    frame = delta("x" * 1_000_000)

    observer, seen = observe(frame[:70_000], frame[70_000:])

    assert seen == [NOTHING, CONTENT]
    assert observer.splitter.lost == 0
    assert not observer.splitter.id_seen
