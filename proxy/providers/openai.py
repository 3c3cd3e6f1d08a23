"""OpenAI and everything that speaks its API: OpenRouter, vLLM, llama.cpp, Ollama, Groq, Mistral, DeepSeek, xAI.

Which refusals concern money comes from the providers' error tables; asking the same account again never helps there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.providers.base import Asked, Provider, Refusal

_MONEY: Final = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
)
_OVERLOADED: Final = (498, 503, 529)  # 498: Groq has no capacity left for its flex tier


class OpenAi(Provider):
    """Paths below the configured base, a bearer key, OpenAI's error words."""

    speaks = frozenset({"chat", "completions", "responses", "embeddings", "moderations", "images", "audio", "models"})

    def target(self, asked: Asked) -> bytes:
        # the configured base ends in the version (…/v1), the public path begins with it
        return self._base + asked.path.removeprefix(b"/v1") + asked.query

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"Authorization", b"Bearer " + key.encode()),) if key else ()

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        error = error_object(body)
        if status == 402 or any(_is_about_money(error.get(key)) for key in ("code", "type")):
            return Refusal("spend_limit", transient=True)
        if status == 429:
            return Refusal("rate_limited", transient=True)
        if status == 401 or (status == 403 and not _moderated(error)):
            return Refusal("credentials", transient=True)
        if status in _OVERLOADED:
            return Refusal("overloaded", transient=True)
        if status >= 500:
            return Refusal("server_error", transient=True)
        return Refusal("refused", transient=status in (408, 409))


def error_object(body: bytes) -> dict[str, Any]:
    """Return the error object of an answer: below `error`, flat (Mistral, older vLLM), or in a list (Google)."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return {}
    error = answer.get("error", answer)
    return error if isinstance(error, dict) else {}


def _is_about_money(word: Any) -> bool:
    return isinstance(word, str) and (word in _MONEY or word.endswith("_spend_limit_exceeded"))


def _moderated(error: dict[str, Any]) -> bool:
    """Tell OpenRouter's 403 for flagged input, which is the client's own, from a refused credential."""
    metadata = error.get("metadata")
    return isinstance(metadata, dict) and "reasons" in metadata
