"""Writes Anthropic's errors for what other APIs report: status and kind are mapped, message and code are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.translate.json_text import dumped

# What Anthropic's clients do not know.
_STATUSES: Final = {408: 504, 422: 400, 424: 500, 498: 529, 502: 500, 503: 529}
_KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SAID_NOTHING: Final = "The model's backend reported an error."


def status_of(status: int) -> int:
    """Return the status that Anthropic has for what another API told with *status*."""
    return _STATUSES.get(status, status)


def kind_of(status: int) -> str:
    """Return the kind of an error by its status, of any API."""
    status = status_of(status)
    return _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def kind_of_words(words: Iterable[str], known: Mapping[str, str]) -> str:
    """Return the kind of an error by the first of its *words* that is *known*, or is a status."""
    for word in words:
        if word in known:
            return known[word]
        if word.isdecimal() and 400 <= int(word) < 600:
            return kind_of(int(word))
    return "api_error"


def error_body(kind: str, message: str, request_id: str, words: Iterable[str] = ()) -> bytes:
    """Return an error body. *words* are the upstream's own for it; the first one is told as `code`."""
    told: dict[str, Any] = {"type": kind, "message": message or _SAID_NOTHING}
    code = next(iter(words), "")
    if code:
        told["code"] = code
    return dumped({"type": "error", "error": told, "request_id": request_id})


def error_event(body: bytes) -> bytes:
    """Return an error body as the in-stream error; the official SDKs drop events without a name."""
    return b"event: error\ndata: %b\n\n" % body
