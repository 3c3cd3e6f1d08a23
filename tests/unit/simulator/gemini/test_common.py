from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import Kind
from proxy.simulator.dialect import Failure
from proxy.simulator.gemini import common

RPC = "type.googleapis.com/google.rpc."


def failure(status: int = 500, **more: Any) -> Failure:
    return Failure(status=status, kind=Kind.SERVER, message="Oh.", **more)


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (400, None, (400, "INVALID_ARGUMENT")),
        (404, None, (404, "NOT_FOUND")),
        (405, None, (405, "INVALID_ARGUMENT")),
        (500, None, (500, "INTERNAL")),
        (502, None, (502, "INTERNAL")),
        (503, None, (503, "UNAVAILABLE")),
        (504, None, (504, "DEADLINE_EXCEEDED")),
        (500, "server_error", (500, "INTERNAL")),
        (500, "unavailable", (503, "UNAVAILABLE")),
    ],
)
def test_error_has_a_number_and_a_word(status: int, code: str | None, word: tuple[int, str]) -> None:
    error = common.error_object(failure(status, code=code))["error"]

    assert (error["code"], error["status"]) == word
    assert error["message"] == "Oh."


def test_quota_says_in_the_body_when_to_come_back() -> None:
    refusal = common.refuse(failure(429, retry_after=1.5), "ab12")

    details = orjson.loads(refusal.body)["error"]["details"]
    assert [detail["@type"] for detail in details] == [f"{RPC}QuotaFailure", f"{RPC}RetryInfo"]
    assert details[0]["violations"]
    assert details[1]["retryDelay"] == "1.5s"
    assert refusal.headers == {}


def test_quota_without_a_wait_has_no_retry_info() -> None:
    (detail,) = common.error_object(failure(429))["error"]["details"]

    assert detail["@type"] == f"{RPC}QuotaFailure"


def test_wrong_field_is_a_violation() -> None:
    (detail,) = common.error_object(failure(400, param="contents"))["error"]["details"]

    assert detail == {"@type": f"{RPC}BadRequest", "fieldViolations": [{"field": "contents", "description": "Oh."}]}


def test_other_errors_have_no_details() -> None:
    assert "details" not in common.error_object(failure(500))["error"]


def test_headers_are_those_of_google() -> None:
    assert common.headers("ab12", 12)["Server-Timing"] == "gfet4t7; dur=12"


def test_names_in_snake_case_are_names_in_camel_case_and_null_is_absent() -> None:
    given = {"generation_config": {"top_p": 1}, "contents": [], "topK": 1, "tools": None}

    assert common.camel(given) == {"generationConfig": {"top_p": 1}, "contents": [], "topK": 1}
