"""Notes what each request adds, by its kind, in plain lists and numbers; sorting into buckets waits for a batch or a scrape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from proxy.exchange import OK, Exchange, Outcome, Usage

BATCH: Final = 512  # requests after which the tallies are folded although nobody has asked
PLAUSIBLE: Final = 1e12  # an upstream's report above this is nonsense, and nonsense once added to a counter stays there


class Kind(NamedTuple):
    """What requests have in common that are counted together; all of it from closed sets."""

    route: str
    upstream: str
    model: str
    dialect: str
    stream: bool
    status: int
    outcome: Outcome


class Tally:
    """What requests of one kind have added since it was begun. Times are seconds, each measurement by itself."""

    __slots__ = (
        "answers", "cached", "cost", "durations", "first_tokens", "headers", "overheads", "silence", "tokens_in", "tokens_out",
    )  # fmt: skip

    def __init__(self) -> None:
        self.durations: list[float] = []
        self.overheads: list[float] = []
        self.first_tokens: list[float] = []
        self.headers: list[float] = []
        self.answers = 0  # attempts that were the answer
        self.tokens_in = self.tokens_out = self.cached = 0
        self.cost = 0.0
        self.silence = 0.0  # of those whose answers went out whole

    def add(self, exchange: Exchange, ended: float) -> None:
        """Note a request that has *ended*."""
        started = exchange.started
        begun = ended if exchange.committed is None else exchange.committed
        overhead = begun - started - exchange.waited
        self.durations.append(ended - started)
        self.overheads.append(overhead if overhead > 0 else 0.0)
        if exchange.progress.first_token is not None:
            self.first_tokens.append(exchange.progress.first_token - started)
        if (attempts := exchange.attempts) and (last := attempts[-1]).result == OK:
            self.answers += 1
            if last.headers_seconds is not None:
                self.headers.append(last.headers_seconds)
        if exchange.whole:
            self.silence += exchange.silence_seconds
        if (usage := exchange.usage) is not None:
            self._add_usage(usage)
            if (cost := exchange.cost_usd) is not None and 0 < cost < PLAUSIBLE:
                self.cost += cost

    def _add_usage(self, usage: Usage) -> None:
        if (count := usage.tokens_in) and 0 < count < PLAUSIBLE:
            self.tokens_in += count
        if (count := usage.tokens_out) and 0 < count < PLAUSIBLE:
            self.tokens_out += count
        if (count := usage.cached) and 0 < count < PLAUSIBLE:
            self.cached += count


class Tallies:
    """The tallies of all kinds, handed to *fold* one by one and begun anew."""

    __slots__ = ("_fold", "_since", "_tallies")

    def __init__(self, fold: Callable[[Kind, Tally], None]) -> None:
        self._fold = fold
        self._tallies: dict[tuple[str, str, str, str, bool, int, Outcome], Tally] = {}
        self._since = 0

    def add(self, exchange: Exchange, outcome: Outcome, ended: float) -> None:
        """Note a request that has *ended*."""
        # as a plain tuple: a named one costs a call
        kind = (
            exchange.route, exchange.upstream, exchange.model, exchange.dialect, exchange.stream, exchange.status, outcome,
        )  # fmt: skip
        tally = self._tallies.get(kind)
        if tally is None:
            tally = self._tallies[kind] = Tally()
        tally.add(exchange, ended)
        self._since += 1
        if self._since >= BATCH:
            self.fold()

    def fold(self) -> None:
        """Hand everything over."""
        tallies, self._tallies, self._since = self._tallies, {}, 0
        for kind, tally in tallies.items():
            self._fold(Kind(*kind), tally)
