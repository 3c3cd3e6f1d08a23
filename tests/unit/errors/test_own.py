from __future__ import annotations

from proxy.errors import LimitError, RequestError, UpstreamError
from tests.unit.errors.test_base import LEAVES


def test_the_outcomes_of_draining_and_age_are_their_own() -> None:
    words = {
        error.__name__: error.outcome.value
        for error in LEAVES
        if not issubclass(error, RequestError | LimitError | UpstreamError)
    }

    assert words == {
        "Draining": "rejected_draining",
        "Drained": "drained",
        "Expired": "expired",
        "ClientStalled": "client_stalled",
        "Stopped": "client_gone",
        "InternalError": "proxy_error",
    }
