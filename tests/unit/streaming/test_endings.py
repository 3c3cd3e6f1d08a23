from __future__ import annotations

import pytest

from proxy.dialects import CHAT, PLAIN, RESPONSES
from proxy.dialects.base import Dialect, RequestView
from proxy.dialects.endpoints import CONVERSE_STREAM
from proxy.errors import InternalError, ProxyError, UpstreamErrorEvent, UpstreamMalformed, UpstreamReset, UpstreamTruncated
from proxy.streaming.endings import CLEAN, broken, failure_of, told
from proxy.upstream import BodyEnd
from tests.support import bedrock
from tests.support.answers import COMPLETED, CREATED, ERROR_EVENT, FINISH, TEXT_DELTA, TOKEN, numbered
from tests.support.upstream import DONE

FAILED = numbered("response.failed", 5, response={"id": "resp_1", "status": "failed", "error": {"code": "server_error"}})

BROKEN = {
    BodyEnd.COMPLETE: UpstreamTruncated,
    BodyEnd.CLOSED: UpstreamTruncated,
    BodyEnd.CUT: UpstreamTruncated,
    BodyEnd.RESET: UpstreamReset,
    BodyEnd.MALFORMED: UpstreamMalformed,
    BodyEnd.FAULT: InternalError,
}


def test_every_end_has_a_name_among_the_failures() -> None:
    assert set(BROKEN) == set(BodyEnd)


@pytest.mark.parametrize(("end", "error"), BROKEN.items())
def test_end_in_the_middle_is_named_by_how_the_connection_ended(end: BodyEnd, error: type[ProxyError]) -> None:
    assert type(broken(end)) is error


def test_missing_end_is_told_apart_from_a_cut() -> None:
    assert broken(BodyEnd.COMPLETE).detail != broken(BodyEnd.CUT).detail


@pytest.mark.parametrize("end", [end for end in BodyEnd if end is not BodyEnd.FAULT])
@pytest.mark.parametrize(
    ("dialect", "events"), [(CHAT, TOKEN + DONE), (CHAT, TOKEN + FINISH + DONE), (RESPONSES, CREATED + TEXT_DELTA + COMPLETED)]
)
def test_after_the_last_event_it_does_not_matter_how_the_connection_ends(dialect: Dialect, events: bytes, end: BodyEnd) -> None:
    observer = dialect.observer(RequestView("m"))
    observer.feed(events)

    assert failure_of(observer, end) is None


@pytest.mark.parametrize("end", [end for end in BodyEnd if end is not BodyEnd.FAULT])
@pytest.mark.parametrize(("dialect", "events"), [(CHAT, TOKEN + FINISH), (PLAIN, TOKEN)])
def test_where_there_is_no_last_event_a_clean_framing_is_the_end(dialect: Dialect, events: bytes, end: BodyEnd) -> None:
    observer = dialect.observer(RequestView("m"))
    observer.feed(events)

    failure = failure_of(observer, end)

    assert (failure is None) is (end in CLEAN)


@pytest.mark.parametrize("end", [end for end in BodyEnd if end is not BodyEnd.FAULT])
@pytest.mark.parametrize(
    ("dialect", "events"), [(CHAT, TOKEN + ERROR_EVENT), (CHAT, TOKEN + ERROR_EVENT + DONE), (RESPONSES, CREATED + FAILED)]
)
def test_error_told_in_the_stream_is_its_end(dialect: Dialect, events: bytes, end: BodyEnd) -> None:
    observer = dialect.observer(RequestView("m"))
    observer.feed(events)

    failure = failure_of(observer, end)

    assert type(failure) is UpstreamErrorEvent
    assert observer.error is not None
    assert observer.error in failure.detail


@pytest.mark.parametrize("events", [TOKEN, TOKEN + DONE, TOKEN + ERROR_EVENT])
def test_fault_of_our_own_is_ours_whatever_came_before(events: bytes) -> None:
    observer = CHAT.observer(RequestView("m"))
    observer.feed(events)

    assert type(failure_of(observer, BodyEnd.FAULT)) is InternalError


@pytest.mark.parametrize("events", [b"", TOKEN[:-1], TOKEN, TOKEN + b"data: {"])
def test_stream_that_stops_short_is_no_answer(events: bytes) -> None:
    observer = CHAT.observer(RequestView("m"))
    observer.feed(events)

    assert type(failure_of(observer, BodyEnd.COMPLETE)) is UpstreamTruncated


FRAME_ENDS = {
    "whole": (bedrock.WHOLE, None),
    "stopped": (bedrock.START + bedrock.HI + bedrock.STOP, None),
    "no last event": (bedrock.START + bedrock.HI, UpstreamTruncated),
    "half a frame": (bedrock.WHOLE[:-1], UpstreamTruncated),
    "an exception": (bedrock.START + bedrock.THROTTLED, UpstreamErrorEvent),
    "a damaged frame": (bedrock.START + bedrock.damaged(bedrock.HI) + bedrock.STOP, UpstreamMalformed),
}


@pytest.mark.parametrize(("frames", "error"), FRAME_ENDS.values(), ids=FRAME_ENDS)
def test_binary_stream_is_finished_with_its_last_event_and_nothing_left_over(
    frames: bytes, error: type[ProxyError] | None
) -> None:
    observer = CONVERSE_STREAM.observer(RequestView("m"))
    observer.feed(frames)

    failure = failure_of(observer, BodyEnd.COMPLETE)

    assert (None if failure is None else type(failure)) is error


@pytest.mark.parametrize(("end", "error"), [(BodyEnd.CUT, UpstreamTruncated), (BodyEnd.RESET, UpstreamReset)])
def test_binary_stream_whose_connection_broke_is_not_finished(end: BodyEnd, error: type[ProxyError]) -> None:
    observer = CONVERSE_STREAM.observer(RequestView("m"))
    observer.feed(bedrock.WHOLE)

    assert type(failure_of(observer, end)) is error


def test_what_the_bytes_tell_is_told_without_an_end() -> None:
    good, failed, garbled = (CONVERSE_STREAM.observer(RequestView("m")) for _ in range(3))
    good.feed(bedrock.WHOLE)
    failed.feed(bedrock.THROTTLED)
    garbled.feed(b"HTTP/1.1 502 Bad Gateway")

    assert told(good) is None
    assert type(told(failed)) is UpstreamErrorEvent
    assert type(told(garbled)) is UpstreamMalformed
