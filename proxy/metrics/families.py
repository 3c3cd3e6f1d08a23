"""Counters, gauges and histograms as plain dictionaries by label values, cheap to add to and to copy.

Adding to a series is one dictionary look-up: no lock, no child object, no `_created` series. For that, a family belongs to
one thread, the event loop's. Every family holds a bounded number of series; what comes after that is folded into one
whose label values are all `other`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Generic, Self, TypeAlias, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

Labels: TypeAlias = tuple[str, ...]
Cell = TypeVar("Cell")

MAX_SERIES: Final = 2000
OTHER: Final = "other"


class Family(ABC, Generic[Cell]):
    """One metric: its name, its help text, and a cell for each combination of label values."""

    __slots__ = ("cells", "folded", "help", "labels", "max_series", "name")

    def __init__(self, name: str, help_text: str, labels: Labels = (), *, max_series: int = MAX_SERIES) -> None:
        self.name = name
        self.help = help_text
        self.labels = labels
        self.max_series = max_series
        self.folded = 0  # measurements that went to the series `other` because the family was full
        self.cells: dict[Labels, Cell] = {}
        if not labels:
            self.cells[()] = self._zero()

    def seen(self, labels: Labels, times: int = 1) -> Labels:
        """Make sure that a series exists for *labels* and return its key, which is `other` once the family is full.

        *times* is how many measurements the caller is about to put there.
        """
        if labels in self.cells:
            return labels
        if len(self.cells) >= self.max_series:
            self.folded += times
            labels = (OTHER,) * len(labels)
            if labels in self.cells:
                return labels
        self.cells[labels] = self._zero()
        return labels

    @abstractmethod
    def copy(self) -> Self:
        """Return an independent family with the same series."""

    @abstractmethod
    def absorb(self, series: Iterable[tuple[Sequence[str], Cell]]) -> None:
        """Add what the same family of another process holds."""

    @abstractmethod
    def metric(self) -> Metric:
        """Return the family's present state in the form that `generate_latest` takes."""

    @abstractmethod
    def _zero(self) -> Cell: ...


class _Numbers(Family[float]):
    """A family whose cells are plain numbers."""

    __slots__ = ()

    def copy(self) -> Self:
        twin = type(self)(self.name, self.help, self.labels, max_series=self.max_series)
        twin.cells = self.cells.copy()
        return twin

    def absorb(self, series: Iterable[tuple[Sequence[str], float]]) -> None:
        for labels, value in series:
            self.cells[self.seen(tuple(labels))] += value

    def _zero(self) -> float:
        return 0


class Counter(_Numbers):
    """A number that only grows. The name ends in `_total`."""

    __slots__ = ()

    def add(self, labels: Labels, amount: float = 1, *, times: int = 1) -> None:
        """Add *amount*, which is not negative and comes from so many measurements."""
        try:
            self.cells[labels] += amount
        except KeyError:
            self.cells[self.seen(labels, times)] += amount

    def metric(self) -> Metric:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.cells.items():
            family.add_metric(labels, value)
        return family


class Gauge(_Numbers):
    """A number that is counted anew at each scrape. A series once seen stays, at zero."""

    __slots__ = ()

    def count(self, items: Iterable[Labels]) -> None:
        """Set every series to how often *items* holds its labels."""
        self.cells = dict.fromkeys(self.cells, 0)
        for labels in items:
            self.cells[self.seen(labels)] += 1

    def metric(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in self.cells.items():
            family.add_metric(labels, value)
        return family


class Histogram(Family[list[float]]):
    """How many measurements fell between which bounds, and their sum.

    A cell holds the count of each bucket (not cumulated), one more for what exceeds the last bound, and then the sum.
    """

    __slots__ = ("_bounds",)

    def __init__(
        self, name: str, help_text: str, labels: Labels = (), *, bounds: Sequence[float], max_series: int = MAX_SERIES
    ) -> None:
        self._bounds = tuple(bounds)
        super().__init__(name, help_text, labels, max_series=max_series)

    def observe(self, labels: Labels, value: float) -> None:
        """Count one measurement."""
        try:
            cell = self.cells[labels]
        except KeyError:
            cell = self.cells[self.seen(labels)]
        cell[bisect_left(self._bounds, value)] += 1
        cell[-1] += value

    def observe_all(self, labels: Labels, values: Sequence[float]) -> None:
        """Count many measurements. None at all make no series."""
        if not values:
            return
        cell = self.cells[self.seen(labels, len(values))]
        ordered, below = sorted(values), 0
        for index, bound in enumerate(self._bounds):
            reached = bisect_right(ordered, bound)
            cell[index] += reached - below
            below = reached
        cell[-2] += len(ordered) - below
        cell[-1] += sum(ordered)

    def fold(self, labels: Labels, counts: Sequence[int], total: float) -> None:
        """Count many measurements whose sum is *total*: *counts* by this histogram's bounds, one more for the rest."""
        cell = self.cells[self.seen(labels)]
        for index, count in enumerate(counts):
            if count:
                cell[index] += count
        cell[-1] += total

    def copy(self) -> Self:
        twin = type(self)(self.name, self.help, self.labels, bounds=self._bounds, max_series=self.max_series)
        twin.cells = {labels: cell.copy() for labels, cell in self.cells.items()}
        return twin

    def absorb(self, series: Iterable[tuple[Sequence[str], Sequence[float]]]) -> None:
        for labels, other in series:
            cell = self.cells[self.seen(tuple(labels))]
            for index, count in enumerate(other):
                cell[index] += count

    def metric(self) -> Metric:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        bounds = [str(float(bound)) for bound in self._bounds] + ["+Inf"]
        for labels, cell in self.cells.items():
            family.add_metric(labels, list(zip(bounds, accumulate(cell[:-1]), strict=True)), cell[-1])
        return family

    def _zero(self) -> list[float]:
        return [0] * (len(self._bounds) + 2)
