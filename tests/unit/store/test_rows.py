from __future__ import annotations

import orjson
import pytest

from proxy.exchange import Attempt, Exchange, Outcome, Usage
from proxy.store.rows import rows_of


def exchange(outcome: Outcome = Outcome.COMPLETED, *, dialect: str = "chat", route: str = "chat", tried: bool = True) -> Exchange:
    it = Exchange("r1", 100.0, 1_700_000_000.0)
    it.dialect, it.route, it.subject, it.model, it.upstream, it.status, it.stream = dialect, route, "ann", "gpt-*", "a", 200, True
    it.attempts = [Attempt("a", "gpt", 100.0)] if tried else []
    it.retries = [("a", "overloaded")]
    it.progress.first_token, it.usage, it.cost_usd = 100.25, Usage(3, 5), 0.5
    it.close(outcome, 102.0)
    return it


def test_a_call_is_one_row_at_the_time_of_its_end() -> None:
    (row,) = rows_of(exchange())

    assert (row.created_at, row.type) == (1_700_000_002.0, "openai_call")
    assert orjson.loads(row.payload) == {
        "request_id": "r1",
        "subject": "ann",
        "route": "chat",
        "model": "gpt-*",
        "upstream": "a",
        "attempts": 1,
        "provider_retry_count": 1,
        "status": 200,
        "code": "",
        "outcome": "completed",
        "ttft_ms": 250.0,
        "total_ms": 2000.0,
        "longest_gap_ms": 0.0,
        "tokens_in": 3,
        "tokens_out": 5,
        "cost_usd": 0.5,
        "stream": True,
        "client_gone": False,
    }


@pytest.mark.parametrize(
    ("dialect", "kind"),
    [
        ("messages", "anthropic_call"),
        ("gemini", "gemini_call"),
        ("converse", "bedrock_call"),
        ("responses", "openai_call"),
        ("chat:/x", "openai_call"),
    ],
)
def test_a_call_is_named_after_the_api_that_its_client_spoke(dialect: str, kind: str) -> None:
    assert [row.type for row in rows_of(exchange(dialect=dialect))] == [kind]


@pytest.mark.parametrize("outcome", [Outcome.UPSTREAM_TIMEOUT, Outcome.UPSTREAM_ERROR, Outcome.IN_BAND_ERROR])
def test_a_call_that_failed_is_an_error_besides(outcome: Outcome) -> None:
    assert [row.type for row in rows_of(exchange(outcome))] == ["openai_call", "error"]


def test_a_request_that_reached_no_upstream_is_an_error_only() -> None:
    assert [row.type for row in rows_of(exchange(Outcome.REJECTED_AUTH, tried=False))] == ["error"]


def test_a_client_that_left_is_no_error() -> None:
    assert [row.type for row in rows_of(exchange(Outcome.CLIENT_GONE))] == ["openai_call"]


@pytest.mark.parametrize("route", ["health", "ping", "test", "stop"])
def test_the_proxys_own_pages_leave_nothing(route: str) -> None:
    assert rows_of(exchange(Outcome.REJECTED_AUTH, route=route, tried=False)) == []
