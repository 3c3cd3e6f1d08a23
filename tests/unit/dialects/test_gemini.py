from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import GEMINI, GEMINI_STREAM
from proxy.dialects.base import Answer, Blind, Framing, RequestView
from proxy.dialects.gemini_stream import GeminiArrayObserver, GeminiObserver
from proxy.dialects.keepalives import Blank
from proxy.errors import (
    BadRequest,
    BodyTooLarge,
    Draining,
    Forbidden,
    InternalError,
    ModelNotFound,
    ProxyError,
    TooManyStreamsOfSubject,
    Unauthenticated,
    UpstreamCredentials,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.exchange import Usage
from proxy.retry import parse_retry_after

ASKED: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "yo"}]}]}


def read(body: bytes | dict[str, Any], model: str = "gemini-2.5-flash", *, stream: bool = False) -> RequestView:
    dialect = GEMINI_STREAM if stream else GEMINI
    return dialect.read_request(body if isinstance(body, bytes) else orjson.dumps(body), {"model": model})


def told(error: ProxyError) -> dict[str, Any]:
    answer = orjson.loads(GEMINI.error_body(error, "r1"))["error"]
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("stream", [False, True])
def test_the_path_says_which_model_and_whether_to_stream(stream: bool) -> None:
    view = read({**ASKED, "model": "models/other", "stream": not stream}, stream=stream)

    assert (view.model, view.stream) == ("gemini-2.5-flash", stream)
    assert view.place is None
    assert view.values["contents"] == ASKED["contents"]


def test_a_model_that_no_text_names_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        read(ASKED, "\udce9")


@pytest.mark.parametrize(
    ("config", "candidates"),
    [
        ({"generationConfig": {"candidateCount": 3}}, 3),
        ({"generation_config": {"candidate_count": 2}}, 2),
        ({"generationConfig": {"candidateCount": 0}}, 1),
        ({"generationConfig": {"candidateCount": "3"}}, 1),
        ({"generationConfig": None}, 1),
        ({"generationConfig": []}, 1),
        ({}, 1),
    ],
)
def test_as_many_candidates_are_expected_as_were_asked_for(config: dict[str, Any], candidates: int) -> None:
    observer = GEMINI_STREAM.observer(read({**ASKED, **config}, stream=True))

    assert isinstance(observer, GeminiObserver)
    assert observer._candidates == candidates


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"7", b'{"a":', b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


def test_half_a_surrogate_pair_is_borne() -> None:
    assert read(b'{"contents":"\\ud800"}').values


# ---- the two ways to write a stream


@pytest.mark.parametrize("query", [b"?alt=sse", b"?a=1&alt=sse", b"?%61lt=sse", b"?$alt=sse", b"?alt=sse&alt=sse"])
def test_events_are_for_those_who_ask_for_them(query: bytes) -> None:
    assert GEMINI_STREAM.asked_with(query) is GEMINI_STREAM
    assert isinstance(GEMINI_STREAM.keepalive(), Blank)


@pytest.mark.parametrize(
    "query", [b"", b"?", b"?alt=json", b"?alt=SSE", b"?alt=", b"?alt=sse&alt=json", b"?alt=&alt=sse", b"?xalt=sse"]
)
def test_any_other_stream_is_an_array_that_is_never_committed_early(query: bytes) -> None:
    """Its head would promise events, and white space is all that could be put into it."""
    array = GEMINI_STREAM.asked_with(query)

    assert array.keepalive() is None
    assert array.name == "gemini_array"
    assert read(ASKED).stream is False
    assert array.read_request(orjson.dumps(ASKED), {"model": "m"}).stream


def test_a_whole_answer_has_no_forms() -> None:
    assert GEMINI.asked_with(b"") is GEMINI


