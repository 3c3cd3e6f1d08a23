from __future__ import annotations

import math

import pytest

from proxy.exchange import Attempt, Exchange, Outcome, Phase, Usage
from proxy.metrics.families import Counter, Histogram
from proxy.metrics.tally import Tallies
from proxy.metrics.totals import RequestTotals, UpstreamTotals
from tests.support.exchanges import exchange_with
from tests.unit.metrics.exchanges import STARTED, admitted, completed_stream, left, refused


def requests(*exchanges: Exchange) -> RequestTotals:
    totals = RequestTotals()
    tallies = Tallies(totals.fold)
    for exchange in exchanges:
        assert exchange.outcome is not None
        assert exchange.ended is not None
        tallies.add(exchange, exchange.outcome, exchange.ended)
        totals.add_rare(exchange, exchange.outcome)
    tallies.fold()
    return totals


def upstreams(*exchanges: Exchange) -> UpstreamTotals:
    totals = UpstreamTotals()
    tallies = Tallies(totals.fold)
    for exchange in exchanges:
        tallies.add(exchange, exchange.outcome or Outcome.COMPLETED, STARTED)
        totals.add_rare(exchange)
    tallies.fold()
    return totals


def total(family: Histogram, *labels: str) -> tuple[float, float]:
    """Return count and sum of one series."""
    cell = family.cells[labels]
    return sum(cell[:-1]), cell[-1]


def test_a_request_is_counted_by_how_it_ended() -> None:
    totals = requests(completed_stream(), completed_stream(), refused(), left())

    assert totals.total.cells == {
        ("chat", "openai", "chat", "true", "200", "completed"): 2,
        ("chat", "none", "chat", "false", "401", "rejected_auth"): 1,
        ("chat", "openai", "chat", "true", "none", "client_gone"): 1,
    }


def test_durations_run_from_admission() -> None:
    totals = requests(completed_stream())

    assert total(totals.duration, "chat", "openai", "true") == (1, 3.0)
    assert total(totals.first_token, "chat", "openai") == (1, 0.5)


def test_own_time_leaves_out_waiting_for_upstreams() -> None:
    totals = requests(completed_stream())

    assert total(totals.overhead, "chat") == (1, 1 / 512)


def test_own_time_of_a_refusal_is_all_of_it() -> None:
    totals = requests(refused())

    assert total(totals.overhead, "chat") == (1, 1 / 4096)
    assert totals.overhead.cells["chat",][1] == 1  # up to 0.25 ms


def test_own_time_is_never_negative() -> None:
    exchange = admitted()
    exchange.waited = 9.0
    exchange.close(Outcome.COMPLETED, STARTED + 1)

    totals = requests(exchange)

    assert total(totals.overhead, "chat") == (1, 0.0)


def test_no_first_token_no_time_to_it() -> None:
    assert requests(left(), refused()).first_token.cells == {}


@pytest.mark.parametrize("phase", list(Phase))
def test_a_client_that_leaves_is_counted_by_what_it_waited_for(phase: Phase) -> None:
    totals = requests(left(phase), completed_stream())

    assert totals.disconnects.cells == {("chat", phase.value): 1}


def test_cancelling_is_timed_from_the_client_to_the_upstream() -> None:
    totals = requests(left(), completed_stream())

    assert total(totals.cancel) == (1, 1 / 512)


def test_a_refusal_for_credentials_has_a_reason() -> None:
    assert requests(refused(), completed_stream()).auth_failures.cells == {("expired",): 1}


def test_an_early_commit_is_counted() -> None:
    exchange = completed_stream()
    exchange.committed_early = True

    assert requests(exchange, completed_stream()).committed_early.cells == {("chat",): 1}


def test_every_attempt_is_counted_with_its_result() -> None:
    exchange = completed_stream()
    exchange.attempts.insert(0, Attempt("backup", "m", 1000.0, ended=1000.1, result="upstream_connect_failed"))
    exchange.attempts.insert(1, Attempt("backup", "m", 1000.2, headers_seconds=1.5))
    exchange.retries.append(("backup", "upstream_connect_failed"))

    totals = upstreams(exchange)

    assert totals.attempts.cells == {
        ("backup", "upstream_connect_failed"): 1,
        ("backup", "cancelled"): 1,
        ("openai", "ok"): 1,
    }
    assert totals.retries.cells == {("backup", "upstream_connect_failed"): 1}
    assert total(totals.headers, "backup") == (1, 1.5)
    assert total(totals.headers, "openai") == (1, 0.25)


def test_tokens_and_cost_carry_the_configured_name_of_the_model() -> None:
    """What the client wrote never becomes a label: it is unbounded, and it is the client's."""
    totals = upstreams(completed_stream())

    assert totals.tokens.cells == {
        ("openai", "gpt-*", "input"): 12,
        ("openai", "gpt-*", "output"): 3,
        ("openai", "gpt-*", "cached"): 4,
    }
    assert totals.cost.cells == {("openai", "gpt-*", "all"): 0.0025}


def test_without_upstream_or_model_the_labels_say_none() -> None:
    exchange = exchange_with("r", STARTED, 0.0, usage=Usage(tokens_in=1), cost_usd=0.5)

    totals = upstreams(exchange)

    assert totals.tokens.cells == {("none", "none", "input"): 1}
    assert totals.cost.cells == {("none", "none", "all"): 0.5}


@pytest.mark.parametrize("nonsense", [-5, 0, 10**400, None])
def test_a_nonsensical_token_count_does_not_spoil_the_counter(nonsense: int | None) -> None:
    exchange = completed_stream()
    exchange.usage = Usage(tokens_in=nonsense)

    assert upstreams(exchange).tokens.cells == {}


@pytest.mark.parametrize("nonsense", [-1.0, math.nan, math.inf, None])
def test_a_nonsensical_cost_does_not_spoil_the_counter(nonsense: float | None) -> None:
    exchange = completed_stream()
    exchange.cost_usd = nonsense

    assert upstreams(exchange).cost.cells == {}


def test_every_family_is_shown() -> None:
    for totals in (RequestTotals(), UpstreamTotals()):
        attributes = [value for value in vars(totals).values() if isinstance(value, Counter | Histogram)]

        assert list(totals.families) == attributes
