from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.translate.chat_errors import error_answer, error_body, error_event, status_of


@pytest.mark.parametrize(("theirs", "ours"), [(529, 503), (408, 504), (424, 502), (400, 400), (429, 429), (500, 500)])
def test_a_status_that_openai_does_not_have_is_told_as_one_that_it_has(theirs: int, ours: int) -> None:
    assert status_of(theirs) == ours


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (402, "insufficient_quota", "insufficient_quota"),
        (403, "permission_error", None),
        (404, "invalid_request_error", "model_not_found"),
        (409, "invalid_request_error", None),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", None),
        (503, "server_error", "overloaded"),
        (504, "server_error", "timeout"),
    ],
)
def test_type_and_code_follow_from_the_status(status: int, kind: str, code: str | None) -> None:
    told = orjson.loads(error_body(status, "m"))

    assert told == {"error": {"message": "m", "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("message", [None, "", 7, {}])
def test_an_upstream_without_words_gets_ours(message: Any) -> None:
    assert orjson.loads(error_body(500, message))["error"]["message"] == "The model's backend reported an error."


def test_half_a_surrogate_pair_is_told_as_it_came() -> None:
    assert b'"message":"\\ud83d"' in error_body(500, "\ud83d").replace(b": ", b":")


def test_an_event_begins_as_every_client_knows_an_error() -> None:
    assert error_event(529, "Overloaded").startswith(b'data: {"error":{"message":"Overloaded","type":"server_error"')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"type":"error","error":{"type":"invalid_request_error","message":"m"},"request_id":"r"}', "m"),
        (b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]', "m"),
        (b'{"message":"m"}', "m"),
        (b'{"Message":"m"}', "m"),
        (b'{"error":"m"}', "m"),
        (b"<html>", "The model's backend reported an error."),
        (b"[]", "The model's backend reported an error."),
        (b"", "The model's backend reported an error."),
    ],
)
def test_the_message_of_an_answer_is_kept_wherever_it_stands(body: bytes, message: str) -> None:
    status, told = error_answer(400, body)

    assert status == 400
    assert orjson.loads(told)["error"]["message"] == message


def test_an_answer_has_the_status_that_openai_has_for_it() -> None:
    assert error_answer(529, b'{"error":{"message":"m"}}')[0] == 503
