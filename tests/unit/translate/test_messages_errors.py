from __future__ import annotations

import orjson
import pytest

from proxy.translate.messages_errors import error_body, error_event, kind_of, kind_of_words, status_of


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (402, 402, "billing_error"),
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (408, 504, "timeout_error"),
        (409, 409, "conflict_error"),
        (413, 413, "request_too_large"),
        (418, 418, "invalid_request_error"),
        (422, 400, "invalid_request_error"),
        (424, 500, "api_error"),
        (429, 429, "rate_limit_error"),
        (498, 529, "overloaded_error"),
        (500, 500, "api_error"),
        (502, 500, "api_error"),
        (503, 529, "overloaded_error"),
        (504, 504, "timeout_error"),
        (529, 529, "overloaded_error"),
    ],
)
def test_each_status_has_its_counterpart_and_its_kind(status: int, told: int, kind: str) -> None:
    assert (status_of(status), kind_of(status)) == (told, kind)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["busy", "x"], "overloaded_error"),
        (["x", "busy"], "overloaded_error"),
        (["429"], "rate_limit_error"),
        (["1"], "api_error"),
        ([], "api_error"),
    ],
)
def test_without_a_status_the_first_word_that_is_known_tells_the_kind(words: list[str], kind: str) -> None:
    assert kind_of_words(words, {"busy": "overloaded_error"}) == kind


def test_message_and_code_are_kept() -> None:
    assert orjson.loads(error_body("api_error", "no", "r1", ["c", "t"])) == {
        "type": "error",
        "error": {"type": "api_error", "message": "no", "code": "c"},
        "request_id": "r1",
    }


def test_an_error_without_words_gets_a_sentence_and_no_code() -> None:
    error = orjson.loads(error_body("api_error", "", "r1"))["error"]

    assert error == {"type": "api_error", "message": "The model's backend reported an error."}


def test_an_event_has_its_name() -> None:
    assert error_event(b"{}") == b"event: error\ndata: {}\n\n"
