from __future__ import annotations

import pytest

from proxy.exchange import Attempt, Exchange, Outcome, Usage
from proxy.metrics.tally import BATCH, Kind, Tallies, Tally
from tests.unit.metrics.exchanges import STARTED, admitted, completed_stream, left, refused


class Book:
    """Writes down what is folded."""

    def __init__(self) -> None:
        self.folded: list[tuple[Kind, Tally]] = []
        self.tallies = Tallies(lambda kind, tally: self.folded.append((kind, tally)))

    def add(self, *exchanges: Exchange) -> None:
        for exchange in exchanges:
            assert exchange.outcome is not None
            assert exchange.ended is not None
            self.tallies.add(exchange, exchange.outcome, exchange.ended)


def tally_of(exchange: Exchange, ended: float = 1003.0) -> Tally:
    tally = Tally()
    tally.add(exchange, ended)
    return tally


def test_requests_of_one_kind_are_tallied_together_and_others_apart() -> None:
    book = Book()

    book.add(completed_stream(), refused(), completed_stream())
    book.tallies.fold()

    assert [(kind.outcome, len(tally.durations)) for kind, tally in book.folded] == [
        (Outcome.COMPLETED, 2),
        (Outcome.REJECTED_AUTH, 1),
    ]
    assert book.folded[0][0] == Kind("chat", "openai", "gpt-*", "chat", True, 200, Outcome.COMPLETED)


def test_what_was_folded_is_not_folded_again() -> None:
    book = Book()
    book.add(refused())

    book.tallies.fold()
    book.tallies.fold()

    assert len(book.folded) == 1


def test_batch_is_folded_although_nobody_asks() -> None:
    """Nobody may ever scrape, and what is noted takes memory."""
    book = Book()

    book.add(*[refused() for _ in range(BATCH - 1)])
    before = len(book.folded)
    book.add(completed_stream())

    assert before == 0
    assert sum(len(tally.durations) for _, tally in book.folded) == BATCH


def test_request_adds_its_times() -> None:
    tally = tally_of(completed_stream())

    assert tally.durations == [3.0]
    assert tally.first_tokens == [0.5]
    assert tally.overheads == [1 / 512]
    assert tally.headers == [0.25]


def test_request_that_was_never_answered_has_all_its_time_to_itself() -> None:
    tally = tally_of(admitted(), STARTED + 0.5)

    assert tally.overheads == [0.5]
    assert tally.first_tokens == []
    assert (tally.answers, tally.headers) == (0, [])


def test_answer_whose_head_has_no_time_is_an_answer() -> None:
    exchange = admitted()
    exchange.attempts.append(Attempt("openai", "m", STARTED, result="ok"))

    assert (tally_of(exchange).answers, tally_of(exchange).headers) == (1, [])


def test_attempt_that_was_no_answer_is_none() -> None:
    assert tally_of(left()).answers == 0


@pytest.mark.parametrize("nonsense", [-5, 0, 10**400, None])
def test_nonsensical_counts_of_tokens_are_left_out(nonsense: int | None) -> None:
    exchange = completed_stream()
    tally = Tally()

    for usage in (Usage(nonsense, 3, nonsense), Usage(4, nonsense, 2)):
        exchange.usage = usage
        tally.add(exchange, 1003.0)

    assert (tally.tokens_in, tally.tokens_out, tally.cached) == (4, 3, 2)
