"""The client-facing APIs: what each means by request, event, usage, end, error and keepalive."""

from __future__ import annotations

from proxy.dialects.endpoints import (
    CHAT,
    COMPLETIONS,
    CONVERSE,
    COUNT_TOKENS,
    EMBEDDINGS,
    ENDPOINTS,
    GEMINI,
    GEMINI_STREAM,
    MESSAGES,
    PLAIN,
    RESPONSES,
    Endpoint,
)

__all__ = [
    "CHAT",
    "COMPLETIONS",
    "CONVERSE",
    "COUNT_TOKENS",
    "EMBEDDINGS",
    "ENDPOINTS",
    "GEMINI",
    "GEMINI_STREAM",
    "MESSAGES",
    "PLAIN",
    "RESPONSES",
    "Endpoint",
]
