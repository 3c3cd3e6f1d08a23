"""Which facts of closed exchanges feed which metric, for requests as clients see them and for the work of upstreams.

What nearly every request adds comes in tallies, by `fold`; what is rare comes straight from the exchange.
"""

from __future__ import annotations

from typing import Final

from proxy.exchange import GAP_BUCKETS, OK, Exchange, Outcome
from proxy.metrics.families import Counter, Histogram
from proxy.metrics.streams import NONE
from proxy.metrics.tally import Kind, Tally

DURATION_BUCKETS: Final = (*GAP_BUCKETS, 600, 1200, 1800)
OWN_TIME_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

_CLIENT_GONE: Final = Outcome.CLIENT_GONE  # to name a member of an enumeration is a slow look-up


class RequestTotals:
    """What is counted once for each request, seen from the client."""

    def __init__(self) -> None:
        self.total = Counter(
            "llm_proxy_requests_total",
            "Requests that have ended, by how they did.",
            ("route", "upstream", "dialect", "stream", "status", "outcome"),
        )
        self.duration = Histogram(
            "llm_proxy_request_duration_seconds",
            "From the admission of a request to its end.",
            ("route", "upstream", "stream"),
            bounds=DURATION_BUCKETS,
        )
        self.first_token = Histogram(
            "llm_proxy_time_to_first_token_seconds",
            "From the admission of a request to the first content from an upstream.",
            ("route", "upstream"),
            bounds=GAP_BUCKETS,
        )
        self.overhead = Histogram(
            "llm_proxy_overhead_seconds",
            "The proxy's own time until the answer began, waiting for request bodies and upstreams excluded.",
            ("route",),
            bounds=OWN_TIME_BUCKETS,
        )
        self.committed_early = Counter(
            "llm_proxy_committed_early_total",
            "Streams that were opened towards the client before an upstream had answered.",
            ("route",),
        )
        self.disconnects = Counter(
            "llm_proxy_client_disconnects_total",
            "Requests whose client left before the end, by what the request was waiting for.",
            ("route", "phase"),
        )
        self.cancel = Histogram(
            "llm_proxy_cancel_seconds",
            "From the moment in which a client left to the moment in which its upstream was closed.",
            bounds=OWN_TIME_BUCKETS,
        )
        self.auth_failures = Counter(
            "llm_proxy_auth_failures_total",
            "Requests refused for their credentials.",
            ("reason",),
        )

    @property
    def families(self) -> tuple[Counter | Histogram, ...]:
        return (
            self.total,
            self.duration,
            self.first_token,
            self.overhead,
            self.committed_early,
            self.disconnects,
            self.cancel,
            self.auth_failures,
        )

    def add_rare(self, exchange: Exchange, outcome: Outcome) -> None:
        """Count what few requests do."""
        if exchange.committed_early:
            self.committed_early.add((exchange.route,))
        if exchange.auth_failure:
            self.auth_failures.add((exchange.auth_failure,))
        if outcome is _CLIENT_GONE:
            self.disconnects.add((exchange.route, exchange.phase.value))
        if exchange.client_gone_at is not None and exchange.upstream_closed_at is not None:
            self.cancel.observe((), max(exchange.upstream_closed_at - exchange.client_gone_at, 0.0))

    def fold(self, kind: Kind, tally: Tally) -> None:
        """Count the requests of a tally."""
        route, upstream, stream = kind.route, kind.upstream or NONE, "true" if kind.stream else "false"
        status, count = str(kind.status) if kind.status else NONE, len(tally.durations)
        self.total.add((route, upstream, kind.dialect, stream, status, kind.outcome.value), count, times=count)
        self.duration.observe_all((route, upstream, stream), tally.durations)
        self.first_token.observe_all((route, upstream), tally.first_tokens)
        self.overhead.observe_all((route,), tally.overheads)


class UpstreamTotals:
    """What is counted for each attempt, and what the answers cost."""

    def __init__(self) -> None:
        self.attempts = Counter(
            "llm_proxy_upstream_attempts_total",
            "Attempts at upstreams, by their result.",
            ("upstream", "result"),
        )
        self.headers = Histogram(
            "llm_proxy_upstream_headers_seconds",
            "From the beginning of an attempt, with what it takes to connect, to the response head of the upstream.",
            ("upstream",),
            bounds=GAP_BUCKETS,
        )
        self.retries = Counter(
            "llm_proxy_retries_total",
            "Attempts that were followed by another one, by the upstream that had failed.",
            ("upstream", "reason"),
        )
        self.tokens = Counter(
            "llm_proxy_tokens_total",
            "Tokens as upstreams reported them; cached ones are a part of the input.",
            ("upstream", "model", "direction"),
        )
        self.cost = Counter(
            "llm_proxy_cost_usd_total",
            "Cost of answers, as stated by the upstream or by the configured price.",
            ("upstream", "model", "direction"),
        )

    @property
    def families(self) -> tuple[Counter | Histogram, ...]:
        return (self.attempts, self.headers, self.retries, self.tokens, self.cost)

    def add_rare(self, exchange: Exchange) -> None:
        """Count the attempts that were no answer."""
        for attempt in exchange.attempts:
            if attempt.result != OK:
                self.attempts.add((attempt.upstream, attempt.result or "cancelled"))
                if attempt.headers_seconds is not None:
                    self.headers.observe((attempt.upstream,), attempt.headers_seconds)
        for upstream, reason in exchange.retries:
            self.retries.add((upstream, reason))

    def fold(self, kind: Kind, tally: Tally) -> None:
        """Count the answers of a tally."""
        upstream, model = kind.upstream or NONE, kind.model or NONE
        if tally.answers:
            self.attempts.add((upstream, OK), tally.answers, times=tally.answers)
        self.headers.observe_all((upstream,), tally.headers)
        for direction, tokens in (("input", tally.tokens_in), ("output", tally.tokens_out), ("cached", tally.cached)):
            if tokens:
                self.tokens.add((upstream, model, direction), tokens)
        if tally.cost:
            self.cost.add((upstream, model, "all"), tally.cost)
