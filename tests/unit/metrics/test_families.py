from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import Metric, generate_latest

from proxy.metrics.families import Counter, Gauge, Histogram


class Shown:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def collect(self) -> list[Metric]:
        return [self.metric]


def lines(family: Counter | Gauge | Histogram) -> list[str]:
    text = generate_latest(Shown(family.metric())).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def histogram(**options: Any) -> Histogram:
    return Histogram("wait_seconds", "Waiting.", ("route",), bounds=(0.1, 1), **options)


def test_counter_adds_by_label_values() -> None:
    counter = Counter("requests_total", "Requests.", ("route", "outcome"))

    counter.add(("chat", "completed"))
    counter.add(("chat", "completed"), 2)
    counter.add(("models", "completed"))

    assert lines(counter) == [
        'requests_total{outcome="completed",route="chat"} 3.0',
        'requests_total{outcome="completed",route="models"} 1.0',
    ]


def test_counter_without_labels_is_there_from_the_start() -> None:
    """A rate needs the zero before the first increment."""
    counter = Counter("reloads_total", "Reloads.")

    assert lines(counter) == ["reloads_total 0.0"]


def test_histogram_counts_a_value_on_a_bound_into_that_bucket() -> None:
    family = histogram()

    for value in (0.05, 0.1, 0.2, 1, 7):
        family.observe(("chat",), value)

    assert lines(family) == [
        'wait_seconds_bucket{le="0.1",route="chat"} 2.0',
        'wait_seconds_bucket{le="1.0",route="chat"} 4.0',
        'wait_seconds_bucket{le="+Inf",route="chat"} 5.0',
        'wait_seconds_count{route="chat"} 5.0',
        'wait_seconds_sum{route="chat"} 8.35',
    ]


def test_folding_counts_is_the_same_as_observing_each() -> None:
    observed, folded = histogram(), histogram()

    for value in (0.05, 0.5, 0.75, 3):
        observed.observe(("chat",), value)
    folded.fold(("chat",), [1, 1, 0], 0.55)
    folded.fold(("chat",), [0, 1, 1], 3.75)

    assert lines(folded) == lines(observed)


def test_gauge_counts_anew_and_keeps_what_it_has_seen_at_zero() -> None:
    gauge = Gauge("live", "Live.", ("route",))
    gauge.count([("chat",), ("chat",), ("models",)])

    gauge.count([("models",)])

    assert lines(gauge) == ['live{route="chat"} 0.0', 'live{route="models"} 1.0']


@pytest.mark.parametrize("family", [Counter("n_total", "N.", ("route",)), histogram()])
def test_a_copy_is_independent(family: Counter | Histogram) -> None:
    def count(into: Counter | Histogram) -> None:
        if isinstance(into, Counter):
            into.add(("chat",))
        else:
            into.observe(("chat",), 0.5)

    count(family)
    before = lines(family)
    twin = family.copy()

    count(twin)

    assert lines(family) == before
    assert lines(twin) != before


def test_a_full_family_folds_new_label_values_into_other_and_counts_that() -> None:
    counter = Counter("n_total", "N.", ("route", "status"), max_series=2)

    for status in ("200", "401", "402", "403", "200"):
        counter.add(("chat", status))

    assert lines(counter) == [
        'n_total{route="chat",status="200"} 2.0',
        'n_total{route="chat",status="401"} 1.0',
        'n_total{route="other",status="other"} 2.0',
    ]
    assert counter.folded == 2


def test_a_full_histogram_folds_too() -> None:
    family = histogram(max_series=1)

    family.observe(("chat",), 0.5)
    family.observe(("models",), 0.5)
    family.fold(("embeddings",), [1, 0, 0], 0.05)
    family.observe_all(("images",), [0.5, 2])

    assert 'wait_seconds_count{route="chat"} 1.0' in lines(family)
    assert 'wait_seconds_count{route="other"} 4.0' in lines(family)
    assert family.folded == 4


@pytest.mark.parametrize("values", [(0.05, 0.1, 0.5, 1, 3), (7,), (0.1, 0.1), ()])
def test_observing_many_at_once_is_the_same_as_observing_each(values: tuple[float, ...]) -> None:
    each, together = histogram(), histogram()

    for value in values:
        each.observe(("chat",), value)
    together.observe_all(("chat",), values)

    assert lines(together) == lines(each)


def test_amount_of_many_measurements_counts_as_so_many_when_the_family_is_full() -> None:
    counter = Counter("n_total", "N.", ("route",), max_series=0)

    counter.add(("chat",), 5, times=5)

    assert counter.folded == 5
