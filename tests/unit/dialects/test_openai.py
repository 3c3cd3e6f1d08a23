from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import CHAT
from proxy.dialects.keepalives import Comment
from proxy.dialects.openai import error_word, read_json, told_error, usage_in
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
    UpstreamBusy,
    UpstreamCredentials,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.exchange import Usage
from tests.support.whatwg import openai_events


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BadRequest("The field 'model' is missing.", param="model"), "invalid_request_error", "invalid_request"),
        (Unauthenticated("expired"), "authentication_error", "invalid_credentials"),
        (Forbidden("model_not_allowed"), "permission_error", "forbidden"),
        (ModelNotFound(), "invalid_request_error", "model_not_found"),
        (BodyTooLarge(), "invalid_request_error", "body_too_large"),
        (TooManyStreamsOfSubject(), "rate_limit_error", "too_many_streams_of_subject"),
        (Draining(), "server_error", "draining"),
        (UpstreamBusy(), "server_error", "upstream_busy"),
        (UpstreamTimeout(), "server_error", "upstream_timeout"),
        (InternalError(), "server_error", "internal_error"),
    ],
)
def test_an_error_is_told_in_openai_s_words(error: ProxyError, kind: str, code: str) -> None:
    body = orjson.loads(CHAT.error_body(error, "r1"))

    assert body == {
        "error": {"message": error.public, "type": kind, "param": getattr(error, "param", None), "code": code, "request_id": "r1"}
    }


def test_an_operator_s_detail_never_reaches_a_client() -> None:
    error = UpstreamCredentials("status 401 from 10.0.0.7 with sk-s3cr3t")

    told = CHAT.error_body(error, "r1") + CHAT.error_event(error, "r1", None)

    assert b"s3cr3t" not in told
    assert b"10.0.0.7" not in told


def test_an_error_in_the_stream_has_the_bytes_that_go_openai_looks_for() -> None:
    """`error` first and no space behind the brace; no `choices`, which would hide it from the AI SDK; no invented end."""
    event = CHAT.error_event(UpstreamTruncated(), "r1", None)

    assert event.startswith(b'data: {"error":{')
    assert event.endswith(b"}\n\n")
    assert b"choices" not in event
    assert b"[DONE]" not in event
    assert len(openai_events([event])) == 1


def test_its_own_error_is_an_error_in_the_eyes_of_its_own_observer() -> None:
    observer = CHAT.observer(CHAT.read_request(b'{"model":"m"}', {}))

    observer.feed(CHAT.error_event(UpstreamTruncated(), "r1", observer))

    assert observer.error == "upstream_truncated"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"code":"x","message":"m"}}', {"code": "x", "message": "m"}),
        (b'{"id":1,"error":{"message":"m"},"choices":[]}', {"message": "m"}),
        (b'{"error":"boom"}', "boom"),
        (b'{"object":"error","message":"m","type":"t","code":400}', {"message": "m", "type": "t", "code": 400}),
        (b'[{"error":{"code":503,"status":"UNAVAILABLE"}}]', {"code": 503, "status": "UNAVAILABLE"}),
    ],
)
def test_an_upstream_s_error_body_becomes_an_error_in_the_stream(body: bytes, error: Any) -> None:
    event = CHAT.answer_event(body)

    assert event is not None
    assert event.startswith(b'data: {"error":')
    assert orjson.loads(event[6:]) == {"error": error}
    assert told_error(body) == error


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"error":null}', b'{"error":""}', b"[]", b"[1]", b"1", b'{"message":"m"}', b'{"error":{"cut'],
)
def test_a_body_that_tells_no_error_is_not_told(body: bytes) -> None:
    assert CHAT.answer_event(body) is None


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"code": "c", "type": "t"}, "c"),
        ({"code": None, "type": "t"}, "t"),
        ({"code": 502}, "502"),
        ({"message": "m"}, "error"),
        ({}, "error"),
        ("boom", "error"),
        (None, "error"),
        ({"code": "x" * 100}, "x" * 64),
    ],
)
def test_an_upstream_s_word_for_an_error_is_its_code_or_its_type(error: Any, word: str) -> None:
    assert error_word(error) == word


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' {"a":1}\n', {"a": 1}),
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":1e999}', {"a": float("inf")}),
        (b"[]", None),
        (b"1", None),
        (b"null", None),
        (b"", None),
        (b'{"a":', None),
        (b"[" * 100_000, None),
        (b'{"a":' + b"1" * 5000 + b"}", None),
    ],
)
def test_json_is_read_as_leniently_as_clients_do_and_never_fails(data: bytes, value: Any) -> None:
    assert read_json(data) == value


def test_a_request_is_read_for_what_the_proxy_needs_and_no_more() -> None:
    body = b'{"stream":true,"messages":[{"role":"user","content":"Hi"}],"model":"gpt-4o-mini","n":2}'

    view = CHAT.read_request(body, {})

    assert (view.model, view.stream, view.stateful, view.values["n"]) == ("gpt-4o-mini", True, False, 2)
    assert view.place is not None
    assert view.place.with_model("other") == body.replace(b"gpt-4o-mini", b"other")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"stream":true}', b'{"model":"m","stream":"yes"}'])
def test_a_request_that_cannot_be_understood_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        CHAT.read_request(body, {})


def test_a_whole_answer_s_usage_is_read() -> None:
    answer = b'{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2},"service_tier":"default"}'

    assert CHAT.usage_of(answer) == Usage(9, 2)
    assert CHAT.usage_of(answer[20:]) == Usage(9, 2), "its end is enough"
    assert CHAT.usage_of(b'{"usage":null}') is None


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        pytest.param(b'{"usage":{"a":1},"choices":[{"usage":{"a":2}}]}', {"a": 1}, id="not what stands below another key"),
        pytest.param(b'{"usage":{"a":1},"score":NaN}', {"a": 1}, id="in what is not quite JSON"),
        pytest.param(b'{"choices":[{"usage":{"a":2}}]}', None, id="none"),
        pytest.param(b'{"us\\u0061ge":{"a":1}}', {"a": 1}, id="however its key is written"),
        pytest.param(b'0.1,"usage":{"a":1},"x":{"usage":2}}', {"a": 1}, id="an end in which it stands twice"),
        pytest.param(b"<html>", None, id="no JSON"),
    ],
)
def test_usage_is_that_of_the_answer_itself(answer: bytes, usage: Any) -> None:
    assert usage_in(answer) == usage


def test_the_own_keepalive_is_a_comment() -> None:
    assert isinstance(CHAT.keepalive(), Comment)


def test_a_deployment_in_the_path_is_the_model_whatever_the_body_says() -> None:
    for body in (b'{"messages":[]}', b'{"model":"other","messages":[]}', b'{"model":7,"messages":[]}'):
        view = CHAT.read_request(body, {"deployment": "mine"})

        assert view.model == "mine"
        assert view.place is not None
        assert orjson.loads(view.place.with_model("m")) == {"model": "m", "messages": []}


def test_a_deployment_that_no_text_names_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        CHAT.read_request(b"{}", {"deployment": "\udce9"})
