"""Exchanges as tests want them: with some of their facts set."""

from __future__ import annotations

from typing import Any

from proxy.exchange import Exchange


def exchange_with(request_id: str, started: float, wall: float, **facts: Any) -> Exchange:
    """Return an exchange in which *facts* have happened."""
    exchange = Exchange(request_id, started, wall)
    for name, value in facts.items():
        part = exchange.progress if hasattr(exchange.progress, name) else exchange
        assert hasattr(part, name), name
        setattr(part, name, value)
    return exchange
