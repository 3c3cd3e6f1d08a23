"""What a stream adds to the totals while it runs, so that a scrape can see it before its end."""

from __future__ import annotations

from typing import Final, Self

from proxy.exchange import GAP_BUCKETS, Exchange
from proxy.metrics.families import Counter, Histogram

NONE: Final = "none"  # label value where an exchange has nothing to say


class StreamTotals:
    """Token gaps, keepalives, back-pressure and silence, summed over exchanges."""

    __slots__ = ("backpressure", "gaps", "keepalives", "silence")

    def __init__(self) -> None:
        self.gaps = Histogram(
            "llm_proxy_token_gap_seconds",
            "Time between two consecutive tokens of a stream, every gap counted.",
            ("route", "upstream"),
            bounds=GAP_BUCKETS,
        )
        self.keepalives = Counter(
            "llm_proxy_keepalives_sent_total",
            "Keepalive frames sent to clients, before or after the first token.",
            ("route", "phase"),
        )
        self.backpressure = Counter(
            "llm_proxy_client_backpressure_seconds_total",
            "Time in which upstreams were paused because the client did not read.",
            ("route",),
        )
        self.silence = Counter(
            "llm_proxy_upstream_silence_seconds_total",
            "Time spent waiting for upstreams to send something.",
            ("route",),
        )

    @property
    def families(self) -> tuple[Counter | Histogram, ...]:
        return (self.gaps, self.keepalives, self.backpressure, self.silence)

    def add(self, exchange: Exchange) -> None:
        """Add what *exchange* has counted up to now."""
        route = exchange.route
        if exchange.progress.gaps is not None:
            self.gaps.fold((route, exchange.upstream or NONE), exchange.progress.gaps, exchange.progress.gap_sum)
        if exchange.keepalives_before:
            self.keepalives.add((route, "before"), exchange.keepalives_before)
        if exchange.keepalives_after:
            self.keepalives.add((route, "after"), exchange.keepalives_after)
        if exchange.backpressure_seconds > 0:
            self.backpressure.add((route,), exchange.backpressure_seconds)
        if exchange.silence_seconds > 0:
            self.silence.add((route,), exchange.silence_seconds)

    def fold(self, route: str, silence: float) -> None:
        """Add the waiting for whole answers, which have nothing else to add here."""
        if silence > 0:
            self.silence.add((route,), silence)

    def copy(self) -> Self:
        """Return independent totals that start from the present state."""
        twin = type(self)()
        twin.gaps = self.gaps.copy()
        twin.keepalives = self.keepalives.copy()
        twin.backpressure = self.backpressure.copy()
        twin.silence = self.silence.copy()
        return twin
