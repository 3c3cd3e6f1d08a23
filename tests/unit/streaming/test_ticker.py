from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from proxy.streaming import Lingering, Ticker, period_for
from proxy.streaming.ticker import CHECK_EVERY, SLICE
from proxy.tasks import Tasks
from tests.support.handclock import START, WALL, HandClock
from tests.unit.downstream.listening import listening

PERIOD = 0.25


class Schedule:
    """An event loop's timetable, carried out by hand."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.later: list[tuple[float, Handle, Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Handle:
        self.later.append((self._clock.now + delay, handle := Handle(), callback, args))
        return handle

    @property
    def due(self) -> float | None:
        """When the next timer fires."""
        return min((when for when, handle, *_ in self.later if not handle.cancelled), default=None)

    def turn(self) -> bool:
        """Go on to the next slice of a walk; False if it is over, and the next timer that of another period."""
        if self.due is None or self.due - self._clock.now >= PERIOD / 4:
            return False
        self.fire()
        return True

    def fire(self, *, late: float = 0.0) -> None:
        """Move the clock to the next timer, and a bit beyond, and call it."""
        assert self.due is not None
        self._clock.now = max(self._clock.now, self.due) + late
        timers, self.later = [each for each in self.later if not each[1].cancelled], []
        for _, _, callback, args in timers:
            callback(*args)

    def period(self) -> None:
        """Let one whole period pass: its timer, and every turn that it needs."""
        self.fire()
        while self.turn():
            pass


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Member:
    """Writes down when it was ticked; takes its time, fails, or does something else besides."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.ticks: list[tuple[float, float]] = []
        self._does = does

    def tick(self, now: float, wall: float) -> None:
        self.ticks.append((now, wall))
        self._does()


