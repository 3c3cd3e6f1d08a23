"""What every failure says of itself: status, code, whose fault it was, and whether another attempt may follow."""

from __future__ import annotations

import enum
from typing import ClassVar

from proxy.exchange import Outcome


class Retry(enum.Enum):
    """Whether another attempt may follow a failure."""

    NEVER = "never"
    SAFE = "safe"  # no byte of the request reached the upstream
    UNTIL_FIRST_EVENT = "until_first_event"  # the upstream may have started work


class Kind(enum.Enum):
    """What sort of error this is; each dialect has its own word for it."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"


class ProxyError(Exception):
    """A failure with an agreed answer. Raise a subclass, never this."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[Kind] = Kind.SERVER
    outcome: ClassVar[Outcome] = Outcome.PROXY_ERROR
    retry: ClassVar[Retry] = Retry.NEVER
    public: str = "The proxy failed to handle this request."

    def __init__(self, detail: str = "", *, public: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail or public or self.public)
        self.detail = detail or public or self.public
        self.retry_after = retry_after
        if public is not None:
            self.public = public
