"""What all endpoints of the Bedrock dialect share: headers, exceptions at the call and in the stream, and padded frames."""

from __future__ import annotations

import string
import uuid
import zlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.dialects.eventstream import encode
from proxy.simulator.dialect import Dialect, Failure, Refusal
from proxy.simulator.reply import Reply
from proxy.simulator.wire import JSON

EVENT_STREAM: Final = "application/vnd.amazon.eventstream"

_EXCEPTIONS: Final = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelStreamErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STREAM_ERROR: Final = "ModelStreamErrorException"
_NAMES: Final = frozenset(_EXCEPTIONS.values())
_FIRST_BAD: Final = 500
_NAMESPACE: Final = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_PADDING: Final = string.ascii_letters + string.digits
_TOKEN_MILLISECONDS: Final = 30  # told, not measured, so that equal requests get equal bytes


def headers(name: str, _: int) -> dict[str, str]:
    """Return the headers of one answer."""
    return {"x-amzn-RequestId": str(uuid.UUID(name))}


def refuse(failure: Failure, _: str) -> Refusal:
    """Return an exception as the answer to a call; nothing in it says when to come back."""
    return Refusal(orjson.dumps({"message": failure.message}), {"x-amzn-ErrorType": f"{_exception(failure)}:{_NAMESPACE}"})


def event_frame(kind: str, payload: Mapping[str, Any]) -> bytes:
    """Return an event, padded so that its length does not tell the length of its words."""
    shown = orjson.dumps(payload)
    padding = _PADDING[: 1 + zlib.crc32(shown) % len(_PADDING)]
    return _frame({":event-type": kind, ":content-type": JSON, ":message-type": "event"}, {**payload, "p": padding})


def exception_frame(failure: Failure) -> bytes:
    """Return an exception in the middle of a stream, where its name begins with a small letter."""
    name = _exception(failure)
    payload: dict[str, Any] = {"message": failure.message}
    if name == _STREAM_ERROR:
        payload |= {"originalStatusCode": failure.status, "originalMessage": failure.message}
    kind = name[0].lower() + name[1:]
    return _frame({":exception-type": kind, ":content-type": JSON, ":message-type": "exception"}, payload)


def latency(reply: Reply) -> int:
    """Return the milliseconds that *reply* is said to have taken."""
    return reply.pieces * _TOKEN_MILLISECONDS


def _exception(failure: Failure) -> str:
    """Return the exception for *failure*. A code that names one, as in `throttling_exception`, wins over the status."""
    name = (failure.code or "").replace("_", " ").title().replace(" ", "")
    if name in _NAMES:
        return name
    return _EXCEPTIONS.get(failure.status, _EXCEPTIONS[500 if failure.status >= _FIRST_BAD else 400])


def _frame(headers: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    return encode(headers, orjson.dumps(payload))


def _invoke_headers(name: str, milliseconds: int) -> dict[str, str]:
    return {**headers(name, milliseconds), "X-Amzn-Bedrock-Content-Type": JSON}


DIALECT: Final = Dialect(refuse=refuse, headers=headers)
INVOKE_STREAM: Final = Dialect(refuse=refuse, headers=_invoke_headers)
