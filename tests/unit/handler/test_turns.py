"""Few requests begin in one turn of the event loop; the others wait for theirs, in order."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from proxy.handler.turns import AT_ONCE, Turns
from proxy.tasks import Tasks


async def passing(turns: Turns, name: int, passed: list[int]) -> None:
    if not turns.take():
        await turns.wait()
    passed.append(name)


async def test_crowd_passes_in_order_and_never_more_than_a_few_in_a_turn() -> None:
    turns, tasks, passed = Turns(), Tasks(), list[int]()
    crowd = [tasks.spawn(passing(turns, name, passed), name="passing") for name in range(AT_ONCE * 5 + 1)]
    seen = [0]

    while len(passed) < len(crowd):
        await asyncio.sleep(0)
        seen.append(len(passed))

    assert passed == list(range(len(crowd)))
    assert max(after - before for before, after in pairwise(seen)) == AT_ONCE


async def test_next_turn_has_room_again() -> None:
    turns = Turns()

    first = [turns.take() for _ in range(AT_ONCE + 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = [turns.take() for _ in range(AT_ONCE + 1)]

    assert first == second == [True] * AT_ONCE + [False]


async def test_who_comes_later_does_not_overtake_those_in_line() -> None:
    turns, tasks, passed = Turns(), Tasks(), list[int]()
    crowd = [tasks.spawn(passing(turns, name, passed), name="passing") for name in range(AT_ONCE * 3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    late = tasks.spawn(passing(turns, 99, passed), name="late")
    await asyncio.gather(*crowd, late)

    assert passed[-1] == 99


@pytest.mark.parametrize("left", [AT_ONCE, AT_ONCE + 1, AT_ONCE * 2 - 1])
async def test_who_leaves_the_line_takes_no_place(left: int) -> None:
    turns, tasks, passed = Turns(), Tasks(), list[int]()
    crowd = [tasks.spawn(passing(turns, name, passed), name="passing") for name in range(AT_ONCE * 2 + 1)]
    await asyncio.sleep(0)

    crowd[left].cancel()
    await asyncio.wait(crowd)

    assert passed == [name for name in range(len(crowd)) if name != left]
