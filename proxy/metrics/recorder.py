"""Turns finished exchanges into the proxy's metrics, adds the live ones at each scrape, and renders the text.

One `Metrics` belongs to one event loop: everything in here runs on its thread. Times come out of the exchange; no clock is
read.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Metric,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from proxy import __version__
from proxy.exchange import Exchange
from proxy.metrics.families import Counter, Gauge, Histogram, Labels
from proxy.metrics.snapshot import Others, Snapshot
from proxy.metrics.streams import NONE, StreamTotals
from proxy.metrics.tally import Kind, Tallies, Tally
from proxy.metrics.totals import OWN_TIME_BUCKETS, RequestTotals, UpstreamTotals

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
LAG_BUCKETS: Final = (*OWN_TIME_BUCKETS, 0.5, 1, 2.5, 5)

Live: TypeAlias = Callable[[], Iterable[Exchange]]
Circuits: TypeAlias = Callable[[], Mapping[str, float]]


class Metrics:
    """All metrics of one proxy, in a registry of its own.

    *live* yields the exchanges that run: each from its admission until the loop callback in which `record` gets it, and not
    after, or it would be counted twice. *circuits* maps upstreams to 0 (closed), 1 (half open) or 2 (open);
    *log_lines_dropped* says how many lines the log has lost, *draining* whether the process is about to end, *others* yields
    what other processes have counted that are to be shown as one with this one. All of them are read at each scrape and may
    be set later.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        live: Live = tuple,
        circuits: Circuits = dict,
        log_lines_dropped: Callable[[], int] = int,
        draining: Callable[[], bool] = bool,
        others: Callable[[], Iterable[Snapshot]] = tuple,
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.live = live
        self.circuits = circuits
        self.log_lines_dropped = log_lines_dropped
        self.usage_rows_dropped: Callable[[], int] = int  # set where there is a usage store
        self.draining = draining
        self.others = others
        self._last_reload_success = True
        self._streams = StreamTotals()
        self._requests = RequestTotals()
        self._upstreams = UpstreamTotals()
        self._tallies = Tallies(self._fold)
        self._process = _ProcessTotals()
        self._in_flight = Gauge("llm_proxy_streams_in_flight", "Streams that run at this moment.", ("route", "upstream"))
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def record(self, exchange: Exchange) -> None:
        """Fold a closed exchange into the totals; call it exactly once for each.

        Raises ValueError for one that has not been closed.
        """
        outcome, ended = exchange.outcome, exchange.ended
        if outcome is None or ended is None:
            raise ValueError("the exchange has not been closed")
        self._tallies.add(exchange, outcome, ended)
        if exchange.whole and not exchange.retries:
            return  # as nearly all whole answers are: nothing else has happened
        self._requests.add_rare(exchange, outcome)
        self._upstreams.add_rare(exchange)
        if not exchange.whole:
            self._streams.add(exchange)

    def observe_loop_lag(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._process.lag.observe((), seconds)

    def config_reloaded(self, *, success: bool) -> None:
        """Note an attempt to reload the configuration."""
        self._process.reloads.add(())
        self._last_reload_success = success

    def render(self) -> bytes:
        """Return everything in Prometheus' text format, whose content type is `CONTENT_TYPE`."""
        return b"".join(self.render_parts())

    def render_parts(self) -> Iterator[bytes]:
        """Yield the text metric by metric, so that the event loop can do other work in between."""
        for metric in self.registry.collect():
            yield generate_latest(_One(metric))

    def collect(self) -> Iterator[Metric]:
        """Yield our own metrics; the registry calls this."""
        # Built whole before the first yield: an exchange that ends during the scrape is live or folded, never both.
        others = Others(self.others())
        families = self._families()
        for family in families:
            yield others.added(family).metric()
        yield _overflow(others.overflow(families))
        yield _circuit_state(others.worst(self.circuits()))
        yield CounterMetricFamily(
            "llm_proxy_log_lines_dropped_total",
            "Log lines lost because they could not be written in time.",
            value=self.log_lines_dropped() + others.lost("log_lines"),
        )
        yield CounterMetricFamily(
            "llm_proxy_usage_rows_dropped_total",
            "Finished requests of which the usage store keeps nothing, because it could not be written to in time.",
            value=self.usage_rows_dropped() + others.lost("usage_rows"),
        )
        yield GaugeMetricFamily(
            "llm_proxy_draining",
            "Whether the process only lets come to its end what runs (1), or takes on new work (0).",
            value=float(self.draining()),
        )
        yield GaugeMetricFamily(
            "llm_proxy_config_last_reload_success",
            "Whether the last reload of the configuration was successful (1) or the one before is still in force (0).",
            value=float(self._last_reload_success),
        )
        yield _build_info()

    def snapshot(self) -> Snapshot:
        """Return everything as it is now, for another process that shows several as one."""
        families = self._families()
        return {
            "counted": {family.name: list(family.cells.items()) for family in families if not isinstance(family, Gauge)},
            "present": {family.name: list(family.cells.items()) for family in families if isinstance(family, Gauge)},
            "folded": {family.name: family.folded for family in families if family.folded},
            "circuits": dict(self.circuits()),
            "lost": {"log_lines": self.log_lines_dropped(), "usage_rows": self.usage_rows_dropped()},
        }

    def _fold(self, kind: Kind, tally: Tally) -> None:
        self._requests.fold(kind, tally)
        self._upstreams.fold(kind, tally)
        self._streams.fold(kind.route, tally.silence)

    def _families(self) -> tuple[Counter | Gauge | Histogram, ...]:
        """Return everything that is counted by series, what still runs included."""
        self._tallies.fold()
        totals = self._streams.copy()
        running = list(self.live())
        for exchange in running:
            totals.add(exchange)
        self._in_flight.count((exchange.route, exchange.upstream or NONE) for exchange in running if exchange.stream)
        return (
            self._in_flight, *totals.families, *self._requests.families, *self._upstreams.families, *self._process.families,
        )  # fmt: skip


def _overflow(folded: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(
        "llm_proxy_label_overflow_total",
        "Measurements folded into the label value other because a metric had too many series.",
        labels=("metric",),
    )
    for name, count in folded.items():
        metric.add_metric((name,), count)
    return metric


def _circuit_state(circuits: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(
        "llm_proxy_circuit_state",
        "Whether an upstream is used (0, closed), tried with single requests (1, half open) or left alone (2, open).",
        labels=("upstream",),
    )
    for upstream, state in circuits.items():
        metric.add_metric((upstream,), state)
    return metric


class _One:
    """A collector of one metric."""

    __slots__ = ("_metric",)

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


class _ProcessTotals:
    """What belongs to the process and not to a request."""

    def __init__(self) -> None:
        self.lag = Histogram(
            "llm_proxy_event_loop_lag_seconds",
            "How much later than asked for the event loop woke up.",
            bounds=LAG_BUCKETS,
        )
        self.reloads = Counter("llm_proxy_config_reloads_total", "Attempts to reload the configuration.")

    @property
    def families(self) -> tuple[Counter | Histogram, ...]:
        return (self.lag, self.reloads)


def _build_info() -> Metric:
    labels: Labels = ("version", "python")
    metric = GaugeMetricFamily("llm_proxy_build_info", "Versions of what runs; always 1.", labels=labels)
    metric.add_metric((__version__, platform.python_version()), 1)
    return metric
