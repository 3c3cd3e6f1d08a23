"""Streams side by side."""

from __future__ import annotations

from proxy.doctor.arrivals import Arrival
from proxy.doctor.comparison import at_part, comparison_lines, figures
from proxy.doctor.hop import Hop
from proxy.doctor.paint import Paint
from proxy.doctor.verdicts import Kind, Verdict
from tests.unit.doctor.sights import hop, seen

DIRECT = [(0.0, 0.2), (0.0, 0.3), (0.0, 0.5), (0.0, 1.5)]


def test_figures_are_those_of_the_gaps() -> None:
    found = figures(seen(arrivals=tuple(Arrival(at) for at in (0.25, 0.5, 1.0, 2.0))))

    assert found == {"first": 0.25, "events": 4, "middle": 0.5, "high": 1.0, "longest": 1.0}


def test_stream_without_gaps_has_no_figures() -> None:
    assert figures(seen(())) == {"first": None, "events": 0, "middle": None, "high": None, "longest": None}


def test_part_of_a_distribution_is_one_of_its_values() -> None:
    assert at_part([1.0, 2.0, 3.0, 4.0], 0.5) == 3
    assert at_part([1.0], 0.95) == 1
    assert at_part([], 0.5) is None


def test_table_has_a_row_for_each() -> None:
    refused = Hop("http://b", Verdict(kind=Kind.REFUSED, reason="no"))

    title, first, second, empty = comparison_lines([hop(times=DIRECT, expected=None), refused], Paint(colour=False))

    assert title.split() == ["first", "event", "events", "gap", "50", "%", "gap", "95", "%", "longest", "verdict"]
    assert first.split() == ["1", "200", "ms", "4", "200", "ms", "1.00", "s", "1.00", "s", "STREAMING"]
    assert second.split() == ["2", "–", "–", "–", "–", "–", "REFUSED"]
    assert title.index("verdict") == first.index("STREAMING") == second.index("REFUSED")
    assert empty == ""
