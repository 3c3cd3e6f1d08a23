from __future__ import annotations

from proxy.metrics.streams import StreamTotals
from tests.unit.metrics.exchanges import admitted, completed_stream, refused, streaming


def test_every_gap_is_counted_and_not_only_their_mean() -> None:
    totals = StreamTotals()

    totals.add(streaming())
    totals.add(completed_stream())

    counts = totals.gaps.cells["chat", "openai"]
    assert counts[2] == 2  # 1/64 s, in the bucket of 25 ms
    assert counts[8] == 2  # 2 s, in the bucket of 2.5 s
    assert sum(counts[:-1]) == 4
    assert counts[-1] == 4.03125


def test_keepalives_are_told_apart_by_the_first_token() -> None:
    totals = StreamTotals()

    totals.add(streaming())

    assert totals.keepalives.cells == {("chat", "before"): 1, ("chat", "after"): 2}


def test_the_wait_has_a_side() -> None:
    totals = StreamTotals()

    totals.add(streaming("messages"))

    assert totals.backpressure.cells == {("messages",): 0.5}
    assert totals.silence.cells == {("messages",): 2.5}


def test_a_request_without_a_stream_leaves_no_series() -> None:
    totals = StreamTotals()

    totals.add(refused())
    totals.add(admitted())

    assert [family.cells for family in totals.families] == [{}, {}, {}, {}]


def test_a_copy_does_not_feed_back() -> None:
    totals = StreamTotals()
    totals.add(streaming())
    twin = totals.copy()

    twin.add(streaming())

    assert sum(totals.gaps.cells["chat", "openai"][:-1]) == 2
    assert totals.keepalives.cells["chat", "after"] == 2
    assert totals.backpressure.cells["chat",] == 0.5
    assert totals.silence.cells["chat",] == 2.5
