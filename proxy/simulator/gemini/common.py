"""What all endpoints of the Gemini dialect share: headers, error bodies, and field names in either spelling."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.simulator.dialect import Dialect, Failure, Refusal
from proxy.simulator.fields import Fields

_CODES: Final = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_STATUSES: Final = {code: status for status, code in _CODES.items()}
_RPC: Final = "type.googleapis.com/google.rpc."
_FIRST_BAD: Final = 500
_AFTER_BAR: Final = re.compile(r"_([a-z0-9])")


def headers(_: str, milliseconds: int) -> dict[str, str]:
    """Return the headers of one answer that took *milliseconds* to begin; Google puts no request id on it."""
    return {"Server-Timing": f"gfet4t7; dur={milliseconds}", "X-Content-Type-Options": "nosniff"}


def error_object(failure: Failure) -> dict[str, Any]:
    """Return the object with the error for *failure*. A code that is one of Google's own status words wins over the status."""
    word = (failure.code or "").upper()
    if word in _CODES:
        code, status = _CODES[word], word
    else:
        code = failure.status
        status = _STATUSES.get(code, "INTERNAL" if code >= _FIRST_BAD else "INVALID_ARGUMENT")
    error: dict[str, Any] = {"code": code, "message": failure.message, "status": status}
    if details := _details(failure):
        error["details"] = details
    return {"error": error}


def refuse(failure: Failure, _: str) -> Refusal:
    """Return an error answer. When to come back is said in its body, not in a header."""
    return Refusal(orjson.dumps(error_object(failure)))


def camel(given: Fields) -> Fields:
    """Return an object with its own keys in camel case, without what is null; the API takes snake case too."""
    return {_AFTER_BAR.sub(lambda found: found[1].upper(), name): value for name, value in given.items() if value is not None}


def _details(failure: Failure) -> list[dict[str, Any]]:
    if failure.param is not None:
        violation = {"field": failure.param, "description": failure.message}
        return [{"@type": f"{_RPC}BadRequest", "fieldViolations": [violation]}]
    if failure.status != _CODES["RESOURCE_EXHAUSTED"]:
        return []
    quota = {"quotaMetric": "generativelanguage.googleapis.com/generate_requests", "quotaId": "GenerateRequestsPerMinute"}
    details: list[dict[str, Any]] = [{"@type": f"{_RPC}QuotaFailure", "violations": [quota]}]
    if failure.retry_after is not None:
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{failure.retry_after:g}s"})
    return details


DIALECT: Final = Dialect(refuse=refuse, headers=headers)
