from __future__ import annotations

import json
import re

from proxy.metrics import Ledger, Metrics, Snapshot
from tests.unit.metrics.exchanges import completed_stream, left, refused, streaming


def lines(metrics: Metrics) -> list[str]:
    """What is shown, without what only the process itself knows."""
    return [line for line in metrics.render().decode().splitlines() if line.startswith("llm_proxy_")]


def counting(*, twice: bool = False) -> Metrics:
    metrics = Metrics()
    for _ in range(1 + twice):
        for exchange in (completed_stream(), refused(), left()):
            metrics.record(exchange)
    return metrics


def travelled(metrics: Metrics) -> Snapshot:
    """A snapshot after its way as JSON."""
    snapshot: Snapshot = json.loads(json.dumps(metrics.snapshot()))
    return snapshot


def test_one_process_that_shows_two_others_shows_what_one_alone_would_have() -> None:
    parts = [travelled(counting()), travelled(counting())]

    assert lines(Metrics(others=lambda: parts)) == lines(counting(twice=True))


def test_its_own_counts_are_among_them() -> None:
    metrics = counting()
    metrics.others = lambda: [travelled(counting())]

    assert lines(metrics) == lines(counting(twice=True))


def test_live_streams_are_in_a_snapshot_and_are_counted_together() -> None:
    part = Metrics(live=lambda: [streaming()])

    shown = lines(Metrics(others=lambda: [travelled(part), travelled(part)]))

    assert 'llm_proxy_streams_in_flight{route="chat",upstream="openai"} 2.0' in shown
    assert 'llm_proxy_keepalives_sent_total{phase="after",route="chat"} 4.0' in shown


def test_a_circuit_is_shown_as_it_is_where_it_is_worst() -> None:
    parts = [travelled(Metrics(circuits=lambda: {"a": 0, "b": 2})), travelled(Metrics(circuits=lambda: {"a": 1, "b": 0}))]

    shown = lines(Metrics(others=lambda: parts))

    assert [line for line in shown if "circuit" in line] == [
        'llm_proxy_circuit_state{upstream="a"} 1.0',
        'llm_proxy_circuit_state{upstream="b"} 2.0',
    ]


def test_what_was_folded_and_what_was_lost_add_up() -> None:
    part = Metrics(log_lines_dropped=lambda: 3)
    part.usage_rows_dropped = lambda: 2
    part._requests.total.folded = 2
    metrics = Metrics(log_lines_dropped=lambda: 1, others=lambda: [travelled(part), travelled(part)])

    shown = lines(metrics)

    assert "llm_proxy_log_lines_dropped_total 7.0" in shown
    assert "llm_proxy_usage_rows_dropped_total 4.0" in shown
    assert 'llm_proxy_label_overflow_total{metric="llm_proxy_requests_total"} 4.0' in shown


def test_of_a_process_only_the_newest_snapshot_counts() -> None:
    ledger: Ledger[str] = Ledger()
    for metrics in (counting(), counting(twice=True)):
        ledger.note("a", travelled(metrics))

    assert lines(Metrics(others=ledger.snapshots)) == lines(counting(twice=True))


def test_what_a_process_counted_outlives_it_and_what_it_saw_does_not() -> None:
    part = counting()
    part._requests.total.folded = 1
    part.live, part.circuits, part.log_lines_dropped = lambda: [streaming()], lambda: {"openai": 2}, lambda: 5
    ledger: Ledger[str] = Ledger()
    ledger.note("a", travelled(part))
    before = counters(Metrics(others=ledger.snapshots))

    ledger.ended("a")

    shown = Metrics(others=ledger.snapshots)
    assert counters(shown) == before
    assert not [line for line in lines(shown) if re.match("llm_proxy_(streams_in_flight|circuit_state)", line)]


def test_those_that_ended_add_up_with_those_that_run() -> None:
    ledger: Ledger[int] = Ledger()
    for process in range(2):
        ledger.note(process, travelled(counting()))
        ledger.ended(process)
    ledger.note(2, travelled(counting(twice=True)))
    expected = Metrics(others=lambda: [travelled(counting(twice=True))] * 2)

    assert counters(Metrics(others=ledger.snapshots)) == counters(expected)


def test_who_never_sent_a_snapshot_leaves_none() -> None:
    ledger: Ledger[str] = Ledger()

    ledger.ended("a")

    assert lines(Metrics(others=ledger.snapshots)) == lines(Metrics())


def counters(metrics: Metrics) -> list[str]:
    return [line for line in lines(metrics) if not re.match("llm_proxy_(streams_in_flight|circuit_state)", line)]
