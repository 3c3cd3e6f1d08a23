"""What a chat endpoint says to people when something fails, and the one word that its programs get."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from proxy.errors import Kind, ProxyError, Stopped


class Apology(NamedTuple):
    """One sentence for people, and a code for programs."""

    message: str
    code: str


OVERLOADED: Final = Apology("Overloaded, please try again soon.", "RATE_LIMIT")
LATE: Final = Apology("The answer took too long, please try again.", "TIMEOUT")
FAILED: Final = Apology("Something went wrong, please try again.", "SERVER_ERROR")
STOPPED: Final = Apology(Stopped.public, "STOPPED")

_BY_KIND: Final = {Kind.RATE_LIMIT: OVERLOADED, Kind.OVERLOADED: OVERLOADED, Kind.TIMEOUT: LATE}
_BY_STATUS: Final = {408: LATE, 429: OVERLOADED, 503: OVERLOADED, 504: LATE, 529: OVERLOADED}


def of_failure(error: ProxyError) -> Apology:
    """Return what to say about a failure of ours or of an upstream's."""
    return STOPPED if isinstance(error, Stopped) else _BY_KIND.get(error.kind, FAILED)


def of_status(status: int) -> Apology:
    """Return what to say about an upstream's error answer."""
    return _BY_STATUS.get(status, FAILED)


def of_event(error: Any) -> Apology:
    """Return what to say about an error that a chat upstream told in its stream: its `error` object, or anything."""
    if not isinstance(error, dict):
        return FAILED
    if isinstance(error.get("code"), int):
        return of_status(error["code"])
    words = f"{error.get('code') or ''} {error.get('type') or ''}".lower()
    if "timeout" in words:
        return LATE
    return OVERLOADED if "rate_limit" in words or "overloaded" in words else FAILED
