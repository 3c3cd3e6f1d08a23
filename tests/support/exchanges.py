"""Exchanges as tests want them: with some of their facts set."""

from __future__ import annotations

from typing import Any

from proxy.exchange import Exchange


def exchange_with(request_id: str, started: float, wall: float, **facts: Any) -> Exchange:
    """Return an exchange in which *facts* have happened."""
    exchange = Exchange(request_id, started, wall)
    for name, value in facts.items():
        assert hasattr(exchange, name), name
        setattr(exchange, name, value)
    return exchange
