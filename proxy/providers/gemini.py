"""Google's Gemini API: the model in the path, a key in a header of its own, errors with a status word and details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from proxy import settings
from proxy.providers.base import Asked, Provider, Refusal
from proxy.providers.openai import error_object

_MODELS: Final = b"/models/"
_LIST: Final = b"/v1beta/models?pageSize=1000"  # the most a page may have; it has fifty unless more are asked for
_BAD_KEY: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})  # told with a 400


class Gemini(Provider):
    """Paths as the client wrote them, below the configured origin, which may name its version; only the model is replaced."""

    speaks = frozenset({"gemini", "gemini_tokens", "models"})

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        super().__init__(config, base)
        self._base = self._base.removesuffix(b"/v1beta").removesuffix(b"/v1")

    def target(self, asked: Asked) -> bytes:
        if asked.api == "models":
            return self._base + _LIST
        version, models, rest = asked.path.partition(_MODELS)
        model, colon, verb = rest.rpartition(b":")
        if unquote_to_bytes(model) != asked.model.encode():
            model = quote(asked.model, safe="").encode()
        return b"".join((self._base, version, models, model, colon, verb, asked.query))

    def reads_model(self, api: str) -> bool:
        return False

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"x-goog-api-key", key.encode()),) if key else ()

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        if status in (401, 403) or (status == 400 and _reasons(error_object(body)) & _BAD_KEY):
            return Refusal("credentials", transient=True)
        if status == 429:
            return Refusal("rate_limited", transient=True)
        if status == 503:
            return Refusal("overloaded", transient=True)
        if status >= 499:
            return Refusal("server_error", transient=True)
        return Refusal("refused", transient=status in (408, 409))


def _reasons(error: Mapping[str, Any]) -> set[str]:
    """Return the reasons that an error's details give."""
    details = error.get("details")
    given = [each.get("reason") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    return {reason for reason in given if isinstance(reason, str)}
