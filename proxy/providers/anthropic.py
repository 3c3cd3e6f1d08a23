"""Anthropic: paths below an origin without a version, `x-api-key`, and an `anthropic-version` on every request.

Which refusals concern money comes from its error table; asking the same account again never helps there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy import settings
from proxy.providers.base import Asked, Provider, Refusal

_OAUTH: Final = "sk-ant-oat"  # how the tokens of a login begin, which are no API keys
_MONEY: Final = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
_OWN_LIMIT: Final = ("You have reached your specified API usage", "You have reached your specified workspace API usage")
_ALL: Final = b"?limit=1000"  # models; a page has twenty unless more are asked for


class Anthropic(Provider):
    """Native messages. The base may end in `/v1`, as that of other kinds does."""

    speaks = frozenset({"messages", "count_tokens", "models"})
    defaults = ((b"anthropic-version", b"2023-06-01"),)  # the older one: it knows every parameter

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        super().__init__(config, base)
        self._base = self._base.removesuffix(b"/v1")

    def target(self, asked: Asked) -> bytes:
        return self._base + asked.path + (_ALL if asked.api == "models" else asked.query)

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        if not key:
            return ()
        return ((b"Authorization", b"Bearer " + key.encode()),) if key.startswith(_OAUTH) else ((b"x-api-key", key.encode()),)

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        if status == 402 or _is_about_money(status, _error(body)):
            return Refusal("spend_limit", transient=True)
        if status == 429:
            return Refusal("rate_limited", transient=True)
        if status in (401, 403):
            return Refusal("credentials", transient=True)
        if status in (503, 529):
            return Refusal("overloaded", transient=True)
        if status >= 500:
            return Refusal("server_error", transient=True)
        return Refusal("refused", transient=status in (408, 409))


def _error(body: bytes) -> dict[str, Any]:
    """Return the error object of an answer; empty where there is none."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


def _is_about_money(status: int, error: dict[str, Any]) -> bool:
    details = error.get("details")
    if isinstance(details, dict) and details.get("error_code") in _MONEY:
        return True
    # a limit that the account's owner has set: it has no word of its own, only this documented beginning of its sentence
    return status == 400 and str(error.get("message")).startswith(_OWN_LIMIT)
