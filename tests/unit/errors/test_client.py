from __future__ import annotations

import pytest

from proxy.errors import BadRequest, Forbidden, MethodNotAllowed, Unauthenticated


def test_a_bad_request_says_what_is_wrong_and_where() -> None:
    plain = BadRequest("Write a model.")
    precise = BadRequest("Write a model.", detail="it was a list", param="model")

    assert (plain.public, plain.detail, plain.param) == ("Write a model.", "Write a model.", None)
    assert (precise.public, precise.detail, precise.param) == ("Write a model.", "it was a list", "model")


@pytest.mark.parametrize("refusal", [Unauthenticated, Forbidden])
def test_the_reason_of_a_refusal_is_for_the_log_only(refusal: type[Unauthenticated | Forbidden]) -> None:
    plain = refusal("expired")
    detailed = refusal("expired", "since an hour", public="Log in again.")

    assert (plain.reason, plain.detail, plain.public) == ("expired", "expired", refusal.public)
    assert (detailed.reason, detailed.detail, detailed.public) == ("expired", "since an hour", "Log in again.")


def test_a_method_that_is_not_served_is_answered_with_those_that_are() -> None:
    error = MethodNotAllowed(("GET", "HEAD"))

    assert error.allowed == ("GET", "HEAD")
    assert error.public == "This path serves GET, HEAD only."
