"""Reads what an answer used, in the words of OpenAI and those who speak its API, of Anthropic and Gemini; missing is not zero."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from proxy.exchange import Usage

_MOST: Final = 1 << 53  # beyond it no count and no price is believed
_DETAILS: Final = frozenset(  # what not every upstream tells besides the two sums
    {"prompt_tokens_details", "input_tokens_details", "prompt_cache_hit_tokens"}
    | {"completion_tokens_details", "output_tokens_details", "cost", "cost_in_usd_ticks"}
)
MESSAGES_COUNTS: Final = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "output_tokens_details",
)
GEMINI_COUNTS: Final = (
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
)
_KEYS: Final = ("usage", "usageMetadata")
_USAGES: Final = {key: re.compile(rf'"{key}"\s*:\s*(?=\{{)') for key in _KEYS}
_QUOTED: Final = {key: f'"{key}"'.encode() for key in _KEYS}
_BACKSLASH: Final = ord("\\")
_DECODER: Final = json.JSONDecoder()


def read_usage(usage: Any) -> Usage | None:
    """Read an OpenAI `usage` object, of chat (`prompt_tokens`) or responses (`input_tokens`), in its known variants."""
    if not isinstance(usage, dict):
        return None
    read = Usage(_count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens"))
    if not _DETAILS.isdisjoint(usage):
        _add_details(read, usage)
    return read


def read_messages_usage(usage: Any) -> Usage | None:
    """Read Anthropic's `usage` object, whose `input_tokens` leave out what was read from a cache or written to it."""
    if not isinstance(usage, dict):
        return None
    uncached, cached, written, out = (_count(usage, name) for name in MESSAGES_COUNTS[:4])
    details = usage.get(MESSAGES_COUNTS[4])
    reasoning = _count(details, "thinking_tokens") if isinstance(details, dict) else None
    return Usage(None if uncached is None else uncached + (cached or 0) + (written or 0), out, cached, written, reasoning)


def read_gemini_usage(usage: Any) -> Usage | None:
    """Read Gemini's `usageMetadata`, where thoughts are counted beside the answer and a tool's input beside the prompt."""
    if not isinstance(usage, dict):
        return None
    prompt, tools, answer, thoughts, cached = (_count(usage, name) for name in GEMINI_COUNTS)
    return Usage(_sum(prompt, tools), _sum(answer, thoughts), cached=cached, reasoning=thoughts)


def _add_details(read: Usage, usage: dict[str, Any]) -> None:
    into = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if isinstance(into, dict):
        read.cached = _count(into, "cached_tokens")
        read.cache_write = _count(into, "cache_write_tokens")
    elif "prompt_cache_hit_tokens" in usage:  # DeepSeek
        read.cached = _count(usage, "prompt_cache_hit_tokens")
    out = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    if isinstance(out, dict):
        read.reasoning = _count(out, "reasoning_tokens")
        _add_reasoning(read, usage.get("total_tokens"))
    if "cost" in usage or "cost_in_usd_ticks" in usage:
        read.cost_usd = _cost(usage)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _add_reasoning(read: Usage, total: Any) -> None:
    """Make `tokens_out` include the reasoning where an upstream, xAI, counts it apart: only the total tells."""
    if read.reasoning and read.tokens_out is not None and total == (read.tokens_in or 0) + read.tokens_out + read.reasoning:
        read.tokens_out += read.reasoning


def _count(values: dict[str, Any], name: str, other: str = "") -> int | None:
    value = values.get(name)
    if value is None and other:
        value = values.get(other)
    return value if type(value) is int and 0 <= value < _MOST else None


def _cost(usage: dict[str, Any]) -> float | None:
    cost, unit = usage.get("cost"), 1.0
    if cost is None and "cost_in_usd_ticks" in usage:  # xAI
        cost, unit = usage["cost_in_usd_ticks"], 1e-10
    if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < _MOST:
        return cost * unit
    return None


def last_members(answer: bytes, key: str) -> dict[str, Any] | None:
    """Return the members of a JSON object from its last *key* on; None where that cannot be told without reading all of it.

    Usage stands near the end of an answer, and what the model wrote before it. Nothing that is read here can be a part of
    that text: inside a string a quote has a backslash before it, and only the members of the outermost object end where
    the answer ends.
    """
    at = answer.rfind(_QUOTED[key])
    if at < 1 or answer[at - 1] == _BACKSLASH:
        return None
    try:
        members: dict[str, Any] = orjson.loads(b"{" + answer[at:])
    except orjson.JSONDecodeError:
        return None
    return members


def usage_at_end(answer: bytes, key: str = "usage") -> Any:
    """Return the usage that stands under *key* in the last bytes of an answer whose beginning is missing."""
    text = answer.decode("utf-8", "replace")
    places = [found.end() for found in _USAGES[key].finditer(text)]
    try:
        return _DECODER.raw_decode(text, places[-1])[0] if places else None
    except (ValueError, RecursionError):
        return None
