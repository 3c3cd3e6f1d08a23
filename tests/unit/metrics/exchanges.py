"""Exchanges as the handler would leave them behind. The times are sums of powers of two, so that sums of them are exact."""

from __future__ import annotations

from proxy.exchange import Attempt, Exchange, Outcome, Phase, Usage
from tests.support.exchanges import exchange_with

STARTED = 1000.0
WALL = 1763719383.25  # 2025-11-21T10:03:03.250Z


def admitted(route: str = "chat", *, stream: bool = False) -> Exchange:
    """A request that runs and has not been routed yet."""
    return exchange_with(
        "req-1",
        STARTED,
        WALL,
        method="POST",
        route=route,
        dialect="chat",
        subject="ci",
        remote="192.0.2.7",
        model="gpt-*",
        model_requested="gpt-4o-mini",
        stream=stream,
        bytes_in=120,
    )


def streaming(route: str = "chat") -> Exchange:
    """A live stream: three tokens 1/64 s and 2 s apart, and keepalives on both sides of the first."""
    exchange = admitted(route, stream=True)
    exchange.upstream = "openai"
    exchange.attempts.append(Attempt("openai", "gpt-4o-mini", 1000.001, headers_seconds=0.25))
    exchange.phase = Phase.STREAMING
    exchange.status = 200
    exchange.committed = 1000.5
    exchange.waited = 0.5 - 1 / 512
    for moment in (1000.5, 1000.515625, 1002.515625):
        exchange.progress.content(moment)
    exchange.progress.chunks = 3
    exchange.progress.bytes_out = 300
    exchange.keepalives_before = 1
    exchange.keepalives_after = 2
    exchange.backpressure_seconds = 0.5
    exchange.silence_seconds = 2.5
    return exchange


def completed_stream(route: str = "chat") -> Exchange:
    exchange = streaming(route)
    exchange.attempts[0].ended = 1002.75
    exchange.attempts[0].result = "ok"
    exchange.attempts[0].status = 200
    exchange.usage = Usage(tokens_in=12, tokens_out=3, cached=4)
    exchange.cost_usd = 0.0025
    exchange.close(Outcome.COMPLETED, 1003.0)
    return exchange


def whole_answer(route: str = "chat") -> Exchange:
    """A plain answer that came at the first attempt and in one piece, a second after the request."""
    exchange = admitted(route)
    exchange.upstream = "openai"
    exchange.attempts.append(Attempt("openai", "gpt-4o-mini", 1000.0, 1000.75, "ok", 200, headers_seconds=0.75, reused=True))
    exchange.phase = Phase.STREAMING
    exchange.status = 200
    exchange.committed = 1000.75
    exchange.whole = True
    exchange.progress.content(1000.75)
    exchange.progress.chunks = 1
    exchange.progress.bytes_out = 300
    exchange.silence_seconds = exchange.waited = 0.75
    exchange.usage = Usage(tokens_in=12, tokens_out=3)
    exchange.close(Outcome.COMPLETED, 1001.0)
    return exchange


def refused() -> Exchange:
    """A request without valid credentials."""
    exchange = exchange_with("req-2", STARTED, WALL, method="POST", route="chat", dialect="chat")
    exchange.auth_failure = "expired"
    exchange.status = 401
    exchange.code = "invalid_credentials"
    exchange.detail = "the token expired 12s ago"
    exchange.close(Outcome.REJECTED_AUTH, STARTED + 1 / 4096)
    return exchange


def left(phase: Phase = Phase.FIRST_TOKEN) -> Exchange:
    """A stream whose client left at 1004, before the first token."""
    exchange = admitted(stream=True)
    exchange.upstream = "openai"
    exchange.attempts.append(Attempt("openai", "gpt-4o-mini", 1000.0, ended=1004 + 1 / 512, result="cancelled"))
    exchange.phase = phase
    exchange.client_gone_at = 1004.0
    exchange.upstream_closed_at = 1004 + 1 / 512
    exchange.waited = 4.0
    exchange.close(Outcome.CLIENT_GONE, 1004.25)
    return exchange
