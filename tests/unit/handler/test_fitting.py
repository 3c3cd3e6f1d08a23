"""What an upstream's head says of its body."""

from __future__ import annotations

import re

import pytest

from proxy.dialects import CHAT
from proxy.dialects.base import Answer, Blind, Framing, RequestView
from proxy.dialects.chat import ChatObserver
from proxy.errors import UpstreamMalformed, UpstreamUnexpected
from proxy.handler.fitting import media_type_of, observer_of, require_fitting
from proxy.translate.chat_chunks import Facts
from proxy.translate.converse_to_chat import ConverseToChat
from proxy.translate.names import Names
from proxy.upstream import ResponseHead
from tests.unit.handler.calling import asked

EVENTS = b"text/event-stream"
FRAMES = b"application/vnd.amazon.eventstream"
JSON = b"application/json"
NAMES = Names(re.compile(r"\w+"))
BACK = ConverseToChat(Facts(request_id="r1", created=0, model="m", include_usage=False, names=NAMES, loops=False))


def head(status: int = 200, content_type: bytes | None = None, coding: bytes | None = None) -> ResponseHead:
    given = ((b"content-type", content_type), (b"content-encoding", coding))
    fields = {name: value for name, value in given if value is not None}
    return ResponseHead(status, tuple(fields.items()), fields)


@pytest.mark.parametrize(
    ("answer", "method", "media_type"),
    [
        (head(content_type=b"Text/Event-Stream; charset=utf-8"), b"POST", EVENTS),
        (head(content_type=b" application/json "), b"POST", JSON),
        (head(), b"POST", b""),
        (head(content_type=JSON, coding=b"gzip"), b"POST", b""),
        (head(content_type=JSON, coding=b" Identity"), b"POST", JSON),
        (head(content_type=JSON, coding=b""), b"POST", JSON),
        (head(content_type=JSON), b"HEAD", b""),
    ],
)
def test_a_body_that_cannot_be_looked_into_has_no_type(answer: ResponseHead, method: bytes, media_type: bytes) -> None:
    assert media_type_of(answer, method) == media_type


@pytest.mark.parametrize(
    ("status", "media_type", "observer", "framing"),
    [
        (200, EVENTS, ChatObserver, Framing.EVENTS),
        (200, JSON, Answer, Framing.WHOLE),
        (201, EVENTS, Blind, Framing.OPAQUE),
        (206, FRAMES, Blind, Framing.OPAQUE),
        (307, JSON, Blind, Framing.OPAQUE),
        (200, b"audio/mpeg", Blind, Framing.OPAQUE),
    ],
)
async def test_an_answer_in_the_client_s_api_is_looked_at_as_what_it_is(
    status: int, media_type: bytes, observer: type, framing: Framing
) -> None:
    async with asked() as it:
        it.call.dialect, it.call.view = CHAT, RequestView("m")

        found = observer_of(it.call, status, media_type, None)

        assert (type(found[0]), found[1]) == (observer, framing)


@pytest.mark.parametrize(("media_type", "framing"), [(EVENTS, Framing.EVENTS), (FRAMES, Framing.EVENTS), (JSON, Framing.WHOLE)])
async def test_one_that_is_translated_is_looked_at_as_what_it_becomes(media_type: bytes, framing: Framing) -> None:
    async with asked() as it:
        it.call.dialect, it.call.view = CHAT, RequestView("m")

        assert observer_of(it.call, 200, media_type, BACK)[1] is framing


@pytest.mark.parametrize(("status", "media_type"), [(200, b"text/html"), (307, JSON)])
async def test_what_nobody_translates_is_refused(status: int, media_type: bytes) -> None:
    async with asked() as it:
        it.call.dialect, it.call.view = CHAT, RequestView("m")

        with pytest.raises(UpstreamMalformed, match=f"status {status}, an answer of a type"):
            observer_of(it.call, status, media_type, BACK)


def test_what_is_framed_as_announced_may_go_on() -> None:
    require_fitting(head(), Framing.EVENTS, Framing.EVENTS)


@pytest.mark.parametrize(
    ("answer", "framing", "told"),
    [
        (head(content_type=JSON), Framing.WHOLE, "status 200, application/json"),
        (head(503), Framing.OPAQUE, "status 503, no type"),
        (head(302, content_type=EVENTS), Framing.EVENTS, "status 302"),
    ],
)
def test_what_does_not_fit_behind_an_early_commit_is_told_to_the_operator(
    answer: ResponseHead, framing: Framing, told: str
) -> None:
    with pytest.raises(UpstreamUnexpected) as refused:
        require_fitting(answer, framing, Framing.EVENTS)

    assert refused.value.detail == told
