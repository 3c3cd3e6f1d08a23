"""What one stream looked like."""

from __future__ import annotations

import pytest

from proxy.doctor.arrivals import Arrival, End, delays, gaps
from tests.unit.doctor.sights import seen


def test_delay_is_counted_from_the_quickest_event() -> None:
    """What all events have in common is the way, and the difference of two clocks."""
    assert delays((Arrival(5.0, 1.0), Arrival(5.5, 2.0), Arrival(6.5, 2.5))) == [0.5, 0.0, 0.5]


def test_server_that_does_not_say_when_leaves_no_delays() -> None:
    assert delays((Arrival(1.0), Arrival(2.0))) == []


def test_gaps_lie_between_events() -> None:
    assert gaps((Arrival(1.0), Arrival(1.5), Arrival(4.0))) == [0.5, 2.5]
    assert gaps(()) == []


@pytest.mark.parametrize(
    ("end", "ours", "foreign"), [(End.DONE, 1, 1), (End.CLEAN, 0, 1), (End.ENDLESS, 0, 1), (End.BROKEN, 0, 0), (End.SILENT, 0, 0)]
)
def test_stream_of_ours_is_complete_with_its_last_event_only(end: End, ours: int, foreign: int) -> None:
    assert seen(end=end).complete is bool(ours)
    assert seen(end=end, expected=None).complete is bool(foreign)


@pytest.mark.parametrize(("header", "encoding"), [("gzip", "gzip"), ("BR", "br"), ("identity", ""), (None, "")])
def test_encoding_is_what_the_head_says(header: str | None, encoding: str) -> None:
    assert seen(headers={} if header is None else {"content-encoding": header}).encoding == encoding
