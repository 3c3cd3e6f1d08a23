from __future__ import annotations

from typing import Any

import pytest

from proxy.chat import words
from proxy.chat.words import FAILED, LATE, OVERLOADED, STOPPED, Apology
from proxy.errors import (
    ClientStalled,
    Expired,
    InternalError,
    ProxyError,
    Stopped,
    UpstreamBusy,
    UpstreamErrorEvent,
    UpstreamStalled,
)


@pytest.mark.parametrize(
    ("error", "apology"),
    [(UpstreamBusy(), OVERLOADED), (UpstreamErrorEvent(), OVERLOADED), (UpstreamStalled(), LATE), (Expired(), LATE), (ClientStalled(), LATE), (InternalError(), FAILED), (Stopped(), STOPPED)],
)  # fmt: skip
def test_a_failure_has_its_sentence(error: ProxyError, apology: Apology) -> None:
    assert words.of_failure(error) == apology


@pytest.mark.parametrize(("status", "apology"), [(429, OVERLOADED), (503, OVERLOADED), (529, OVERLOADED), (504, LATE), (400, FAILED), (500, FAILED)])  # fmt: skip
def test_an_upstreams_status_has_its_sentence(status: int, apology: Apology) -> None:
    assert words.of_status(status) == apology


@pytest.mark.parametrize(
    ("error", "apology"),
    [
        ({"code": "rate_limit_exceeded"}, OVERLOADED),
        ({"type": "overloaded_error", "code": None}, OVERLOADED),
        ({"code": 429}, OVERLOADED),
        ({"code": 502}, FAILED),
        ({"code": "upstream_timeout"}, LATE),
        ({"message": "rate_limit"}, FAILED),
        ("rate_limit", FAILED),
        (None, FAILED),
    ],
)
def test_an_error_in_a_stream_is_told_by_its_code_and_type_only(error: Any, apology: Apology) -> None:
    assert words.of_event(error) == apology


def test_sentences_are_for_people_and_codes_for_programs() -> None:
    for apology in (OVERLOADED, LATE, FAILED, STOPPED):
        assert apology.message.endswith(".")
        assert apology.code.isupper()
