"""What a test stream may be asked to be."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.handler.trial_plan import LARGEST_EVENT, TrialPlan, plan_of


@pytest.mark.parametrize(
    ("query", "count", "interval"),
    [
        (b"", 10, 1.0),
        (b"?", 10, 1.0),
        (b"?count=3", 3, 1.0),
        (b"interval=0.5", 10, 0.5),
        (b"?count=2&interval=0.25", 2, 0.25),
        (b"?count=1000&interval=3.5", 1000, 3.5),
        (b"?count=59&interval=60", 59, 60.0),
        (b"?count=1&interval=0", 1, 0.0),
        (b"?count=5&count=2", 2, 1.0),
        (b"?c%6funt=2&interval=1e-1", 2, 0.1),
        (b"?count=2&more=x&empty=", 2, 1.0),
    ],
)
def test_query_says_how_many_events_of_which_interval(query: bytes, count: int, interval: float) -> None:
    assert plan_of(query) == TrialPlan(count=count, interval=interval)


def test_query_says_everything_else_too() -> None:
    plan = plan_of(b"?size=512&before=15&pause_at=4&pause=2.5&keepalive=on&format=ndjson")

    assert plan == TrialPlan(size=512, before=15, pause_at=4, pause=2.5, keepalive=True, format="ndjson")


def test_default_is_ten_bare_events_without_keepalives() -> None:
    assert plan_of(b"") == TrialPlan()
    assert plan_of(b"?keepalive=off&format=sse") == TrialPlan()


def test_silences_come_before_the_first_event_and_behind_the_one_that_is_named() -> None:
    plan = TrialPlan(count=4, interval=0.5, before=8, pause_at=2, pause=16)

    assert [plan.due(number) for number in range(1, 5)] == [8, 8.5, 25, 25.5]


def test_stream_that_is_taken_up_again_leaves_out_what_lies_behind() -> None:
    plan = TrialPlan(count=4, interval=0.5, before=1, pause_at=2, pause=16)

    assert [plan.due(number, first=2) for number in (2, 3, 4)] == [1, 17.5, 18]
    assert [plan.due(number, first=3) for number in (3, 4)] == [1, 1.5]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"count=0", "count"),
        (b"count=-1", "count"),
        (b"count=1001", "count"),
        (b"count=1.5", "count"),
        (b"count=ten", "count"),
        (b"count=", "count"),
        (b"count=%00", "count"),
        (b"count=" + b"9" * 5000, "count"),
        (b"interval=-0.1", "interval"),
        (b"interval=60.1", "interval"),
        (b"interval=nan", "interval"),
        (b"interval=inf", "interval"),
        (b"interval=soon", "interval"),
        (b"interval=", "interval"),
        (b"count=61&interval=60", "count"),
        (b"count=1000&interval=3.7", "count"),
        (b"count=50&interval=60&before=600&pause=1", "count"),
        (b"size=-1", "size"),
        (b"size=%d" % (LARGEST_EVENT + 1), "size"),
        (b"size=%d&count=17" % LARGEST_EVENT, "size"),
        (b"before=601", "before"),
        (b"before=-1", "before"),
        (b"pause=nan", "pause"),
        (b"pause_at=0", "pause_at"),
        (b"keepalive=maybe", "keepalive"),
        (b"format=xml", "format"),
    ],
)
def test_nonsense_is_refused_by_its_name(query: bytes, field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        plan_of(query)

    assert refused.value.param == field
    assert refused.value.public.startswith(field)
