"""Reads what an answer of Bedrock's used, in the words of Converse, of Bedrock's own metrics, and of the models behind `invoke`."""

from __future__ import annotations

from typing import Any, Final

from proxy.dialects.usage import read_messages_usage, read_usage
from proxy.exchange import Usage

_MOST: Final = 1 << 53  # beyond it no count is believed

Names = tuple[str, str, str, str]  # of the input beside the cache, read from the cache, written to it, of the output

CONVERSE: Final[Names] = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "outputTokens")
METRICS: Final[Names] = ("inputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount", "outputTokenCount")


def read_counts(usage: Any, names: Names) -> Usage | None:
    """Read an object that counts under these *names*, the input without what was read from a cache or written to it."""
    if not isinstance(usage, dict):
        return None
    beside, cached, written, out = (_count(usage.get(name)) for name in names)
    return Usage(None if beside is None else beside + (cached or 0) + (written or 0), out, cached, written)


def read_native_usage(usage: Any) -> Usage | None:
    """Read the `usage` of a model's own answer, as Amazon's, Anthropic's or OpenAI's models write it."""
    if not isinstance(usage, dict):
        return None
    if CONVERSE[0] in usage:
        return read_counts(usage, CONVERSE)
    return read_messages_usage(usage) if "input_tokens" in usage else read_usage(usage)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST else None
