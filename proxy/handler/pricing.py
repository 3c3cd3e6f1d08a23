"""What an answer cost, from the tokens that the upstream reported and the configured prices."""

from __future__ import annotations

from proxy.exchange import Usage
from proxy.settings import Price


def cost_usd(usage: Usage | None, price: Price | None) -> float | None:
    """Return the cost in US dollars; None where tokens or prices are missing: missing is not zero.

    An upstream that states the cost itself is believed. Tokens read from or written to a cache are part of the input and
    have their own prices where they are configured.
    """
    if usage is None:
        return None
    if usage.cost_usd is not None:
        return usage.cost_usd
    if price is None or price.input is None or usage.tokens_in is None:
        return None
    output = _cost_of_output(usage.tokens_out, price.output)
    if output is None:
        return None
    cached, written = usage.cached or 0, usage.cache_write or 0
    plain = max(0, usage.tokens_in - cached - written)
    of_cache = cached * _or(price.cached_input, price.input) + written * _or(price.cache_write, price.input)
    return (plain * price.input + of_cache + output) / 1e6


def _cost_of_output(tokens: int | None, price: float | None) -> float | None:
    """Return it times a million; an embedding has no output tokens, and its model no price for them."""
    if not tokens and not price:
        return 0.0
    return None if tokens is None or price is None else tokens * price


def _or(price: float | None, fallback: float) -> float:
    return fallback if price is None else price
