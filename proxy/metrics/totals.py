"""Which field of a closed exchange feeds which metric, for requests as clients see them and for the work of upstreams."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.exchange import GAP_BUCKETS, Exchange, Outcome, Usage
from proxy.metrics.families import MAX_SERIES, Counter, Histogram
from proxy.metrics.streams import NONE

DURATION_BUCKETS: Final = (*GAP_BUCKETS, 600, 1200, 1800)
OWN_TIME_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)

# An upstream's report above this is nonsense, and nonsense once added to a counter stays there.
PLAUSIBLE: Final = 1e12


Kind = tuple[str, str, str, bool, int, str]


class Labels(NamedTuple):
    """The label values of one kind of request, worked out once."""

    total: tuple[str, ...]
    duration: tuple[str, ...]
    upstream: tuple[str, ...]
    route: tuple[str, ...]


class RequestTotals:
    """What is counted once for each request, seen from the client."""

    def __init__(self) -> None:
        self._labels: dict[Kind, Labels] = {}
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
        route, started = exchange.route, exchange.started
        kind = (route, exchange.upstream, exchange.dialect, exchange.stream, exchange.status, outcome.value)
        labels = self._labels.get(kind) or self._labels_of(kind)
        self.total.add(labels.total)
        self.duration.observe(labels.duration, ended - started)
        begun = ended if exchange.committed is None else exchange.committed
        overhead = begun - started - exchange.upstream_wait
        self.overhead.observe(labels.route, overhead if overhead > 0 else 0.0)
        if exchange.first_token is not None:
            self.first_token.observe(labels.upstream, exchange.first_token - started)
        if exchange.committed_early:
            self.committed_early.add((route,))
        if exchange.auth_failure:
            self.auth_failures.add((exchange.auth_failure,))
        if outcome is Outcome.CLIENT_GONE:
            self.disconnects.add((route, exchange.phase.value))
        if exchange.client_gone_at is not None and exchange.upstream_closed_at is not None:
            self.cancel.observe((), max(exchange.upstream_closed_at - exchange.client_gone_at, 0.0))

    def _labels_of(self, kind: Kind) -> Labels:
        route, upstream, dialect, streamed, status, outcome = kind
        upstream, stream = upstream or NONE, "true" if streamed else "false"
        labels = Labels(
            total=(route, upstream, dialect, stream, str(status) if status else NONE, outcome),
            duration=(route, upstream, stream),
            upstream=(route, upstream),
            route=(route,),
        )
        if len(self._labels) < MAX_SERIES:
            self._labels[kind] = labels
        return labels


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
            self.attempts.add((attempt.upstream, attempt.result or "cancelled"))
            if attempt.headers_seconds is not None:
                self.headers.observe((attempt.upstream,), attempt.headers_seconds)
        for upstream, reason in exchange.retries:
            self.retries.add((upstream, reason))
        if exchange.usage is not None:
            self._tokens(exchange.upstream or NONE, exchange.model or NONE, exchange.usage)
        cost = exchange.cost_usd
        if cost is not None and 0 < cost < PLAUSIBLE:
            self.cost.add((exchange.upstream or NONE, exchange.model or NONE, "all"), cost)

    def _tokens(self, upstream: str, model: str, usage: Usage) -> None:
        counts = (("input", usage.tokens_in), ("output", usage.tokens_out), ("cached", usage.cached))
        for direction, count in counts:
            if count is not None and 0 < count < PLAUSIBLE:
                self.tokens.add((upstream, model, direction), count)
