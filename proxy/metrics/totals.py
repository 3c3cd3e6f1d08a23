"""Which field of a closed exchange feeds which metric, for requests as clients see them and for the work of upstreams."""

from __future__ import annotations

from typing import Final

from proxy.exchange import GAP_BUCKETS, Attempt, Exchange, Outcome, Usage
from proxy.metrics.families import Counter, Histogram
from proxy.metrics.streams import NONE

DURATION_BUCKETS: Final = (*GAP_BUCKETS, 600, 1200, 1800)
OWN_TIME_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

# An upstream's report above this is nonsense, and nonsense once added to a counter stays there.
PLAUSIBLE: Final = 1e12


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
            "The proxy's own time until the answer began, waiting for upstreams excluded.",
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

    def add(self, exchange: Exchange, outcome: Outcome, ended: float) -> None:
        route, upstream, started = exchange.route, exchange.upstream or NONE, exchange.started
        stream = "true" if exchange.stream else "false"
        status = str(exchange.status) if exchange.status else NONE
        self.total.add((route, upstream, exchange.dialect, stream, status, outcome.value))
        self.duration.observe((route, upstream, stream), ended - started)
        begun = ended if exchange.committed is None else exchange.committed
        self.overhead.observe((route,), max(begun - started - exchange.upstream_wait, 0.0))
        if exchange.first_token is not None:
            self.first_token.observe((route, upstream), exchange.first_token - started)
        if exchange.committed_early:
            self.committed_early.add((route,))
        if exchange.auth_failure:
            self.auth_failures.add((exchange.auth_failure,))
        if outcome is Outcome.CLIENT_GONE:
            self.disconnects.add((route, exchange.phase.value))
        if exchange.client_gone_at is not None and exchange.upstream_closed_at is not None:
            self.cancel.observe((), max(exchange.upstream_closed_at - exchange.client_gone_at, 0.0))


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
            "From the last byte of a request to the response head of the upstream.",
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

    def add(self, exchange: Exchange) -> None:
        for attempt in exchange.attempts:
            self._attempt(attempt)
        for upstream, reason in exchange.retries:
            self.retries.add((upstream, reason))
        if exchange.usage is not None:
            self._tokens(exchange.upstream or NONE, exchange.model or NONE, exchange.usage)
        cost = exchange.cost_usd
        if cost is not None and 0 < cost < PLAUSIBLE:
            self.cost.add((exchange.upstream or NONE, exchange.model or NONE, "all"), cost)

    def _attempt(self, attempt: Attempt) -> None:
        self.attempts.add((attempt.upstream, attempt.result or "cancelled"))
        if attempt.headers_seconds is not None:
            self.headers.observe((attempt.upstream,), attempt.headers_seconds)

    def _tokens(self, upstream: str, model: str, usage: Usage) -> None:
        counts = (("input", usage.tokens_in), ("output", usage.tokens_out), ("cached", usage.cached))
        for direction, count in counts:
            if count is not None and 0 < count < PLAUSIBLE:
                self.tokens.add((upstream, model, direction), count)
