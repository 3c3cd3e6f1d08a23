"""The numbers of other processes: how they travel, what of them outlives a process, and how they are added to our own.

A snapshot is plain JSON. Its cells are those of the families: a number, or for histograms a list whose last is the sum.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypedDict, TypeVar

from proxy.metrics.families import Counter, Family, Gauge, Histogram, Labels

Series = Sequence[tuple[Sequence[str], Any]]
AnyFamily = TypeVar("AnyFamily", Counter, Gauge, Histogram, Counter | Gauge | Histogram)
Key = TypeVar("Key", bound=Hashable)


class Snapshot(TypedDict):
    """All that one process has counted and sees at present."""

    counted: Mapping[str, Series]  # only grows: counters and histograms, by name
    present: Mapping[str, Series]  # gauges
    folded: Mapping[str, int]
    circuits: Mapping[str, float]
    lost: Mapping[str, int]  # what could not be written, by its kind


NOTHING: Final[Snapshot] = {"counted": {}, "present": {}, "folded": {}, "circuits": {}, "lost": {}}


class Ledger(Generic[Key]):
    """The last snapshot of each process, and the sum of what those had counted that have ended: a counter never goes back."""

    def __init__(self) -> None:
        self._running: dict[Key, Snapshot] = {}
        self._ended = NOTHING

    def note(self, process: Key, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of *process*."""
        self._running[process] = snapshot

    def ended(self, process: Key) -> None:
        """Keep what *process* had counted, and nothing of what it saw."""
        last = self._running.pop(process, None)
        if last is None:
            return
        counted = (self._ended["counted"], last["counted"])
        self._ended = {
            "counted": {name: _sum(each.get(name, ()) for each in counted) for name in {**counted[0], **counted[1]}},
            "present": {},
            "folded": Counts(self._ended["folded"]) + Counts(last["folded"]),
            "circuits": {},
            "lost": Counts(self._ended["lost"]) + Counts(last["lost"]),
        }

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield what is to be added up."""
        yield self._ended
        yield from self._running.values()


class Others:
    """The snapshots of other processes, as something to add to our own families."""

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._snapshots = tuple(snapshots)

    def lost(self, kind: str) -> int:
        """Return how much of that kind they lost together."""
        return sum(each["lost"].get(kind, 0) for each in self._snapshots)

    def added(self, family: AnyFamily) -> AnyFamily:
        """Return *family* with what they hold of it; itself where there are none."""
        if not self._snapshots:
            return family
        total = family.copy()
        for snapshot in self._snapshots:
            for part in (snapshot["counted"], snapshot["present"]):
                total.absorb(part.get(family.name, ()))
        return total

    def overflow(self, families: Iterable[Family[Any]]) -> dict[str, int]:
        """Return how many measurements were folded, by family, where there are any."""
        own = {family.name: family.folded for family in families}
        folded = (own, *(snapshot["folded"] for snapshot in self._snapshots))
        sums = {name: sum(each.get(name, 0) for each in folded) for name in own}
        return {name: count for name, count in sums.items() if count}

    def worst(self, circuits: Mapping[str, float]) -> dict[str, float]:
        """Return each upstream's circuit as it is where it is worst."""
        result = dict(circuits)
        for snapshot in self._snapshots:
            for upstream, state in snapshot["circuits"].items():
                result[upstream] = max(state, result.get(upstream, state))
        return result


def _sum(parts: Iterable[Series]) -> Series:
    sums: dict[Labels, Any] = {}
    for series in parts:
        for labels, cell in series:
            key = tuple(labels)
            known = sums.get(key)
            sums[key] = cell if known is None else _plus(known, cell)
    return list(sums.items())


def _plus(one: Any, other: Any) -> Any:
    return [a + b for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other
