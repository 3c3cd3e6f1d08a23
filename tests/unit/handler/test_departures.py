"""What is remembered of test streams."""

from __future__ import annotations

from proxy.handler.departures import Departures


def test_live_stream_is_told_with_its_silence() -> None:
    departures = Departures()
    departures.begin("ann", "r1", now=8.0).last_byte_at = 8.5

    assert departures.view("ann", "r1", now=10.0) == {"state": "live", "silent_ms": 1500.0, "ago_ms": 0.0}


def test_departure_is_told_with_the_silence_before_it_and_the_time_since() -> None:
    departures = Departures()
    departures.begin("ann", "r1", now=8.0).left_at = 8.25

    assert departures.view("ann", "r1", now=9.0) == {"state": "left", "silent_ms": 250.0, "ago_ms": 750.0}


def test_stream_that_was_sent_whole_has_ended() -> None:
    departures = Departures()
    departures.begin("ann", "r1", now=8.0).ended = True

    view = departures.view("ann", "r1", now=9.0)

    assert view is not None
    assert view["state"] == "ended"


def test_stream_is_known_to_its_owner_only() -> None:
    departures = Departures()
    departures.begin("ann", "r1", now=8.0)

    assert departures.view("bob", "r1", now=9.0) is None
    assert departures.view("ann", "r2", now=9.0) is None


def test_oldest_stream_is_forgotten_first() -> None:
    departures = Departures(remembered=2)
    departures.begin("ann", "r1", now=1.0)
    departures.begin("ann", "r2", now=2.0)
    departures.begin("ann", "r1", now=3.0)  # the same id again: the newer one counts

    departures.begin("ann", "r3", now=4.0)

    assert departures.view("ann", "r2", now=9.0) is None
    assert departures.view("ann", "r1", now=9.0) == {"state": "live", "silent_ms": 6000.0, "ago_ms": 0.0}
    assert departures.view("ann", "r3", now=9.0) is not None
