"""What all endpoints of the Anthropic dialect share: headers, error bodies, versions and event frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Dialect, Failure, Refusal, retry_after

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
NO_SAMPLING: Final = "2026-10-21"  # the version that took temperature, top_p and top_k away

_VERSIONS: Final = ("2023-01-01", "2023-06-01", NO_SAMPLING)
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS: Final = frozenset(_TYPES.values())
_NO_QUOTA: Final = "insufficient_quota"
_LIMITS: Final = {"requests": 4000, "tokens": 480_000, "input-tokens": 400_000, "output-tokens": 80_000}


def headers(name: str, _: int) -> dict[str, str]:
    """Return the headers of one answer; the limits look as if nobody else were there."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"request-id": f"req_{name}", "anthropic-organization-id": "simulator"}
    for what, limit in _LIMITS.items():
        said[f"anthropic-ratelimit-{what}-limit"] = said[f"anthropic-ratelimit-{what}-remaining"] = str(limit)
        said[f"anthropic-ratelimit-{what}-reset"] = now
    return said


def error_object(failure: Failure, name: str) -> dict[str, Any]:
    """Return the error for *failure* in the request called *name*. A code that is one of this API's own types wins over the status."""
    error: dict[str, Any] = {"type": _type(failure), "message": failure.message}
    if failure.code == _NO_QUOTA:
        error["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": error, "request_id": f"req_{name}"}


def refuse(failure: Failure, name: str) -> Refusal:
    """Return an error answer. A spend limit does not say when to come back."""
    wait = {} if failure.code == _NO_QUOTA else retry_after(failure)
    return Refusal(orjson.dumps(error_object(failure, name)), wait)


def known_version(headers: Mapping[str, str]) -> str:
    """Return the API version that a request asks for."""
    version = headers.get("anthropic-version")
    if version is None:
        raise BadRequest("The header `anthropic-version` is required.", param="anthropic-version")
    if version not in _VERSIONS:
        raise BadRequest(f"`anthropic-version` must be one of {', '.join(_VERSIONS)}.", param="anthropic-version")
    return version


def frame(event: Mapping[str, Any]) -> bytes:
    """Return an event under the name of its type, without which the clients would drop it."""
    if event["type"] == "ping":
        return PING
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def _type(failure: Failure) -> str:
    if failure.code in _WORDS:
        return str(failure.code)
    return _TYPES.get(failure.status, "api_error" if failure.kind is Kind.SERVER else "invalid_request_error")


DIALECT: Final = Dialect(refuse=refuse, headers=headers)