class House:
    """A ticker on a timetable of its own."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.schedule = Schedule(clock)
        self.lags: list[float] = []
        self.periods: list[float] = []
        self.ticker = Ticker(PERIOD, each_period=self.periods.append, lag=self.lags.append)
        self.ticker._loop = self.schedule  # type: ignore[assignment]

    def members(self, count: int, does: Callable[[], object] = lambda: None) -> list[Member]:
        made = [Member(does) for _ in range(count)]
        for member in made:
            self.ticker.add(member)
        return made


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> House:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.streaming.ticker")
    return House(clock)


# The period.


@pytest.mark.parametrize(
    ("durations", "period"),
    [
        ([], 0.2),
        ([0, 0], 0.2),
        ([10, 5, 300], 0.2),
        ([10, 0.8], 0.2),
        ([0, 0.4, 2], 0.1),
        ([0.02], 0.005),
        ([0.001], 0.005),
        ([float("inf")], 0.2),
    ],
)
def test_period_is_a_quarter_of_the_smallest_duration_within_bounds(durations: list[float], period: float) -> None:
    assert period_for(iter(durations)) == pytest.approx(period)


# The walk.


async def test_every_member_is_ticked_once_a_period_with_both_clocks(house: House) -> None:
    members = house.members(3)
    house.ticker.start()

    house.schedule.period()
    house.schedule.period()

    expected = [(START + PERIOD, WALL + PERIOD), (START + 2 * PERIOD, WALL + 2 * PERIOD)]
    assert [member.ticks for member in members] == [expected] * 3


@pytest.mark.parametrize(
    ("cost", "per_turn"),
    [
        pytest.param(0.0, 1000, id="for nothing: all at once"),
        pytest.param(SLICE / 7, CHECK_EVERY, id="a seventh of a slice each: as many as between two looks at the clock"),
        pytest.param(SLICE, CHECK_EVERY, id="a slice each: no look in between"),
        pytest.param(SLICE / 60, 64, id="a 60th of a slice each"),
    ],
)
async def test_walk_is_cut_into_slices_and_goes_on_later(house: House, cost: float, per_turn: int) -> None:
    ticked: list[int] = []

    def work() -> None:
        house.clock.work(cost)
        ticked.append(1)

    members = house.members(1000, work)
    house.ticker.start()

    house.schedule.fire()
    turns = [len(ticked)]
    while house.schedule.turn():
        turns.append(len(ticked) - sum(turns))

    full, rest = divmod(1000, per_turn)
    assert [turn for turn in turns if turn] == [per_turn] * full + ([rest] if rest else [])
    assert {len(member.ticks) for member in members} == {1}


async def test_no_slice_is_longer_than_a_slice_and_one_stretch_between_two_looks(house: House) -> None:
    cost = SLICE / 40
    members = house.members(2000, lambda: house.clock.work(cost))
    house.ticker.start()

    house.schedule.fire()
    ticked = [0]
    while house.schedule.turn():
        ticked.append(sum(len(member.ticks) for member in members))

    slices = [after - before for before, after in pairwise(ticked)]
    assert len(slices) > 30
    assert max(slices[1:]) * cost <= SLICE + CHECK_EVERY * cost + 1e-9


async def test_slices_are_spread_over_half_of_the_period(house: House) -> None:
    members = house.members(1000, lambda: house.clock.work(SLICE / 64))
    house.ticker.start()

    house.schedule.period()

    times = [member.ticks[0][0] - START - PERIOD for member in members]
    assert [times[at] for at in (0, 250, 500, 750, 999)] == pytest.approx(
        [at * PERIOD for at in (0, 0.125, 0.25, 0.375, 0.5)], abs=PERIOD / 20
    )


async def test_walk_that_is_late_pauses_no_more(house: House) -> None:
    members = house.members(100 * CHECK_EVERY, lambda: house.clock.work(PERIOD / 100))
    house.ticker.start()

    house.schedule.period()

    assert members[-1].ticks[0][0] - members[0].ticks[0][0] == pytest.approx(99 * CHECK_EVERY * PERIOD / 100)


async def test_event_loop_gets_its_turn_between_two_slices() -> None:
    """On a real loop: a callback that is ready is not kept waiting by the crowd."""
    order: list[str] = []
    running = asyncio.get_running_loop()
    over: asyncio.Future[None] = running.create_future()

    def busy() -> None:
        order.append("member")
        if len(order) == 1:
            running.call_soon(order.append, "token")
        if order.count("member") == 64:
            over.set_result(None)
        until = time.thread_time() + SLICE / 4
        while time.thread_time() < until:
            pass

    ticker = Ticker(0.005, each_period=lambda now: None, lag=lambda seconds: None)
    for _ in range(64):
        ticker.add(Member(busy))
    ticker.start()
    await over
    ticker.stop()

    assert order.index("token") == CHECK_EVERY


async def test_waiting_for_a_cpu_that_others_use_is_no_work_of_ours(house: House) -> None:
    """On a busy machine every walk would fall apart into slices of nothing, each a turn of the loop late."""
    members = house.members(10 * CHECK_EVERY, lambda: house.clock.move(SLICE))
    house.ticker.start()

    house.schedule.fire()

    assert {len(member.ticks) for member in members} == {1}


async def test_time_of_a_late_member_is_not_that_of_the_first(house: House) -> None:
    members = house.members(1000, lambda: house.clock.work(SLICE / 64))
    house.ticker.start()

    house.schedule.period()

    assert members[0].ticks[0][0] == START + PERIOD
    assert members[-1].ticks[0][0] >= START + PERIOD + 900 * SLICE / 64


async def test_broken_member_is_dropped_and_logged_and_the_others_go_on(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    before = house.members(2)
    (broken,) = house.members(1, fail)
    after = house.members(2)
    house.ticker.start()

    house.schedule.period()
    house.schedule.period()

    assert [len(member.ticks) for member in (*before, broken, *after)] == [2, 2, 1, 2, 2]
    assert len(house.ticker) == 4
    (record,) = caplog.records
    assert (record.levelno, record.message, vars(record)["member"]) == (logging.ERROR, "tick failed", "Member")
    assert record.exc_info is not None


async def test_member_that_is_removed_during_a_walk_is_not_ticked_any_more(house: House) -> None:
    (first,) = house.members(1, lambda: house.ticker.remove(second))
    second, third = house.members(2)
    house.ticker.start()

    house.schedule.period()

    assert [len(member.ticks) for member in (first, second, third)] == [1, 0, 1]


async def test_member_that_is_removed_between_two_slices_is_not_ticked_any_more(house: House) -> None:
    members = house.members(2 * CHECK_EVERY, lambda: house.clock.work(SLICE))
    house.ticker.start()
    house.schedule.fire()

    house.ticker.remove(members[-1])
    house.schedule.turn()

    assert [len(member.ticks) for member in members] == [1] * (2 * CHECK_EVERY - 1) + [0]


async def test_member_that_is_added_during_a_walk_begins_with_the_next(house: House) -> None:
    added = Member()
    house.members(2, lambda: house.ticker.add(added))
    house.ticker.start()

    house.schedule.period()
    at_first = len(added.ticks)
    house.schedule.period()

    assert (at_first, len(added.ticks)) == (0, 1)


async def test_member_can_remove_itself_and_is_there_only_once(house: House) -> None:
    member = Member(lambda: house.ticker.remove(member))
    house.ticker.add(member)
    house.ticker.add(member)
    there = list(house.ticker)
    house.ticker.start()

    house.schedule.period()
    house.schedule.period()
    house.ticker.remove(member)

    assert there == [member]
    assert len(member.ticks) == 1
    assert len(house.ticker) == 0


# What else happens once a period.


async def test_each_period_has_its_work_before_the_members_and_once_however_many_slices(house: House) -> None:
    order: list[object] = []
    house.ticker._each_period = order.append

    def work() -> None:
        house.clock.work(SLICE)
        order.append("member")

    house.members(3 * CHECK_EVERY, work)
    house.ticker.start()

    house.schedule.period()

    assert order[0] == START + PERIOD
    assert order.count("member") == 3 * CHECK_EVERY == len(order) - 1


async def test_fault_in_the_work_of_a_period_does_not_stop_the_clock(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """No keepalive and no deadline of any stream would ever come again."""

    def fail(now: float) -> None:
        raise RuntimeError("broken")

    house.ticker._each_period = fail
    (member,) = house.members(1)
    house.ticker.start()

    house.schedule.period()
    house.schedule.period()

    assert len(member.ticks) == 2
    assert [record.message for record in caplog.records] == ["the work of a period failed"] * 2


@pytest.mark.parametrize("late", [0.0, 0.125, 3.0])
async def test_lag_is_how_late_the_tick_came(house: House, late: float) -> None:
    house.ticker.start()

    house.schedule.fire(late=late)
    house.schedule.fire()

    assert house.lags[0] == pytest.approx(late)
    assert house.lags[1] == 0


async def test_lag_is_never_negative(house: House) -> None:
    """A timer may fire a clock's resolution too early."""
    house.ticker.start()

    house.schedule.fire(late=-0.001)

    assert house.lags == [0.0]


