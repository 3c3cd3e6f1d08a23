from __future__ import annotations

import pytest

from proxy.supervisor.leases import SHARES, Leases


def drained(leases: Leases[str], holder: str, limit: int) -> int:
    """Lend *holder* whatever is left, and return how many that was."""
    total = 0
    while count := leases.lend(holder, "ann", limit):
        total += count
    return total


@pytest.mark.parametrize("limit", [1, 2, 15, 16, 17, 100, 1000])
def test_all_that_is_lent_is_the_limit_and_never_more(limit: int) -> None:
    leases: Leases[str] = Leases()

    first = leases.lend("a", "ann", limit)

    assert first == max(1, limit // SHARES)
    assert first + drained(leases, "b", limit) + drained(leases, "a", limit) == limit


def test_a_limit_that_was_lowered_lends_nothing_until_enough_has_come_back() -> None:
    leases: Leases[str] = Leases()
    drained(leases, "a", 10)

    assert leases.lend("b", "ann", 5) == 0
    leases.give_back("a", "ann", 6)
    assert leases.lend("b", "ann", 5) == 1


def test_each_subject_has_slots_of_its_own() -> None:
    leases: Leases[str] = Leases()
    drained(leases, "a", 4)

    assert leases.lend("a", "bob", 1) == 1
    assert leases.holders("ann") == leases.holders("bob") == ("a",)


def test_what_was_given_back_can_be_lent_again() -> None:
    leases: Leases[str] = Leases()
    drained(leases, "a", 3)

    leases.give_back("a", "ann", 2)

    assert leases.holders("ann") == ("a",)
    assert drained(leases, "b", 3) == 2


def test_nothing_is_kept_of_a_subject_whose_slots_are_all_back() -> None:
    leases: Leases[str] = Leases()
    count = leases.lend("a", "ann", 100)

    leases.give_back("a", "ann", count)

    assert leases.holders("ann") == ()
    assert repr(leases) == "<Leases subjects=0>"


def test_whoever_has_ended_holds_nothing_any_more() -> None:
    leases: Leases[str] = Leases()
    leases.lend("b", "ann", 4)
    drained(leases, "a", 4)
    leases.lend("a", "bob", 1)

    leases.forget("a")

    assert leases.holders("ann") == ("b",)
    assert leases.holders("bob") == ()
    assert drained(leases, "b", 4) == 3
