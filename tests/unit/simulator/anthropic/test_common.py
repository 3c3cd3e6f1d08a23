from __future__ import annotations

import re

import orjson
import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.anthropic import common
from proxy.simulator.dialect import Failure


def failure(status: int = 500, *, kind: Kind = Kind.SERVER, code: str | None = None, wait: float | None = None) -> Failure:
    return Failure(status=status, kind=kind, message="Oh.", code=code, param="n", retry_after=wait)


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, Kind.INVALID_REQUEST, "invalid_request_error"),
        (404, Kind.NOT_FOUND, "not_found_error"),
        (405, Kind.INVALID_REQUEST, "invalid_request_error"),
        (413, Kind.TOO_LARGE, "request_too_large"),
        (429, Kind.RATE_LIMIT, "rate_limit_error"),
        (500, Kind.SERVER, "api_error"),
        (502, Kind.SERVER, "api_error"),
        (504, Kind.SERVER, "timeout_error"),
        (529, Kind.SERVER, "overloaded_error"),
    ],
)
def test_error_body_has_the_type_of_its_status_and_the_id_of_its_request(status: int, kind: Kind, word: str) -> None:
    refusal = common.refuse(failure(status, kind=kind), "ab12")

    assert orjson.loads(refusal.body) == {"type": "error", "error": {"type": word, "message": "Oh."}, "request_id": "req_ab12"}


def test_code_that_is_a_type_of_this_api_wins_over_the_status() -> None:
    assert common.error_object(failure(500, code="overloaded_error"), "ab12")["error"]["type"] == "overloaded_error"
    assert common.error_object(failure(500, code="server_error"), "ab12")["error"]["type"] == "api_error"


def test_spend_limit_says_so_and_not_when_to_come_back() -> None:
    limited = common.refuse(failure(429, wait=7.0), "ab12")
    spent = common.refuse(failure(429, wait=7.0, code="insufficient_quota"), "ab12")

    assert limited.headers == {"Retry-After": "7"}
    assert spent.headers == {}
    assert orjson.loads(spent.body)["error"]["type"] == "rate_limit_error"
    assert orjson.loads(spent.body)["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}


def test_headers_are_those_of_anthropic() -> None:
    headers = common.headers("ab12", 12)

    assert headers["request-id"] == "req_ab12"
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert int(headers[f"anthropic-ratelimit-{what}-limit"]) == int(headers[f"anthropic-ratelimit-{what}-remaining"]) > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers[f"anthropic-ratelimit-{what}-reset"])


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_version_of_the_api_is_read(version: str) -> None:
    assert common.known_version({"anthropic-version": version}) == version


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "1999-01-01"}, {"anthropic-version": ""}])
def test_missing_and_unknown_version_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        common.known_version(headers)

    assert refused.value.param == "anthropic-version"


def test_frame_bears_the_name_of_its_type_and_a_ping_is_written_as_the_api_writes_it() -> None:
    assert common.frame({"type": "message_stop"}) == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert common.frame({"type": "ping"}) == b'event: ping\ndata: {"type": "ping"}\n\n'