# The timetable.


async def test_ticks_keep_their_rhythm_although_a_walk_takes_time(house: House) -> None:
    house.members(1, lambda: house.clock.move(PERIOD / 4))
    house.ticker.start()

    house.schedule.period()
    house.schedule.period()

    assert house.periods == [START + PERIOD, START + 2 * PERIOD]


async def test_walk_that_is_longer_than_a_period_leaves_half_a_period_to_everybody_else(house: House) -> None:
    house.members(CHECK_EVERY, lambda: house.clock.move(PERIOD))
    house.ticker.start()

    house.schedule.period()

    assert house.schedule.due == house.clock.now + PERIOD / 2


async def test_period_that_a_reload_changes_holds_from_the_next_tick_on(house: House) -> None:
    house.ticker.start()
    house.ticker.period = 1.0

    for _ in range(3):
        house.schedule.period()

    assert house.periods == [START + PERIOD, START + PERIOD + 1, START + PERIOD + 2]


async def test_stopped_ticker_ticks_no_more(house: House) -> None:
    members = house.members(1)
    house.ticker.start()

    house.ticker.stop()
    house.ticker.stop()

    assert house.schedule.due is None
    assert members[0].ticks == []


async def test_stop_holds_between_two_slices_too(house: House) -> None:
    members = house.members(2 * CHECK_EVERY, lambda: house.clock.work(SLICE))
    house.ticker.start()
    house.schedule.fire()

    house.ticker.stop()
    house.schedule.turn()

    assert sum(len(member.ticks) for member in members) == CHECK_EVERY
    assert house.schedule.due is None


# Bytes that wait behind the end of an exchange.


async def test_client_that_takes_the_rest_is_left_alone(house: House) -> None:
    async with listening() as listener:
        client, downstream = await listener.downstream()
        client.transport.stall()
        downstream.answer(200, (), b"hello")
        house.ticker.add(lingering := Lingering(downstream, house.ticker, 2.0, house.clock.now))

        lingering.tick(START + 1.5, WALL)
        client.transport.take(10)
        lingering.tick(START + 3, WALL)
        lingering.tick(START + 4.75, WALL)
        watched = len(house.ticker)
        client.transport.take()
        lingering.tick(START + 5.5, WALL)

        assert (watched, len(house.ticker)) == (1, 0)
        assert client.transport.ended == ""


async def test_client_that_does_not_take_the_rest_is_dropped(house: House) -> None:
    async with listening() as listener:
        client, downstream = await listener.downstream()
        client.transport.stall()
        downstream.answer(200, (), b"hello")
        house.ticker.add(lingering := Lingering(downstream, house.ticker, 2.0, house.clock.now))

        lingering.tick(START + 0.25, WALL)
        lingering.tick(START + 1.75, WALL)
        before = client.transport.ended
        lingering.tick(START + 2, WALL)

        assert (before, client.transport.ended) == ("", "abort")
        assert len(house.ticker) == 0


async def test_ticker_is_usable_from_tasks_of_the_same_loop() -> None:
    """One tick on a real timer, so that the timetable above is not all there is."""
    ticked = asyncio.Event()
    ticker = Ticker(0.005, each_period=lambda now: None, lag=lambda seconds: None)
    tasks = Tasks()
    waiting = tasks.spawn(ticked.wait(), name="waiting")
    ticker.add(Member(ticked.set))

    ticker.start()
    async with asyncio.timeout(5):
        await waiting
    ticker.stop()

    assert len(tasks) == 0
