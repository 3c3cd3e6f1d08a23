from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from proxy.supervisor.backoff import HEALTHY, LONGEST, Backoff


def waits(backoff: Backoff) -> Iterator[float]:
    while True:
        yield backoff.after(0.1)


def test_the_first_end_costs_no_time() -> None:
    assert Backoff().after(0.1) == 0


def test_who_goes_on_ending_waits_longer_each_time_up_to_a_limit() -> None:
    found = list(islice(waits(Backoff()), 10))

    assert found == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert found[-1] == LONGEST


def test_a_worker_that_has_lived_for_a_while_is_replaced_at_once_again() -> None:
    backoff = Backoff()
    list(islice(waits(backoff), 5))

    assert [backoff.after(HEALTHY), backoff.after(0.1)] == [0, 0.5]