@pytest.mark.parametrize(
    ("stream", "media_type", "observer", "framing"),
    [
        (True, b"text/event-stream", GeminiObserver, Framing.EVENTS),
        (True, b"application/json", GeminiArrayObserver, Framing.OPAQUE),
        (False, b"application/json", Answer, Framing.WHOLE),
        (False, b"text/html", Blind, Framing.OPAQUE),
        (True, b"", Blind, Framing.OPAQUE),
    ],
)
def test_an_answer_is_read_by_its_type(stream: bool, media_type: bytes, observer: type, framing: Framing) -> None:
    seen, cut = (GEMINI_STREAM if stream else GEMINI).observed(read(ASKED, stream=stream), media_type)

    assert type(seen) is observer
    assert cut is framing


def test_a_whole_answer_s_usage_is_read_also_from_its_end() -> None:
    answer = b'{"candidates": [], "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}}'

    assert GEMINI.usage_of(answer) == GEMINI.usage_of(answer[18:]) == Usage(8, 5, reasoning=3)
    assert GEMINI.usage_of(b'{"totalTokens": 31}') is None
    assert GEMINI.usage_of(b"<html>") is None


# ---- errors


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BadRequest("The body is wrong."), 400, "INVALID_ARGUMENT"),
        (Unauthenticated("expired"), 401, "UNAUTHENTICATED"),
        (Forbidden("model_not_allowed"), 403, "PERMISSION_DENIED"),
        (ModelNotFound(), 404, "NOT_FOUND"),
        (BodyTooLarge(), 413, "INVALID_ARGUMENT"),
        (TooManyStreamsOfSubject(), 429, "RESOURCE_EXHAUSTED"),
        (Draining(), 503, "UNAVAILABLE"),
        (UpstreamTimeout(), 504, "DEADLINE_EXCEEDED"),
        (InternalError(), 500, "INTERNAL"),
    ],
)
def test_an_error_is_told_in_google_s_words(error: ProxyError, code: int, status: str) -> None:
    answer = told(error)

    assert (answer["code"], answer["status"], answer["message"]) == (code, status, error.public)
    assert answer["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code,
            "domain": "llm-stream-proxy",
            "metadata": {"request_id": "r1"},
        }
    ]


def test_an_error_names_the_field_that_is_wrong() -> None:
    violation = told(BadRequest("It is wrong.", param="tools"))["details"][1]

    assert violation == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "tools", "description": "It is wrong."}],
    }


def test_an_error_says_how_long_to_wait_as_google_does() -> None:
    body = GEMINI.error_body(UpstreamTimeout("late", retry_after=2.5), "r1")

    wait = orjson.loads(body)["error"]["details"][1]
    assert wait == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.500s"}
    assert parse_retry_after({}, body, 0.0) == 2.5


def test_an_operator_s_detail_never_reaches_a_client() -> None:
    error = UpstreamCredentials("status 401 from 10.0.0.7 with AIza-s3cr3t")

    assert b"s3cr3t" not in GEMINI.error_body(error, "r1") + GEMINI_STREAM.error_event(error, "r1", None)


def test_an_error_in_a_stream_is_one_event_with_a_number_for_its_code() -> None:
    event = GEMINI_STREAM.error_event(UpstreamTruncated(), "r1", None)

    assert event.startswith(b'data: {"error":{"code":502,')
    assert event.endswith(b"}\r\n\r\n")
    assert event.count(b"\n") == 2
    observer = GeminiObserver(1)
    observer.feed(event)
    assert observer.error == "INTERNAL"


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b'{"error": {"code": 429, "status": "X"}}', b'data: {"error":{"code":429,"status":"X"}}\r\n\r\n'),
        (b'[{"error": {"code": 429, "status": "X"}}]', b'data: {"error":{"code":429,"status":"X"}}\r\n\r\n'),
        (b'{"error": {"code": "429"}}', None),
        (b'{"error": "busy"}', None),
        (b'{"detail": "x"}', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_an_upstream_s_error_is_told_in_the_stream_where_clients_can_read_it(body: bytes, event: bytes | None) -> None:
    assert GEMINI_STREAM.answer_event(body) == event
