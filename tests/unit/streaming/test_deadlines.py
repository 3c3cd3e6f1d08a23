from __future__ import annotations

import pytest

from proxy.errors import UpstreamStalled, UpstreamTimeout
from proxy.streaming import NEVER
from proxy.streaming.deadlines import Deadlines
from tests.unit.streaming.joining import clocks

NOW = 100.0


def deadlines(**seconds: float) -> Deadlines:
    return Deadlines(clocks(**seconds), NOW, since=NOW)


def missed(of: Deadlines, after: float, *, has_content: bool = False, live: bool = False) -> str:
    """Return what the log says of the deadline that is missed so long after the beginning."""
    error = of.missed(NOW + after, has_content=has_content, live=live)
    return "" if error is None else error.detail


@pytest.mark.parametrize(
    ("seconds", "has_content", "live", "error", "detail"),
    [
        ({"first": 8}, False, False, UpstreamTimeout, "no first content in time"),
        ({"first": 8}, False, True, UpstreamTimeout, "no first content in time"),
        ({"whole": 8}, False, False, UpstreamTimeout, "no complete answer in time"),
        ({"whole": 8}, True, True, UpstreamTimeout, "no complete answer in time"),
        ({"idle": 8}, True, True, UpstreamStalled, "no byte for 8s"),
        ({"content": 8}, True, True, UpstreamStalled, "no content for 8s"),
        ({"idle": 8, "content": 8}, True, True, UpstreamStalled, "no byte for 8s"),
    ],
)
def test_deadline_is_missed_at_its_very_moment(
    seconds: dict[str, float], has_content: bool, live: bool, error: type[Exception], detail: str
) -> None:
    of = deadlines(**seconds)

    before = of.missed(NOW + 7.75, has_content=has_content, live=live)
    at = of.missed(NOW + 8, has_content=has_content, live=live)

    assert before is None
    assert type(at) is error
    assert at.detail == detail


@pytest.mark.parametrize(
    ("seconds", "has_content", "live"),
    [
        ({"first": 8}, True, True),
        ({"idle": 8}, False, True),
        ({"content": 8}, False, True),
        ({"idle": 8}, True, False),
        ({"content": 8}, True, False),
    ],
    ids=[
        "the first content has come",
        "nothing is idle before the first content",
        "no content before the first content",
        "nothing is relayed yet",
        "no content is relayed yet",
    ],
)
def test_deadline_of_another_time_is_not_missed(seconds: dict[str, float], has_content: bool, live: bool) -> None:
    assert missed(deadlines(**seconds), 1000, has_content=has_content, live=live) == ""


@pytest.mark.parametrize("another", [True, False])
def test_attempt_has_a_deadline_where_another_may_follow(another: bool) -> None:
    of = deadlines(attempt=8)

    of.begin_attempt(NOW + 2, another=another)

    assert missed(of, 9.75) == ""
    assert missed(of, 10) == ("no first content in time" if another else "")


def test_each_attempt_begins_anew_and_the_last_word_settles_it() -> None:
    of = deadlines(attempt=8)
    of.begin_attempt(NOW, another=True)
    of.begin_attempt(NOW + 6, another=True)
    second = missed(of, 13.75)

    of.settle()

    assert second == ""
    assert missed(of, 1000) == ""


@pytest.mark.parametrize(
    ("seconds", "until"), [({"first": 8}, 108), ({"whole": 8}, 108), ({"first": 9, "whole": 8}, 108), ({}, NEVER)]
)
def test_all_attempts_have_until_the_first_of_both(seconds: dict[str, float], until: float) -> None:
    assert deadlines(**seconds).answer_until == until


def test_patience_ends_so_long_after_the_beginning() -> None:
    assert deadlines(patience=3).patience_until == 103


def test_age_counts_from_the_admission() -> None:
    assert Deadlines(clocks(age=60), NOW, since=NOW - 40).expires == 120


def test_upload_that_goes_on_starts_the_wait_for_the_answer_anew() -> None:
    of = deadlines(first=8)

    of.upload_moved(NOW + 6)

    assert missed(of, 13.75) == ""
    assert missed(of, 14) == "no first content in time"


@pytest.mark.parametrize(
    ("seconds", "live"),
    [({"attempt": 8}, False), ({"first": 8}, False), ({"whole": 8}, True), ({"idle": 8}, True), ({"content": 8}, True)],
)
def test_every_deadline_of_the_upstream_moves_with_a_pause_of_the_client(seconds: dict[str, float], live: bool) -> None:
    of = deadlines(**seconds)
    of.begin_attempt(NOW, another=True)

    of.shift(4)

    assert missed(of, 11.75, has_content=live, live=live) == ""
    assert missed(of, 12, has_content=live, live=live) != ""


def test_age_does_not_move_with_a_pause_of_the_client() -> None:
    of = deadlines(age=60)

    of.shift(4)

    assert of.expires == 160


def test_an_attempt_has_its_own_time_and_never_more_than_is_left() -> None:
    of = deadlines(first=100, attempt=30)
    alone = of.attempt_until
    of.begin_attempt(NOW + 10, another=True)
    early = of.attempt_until
    of.begin_attempt(NOW + 90, another=True)
    late = of.attempt_until

    assert (alone, early, late) == (NOW + 100, NOW + 40, NOW + 100)
