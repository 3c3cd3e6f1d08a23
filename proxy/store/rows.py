"""Turns a finished exchange into what is kept of it: a row for the call, and one more where it failed."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from proxy.exchange import Exchange, Outcome

ERROR: Final = "error"
_GOOD: Final = (Outcome.COMPLETED, Outcome.CLIENT_GONE)
_TYPES: Final = {
    "messages": "anthropic_call",
    "count_tokens": "anthropic_call",
    "gemini": "gemini_call",
    "gemini_tokens": "gemini_call",
    "converse": "bedrock_call",
    "invoke": "bedrock_call",
    "bedrock_tokens": "bedrock_call",
}
_OWN_PAGES: Final = frozenset({"health", "ping", "test", "stop", "tickets", "stream-check"})


class Row(NamedTuple):
    """One event. `created_at` is in seconds since the epoch, `payload` a JSON object."""

    created_at: float
    type: str
    payload: bytes


def rows_of(exchange: Exchange) -> list[Row]:
    """Return what is kept of an *exchange* that has its outcome; nothing of the proxy's own pages."""
    if exchange.route in _OWN_PAGES:
        return []
    payload = orjson.dumps(_payload(exchange))
    at = exchange.wall + (exchange.ended or exchange.started) - exchange.started
    rows = [Row(at, _TYPES.get(exchange.dialect, "openai_call"), payload)] if exchange.attempts else []
    if exchange.outcome not in _GOOD:
        rows.append(Row(at, ERROR, payload))
    return rows


def _payload(exchange: Exchange) -> dict[str, Any]:
    started, ended = exchange.started, exchange.ended or exchange.started
    usage = exchange.usage
    return {
        "request_id": exchange.request_id,
        "subject": exchange.subject,
        "route": exchange.route,
        "model": exchange.model,
        "upstream": exchange.upstream,
        "attempts": len(exchange.attempts),
        "provider_retry_count": len(exchange.retries),
        "status": exchange.status,
        "code": exchange.code,
        "outcome": exchange.outcome.value if exchange.outcome else "",
        "ttft_ms": None if exchange.progress.first_token is None else _ms(exchange.progress.first_token - started),
        "total_ms": _ms(ended - started),
        "longest_gap_ms": _ms(exchange.progress.longest_gap),
        "tokens_in": usage.tokens_in if usage else None,
        "tokens_out": usage.tokens_out if usage else None,
        "cost_usd": exchange.cost_usd,
        "stream": exchange.stream,
        "client_gone": exchange.client_gone_at is not None,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
