from __future__ import annotations

from proxy.errors import Retry, UpstreamError, UpstreamRefused
from tests.unit.errors.test_base import below


def test_an_upstream_failure_that_another_attempt_cannot_mend_is_final() -> None:
    final = {error.__name__ for error in below(UpstreamError) if error.retry is Retry.NEVER}

    assert final == {"UpstreamUnexpected"}


def test_a_refusal_of_the_upstream_keeps_what_was_judged_of_it() -> None:
    error = UpstreamRefused(429, "rate_limited", retryable=True, retry_after=7)

    assert (error.upstream_status, error.reason, error.retryable, error.retry_after) == (429, "rate_limited", True, 7)
    assert error.detail == "status 429 (rate_limited)"
    assert error.public == UpstreamRefused.public
