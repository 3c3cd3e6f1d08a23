"""The record of one request, from admission to its single outcome word.

Everything that metrics, the access log and the usage store say about a request is read from here and nowhere else.
Times are seconds of the monotonic clock, except `wall`, which is seconds since the epoch. The relay counts in plain
ints; nothing in here touches a metric object.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from dataclasses import dataclass
from functools import partial
from operator import sub
from typing import Final

GAP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)

_NOT_YET: Final = float("-inf")
_bucket: Final = partial(bisect_left, tuple(map(float, GAP_BUCKETS)))


class Outcome(enum.StrEnum):
    """How a request ended; exactly one each. Metric label, log field and stored word."""

    COMPLETED = "completed"
    CLIENT_GONE = "client_gone"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_STALLED = "upstream_stalled"
    UPSTREAM_TRUNCATED = "upstream_truncated"
    UPSTREAM_RESET = "upstream_reset"
    IN_BAND_ERROR = "in_band_error"
    REJECTED_AUTH = "rejected_auth"
    REJECTED_REQUEST = "rejected_request"
    REJECTED_LIMIT = "rejected_limit"
    REJECTED_DRAINING = "rejected_draining"
    CLIENT_STALLED = "client_stalled"
    EXPIRED = "expired"
    DRAINED = "drained"
    PROXY_ERROR = "proxy_error"


class Phase(enum.StrEnum):
    """What a request is waiting for; the label of `llm_proxy_client_disconnects_total`."""

    REQUEST = "request"  # its own head and body, authentication, routing
    CONNECTING = "connecting"
    HEADERS = "headers"
    BACKOFF = "backoff"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a phase, not a password
    STREAMING = "streaming"


OK: Final = "ok"  # the result of an attempt that was the answer


@dataclass(slots=True)
class Attempt:
    """One try at one upstream. `result` is `OK`, an error code, or `cancelled`; empty while it runs."""

    upstream: str
    model: str
    started: float
    ended: float = 0.0
    result: str = ""
    status: int = 0
    headers_seconds: float | None = None  # from the beginning, with what it took to connect, to the response head
    reused: bool = False


@dataclass(slots=True)
class Usage:
    """Tokens as the upstream reported them; None: it did not say.

    `tokens_in` includes every cached token and `tokens_out` the reasoning ones.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_usd: float | None = None  # where the upstream itself states it


class Progress:
    """What of an answer has gone to the client so far. Written for each chunk, so it is small and holds nothing else.

    A chunk touches little memory twice: of a thousand streams at once, none finds its own still in the processor's cache.
    """

    __slots__ = ("bytes_out", "chunks", "first_token", "gaps", "heard_at", "last_content", "longest_gap")

    def __init__(self) -> None:
        self.bytes_out = 0  # response body, framing and keepalives excluded
        self.chunks = 0
        self.first_token: float | None = None
        self.gaps: list[int] | None = None  # counts by GAP_BUCKETS, one more for the rest
        self.heard_at = _NOT_YET  # the last chunk of a live stream
        self.last_content = _NOT_YET
        self.longest_gap = 0.0

    def count(self, data: bytes) -> None:
        """Count *data* as sent to the client; nothing is no chunk."""
        if data:
            self.chunks += 1
            self.bytes_out += len(data)

    def content(self, *times: float) -> None:
        """Note that content arrived at each of these *times*: the first token, or one more gap."""
        if self.first_token is None:
            self.first_token = self.last_content = times[0]
            times = times[1:]
        if not times:
            return
        gaps = list(map(sub, times, (self.last_content, *times)))
        self.last_content = times[-1]
        self.longest_gap = max(self.longest_gap, *gaps)
        counts = self.gaps = self.gaps or [0] * (len(GAP_BUCKETS) + 1)
        for bucket in map(_bucket, gaps):
            counts[bucket] += 1

    @property
    def contents(self) -> int:
        """How many times content has arrived; at most backends it is a token each time."""
        return 0 if self.first_token is None else 1 + sum(self.gaps or ())

    @property
    def gap_sum(self) -> float:
        """All gaps together: they follow one another without a gap."""
        return 0.0 if self.first_token is None else self.last_content - self.first_token


class Exchange:
    """One request's facts. The handler owns it; the stream counts into it; `close` ends it, once.

    The defaults stand on the class: most requests set a third of the fields, and one is made for each request. What is asked
    of every request stands on the exchange itself.
    """

    method: str = ""
    route: str = "other"
    dialect: str = "none"
    subject: str = ""
    remote: str = ""
    model: str = ""  # public name as configured (the pattern that matched, for metrics)
    model_requested: str = ""  # as the client wrote it; logs only, never a label
    stream: bool = False
    upstream: str = ""  # the last one tried
    auth_failure: str = ""
    phase: Phase = Phase.REQUEST
    status: int = 0  # sent to the client; 0: none was
    code: str = ""  # stable error code, empty when none
    detail: str = ""  # operator's sentence on a failure
    committed_early: bool = False
    whole: bool = False  # its answer came and went in one piece: nothing that can happen to a stream has happened to it
    ended: float | None = None
    bytes_in: int = 0  # request body
    keepalives_before: int = 0
    keepalives_after: int = 0
    observer_skips: int = 0  # events too large to look into
    silence_seconds: float = 0.0  # waiting for the upstream, from routing to the end
    upstream_closed_at: float | None = None
    upstream_request_id: str = ""
    usage: Usage | None = None
    cost_usd: float | None = None

    def __init__(self, request_id: str, started: float, wall: float) -> None:
        self.request_id = request_id
        self.started = started
        self.wall = wall
        self.progress = Progress()
        self.outcome: Outcome | None = None
        self.committed: float | None = None
        self.waited = 0.0  # part of the time until commit that was spent waiting for others: the request's body, upstreams
        self.backpressure_seconds = 0.0
        self.client_gone_at: float | None = None
        self.attempts: list[Attempt] = []
        self.retries: list[tuple[str, str]] = []  # (upstream that failed, reason)

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id} {self.route} {self.outcome.value if self.outcome else self.phase.value}>"

    def close(self, outcome: Outcome, now: float) -> bool:
        """Give the exchange its outcome word; False if it already has one, which then stays."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        self.ended = now
        return True
