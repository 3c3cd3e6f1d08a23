"""Writes OpenAI's errors for what other APIs report: status and word are mapped, the message is kept."""

from __future__ import annotations

from typing import Any, Final

from proxy.dialects.openai import read_json, told_error
from proxy.translate.json_text import dumped

# What OpenAI's clients do not know, or would take for something else.
_STATUSES: Final = {408: 504, 424: 502, 529: 503}
_SAID_NOTHING: Final = "The model's backend reported an error."

# status → type and code
_WORDS: Final[dict[int, tuple[str, str | None]]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "overloaded"),
    504: ("server_error", "timeout"),
}


def status_of(status: int) -> int:
    """Return the status that OpenAI has for what another API told with *status*."""
    return _STATUSES.get(status, status)


def error_body(status: int, message: Any) -> bytes:
    """Return an error body for a status of OpenAI's. *message* is the upstream's; anything but words gets ours."""
    kind, code = _WORDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    said = message if isinstance(message, str) and message else _SAID_NOTHING
    return dumped({"error": {"message": said, "type": kind, "param": None, "code": code}})


def error_event(status: int, message: Any) -> bytes:
    """Return an in-stream error."""
    return b"data: %b\n\n" % error_body(status_of(status), message)


def error_answer(status: int, body: bytes) -> tuple[int, bytes]:
    """Return status and body for another API's error answer; its message stands under `error`, or at the top (Bedrock)."""
    error = told_error(body) or read_json(body)
    message = error.get("message") or error.get("Message") if isinstance(error, dict) else error
    status = status_of(status)
    return status, error_body(status, message)
