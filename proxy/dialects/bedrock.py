"""Bedrock's runtime API: Converse, and `invoke` with a model's own JSON; streams of binary frames, errors by header.

The model and the wish for a stream stand in the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.dialects.base import Answer, Blind, Dialect, Framing, Header, Keepalive, Observer, RequestView
from proxy.dialects.bedrock_events import ConverseObserver, InvokeObserver
from proxy.dialects.bedrock_usage import read_native_usage
from proxy.dialects.body import read_object
from proxy.dialects.eventstream import encode
from proxy.dialects.openai import usage_in
from proxy.errors import BadRequest, Kind, ProxyError, UpstreamError
from proxy.exchange import Usage

EVENT_STREAM: Final = b"application/vnd.amazon.eventstream"

_EXCEPTIONS: Final = {
    Kind.INVALID_REQUEST: "ValidationException",
    Kind.AUTHENTICATION: "UnrecognizedClientException",
    Kind.PERMISSION: "AccessDeniedException",
    Kind.NOT_FOUND: "ResourceNotFoundException",
    Kind.TOO_LARGE: "ValidationException",
    Kind.RATE_LIMIT: "ThrottlingException",
    Kind.OVERLOADED: "ServiceUnavailableException",
    Kind.TIMEOUT: "ModelTimeoutException",
    Kind.SERVER: "InternalServerException",
}
# Those of them that the service model has in a stream; the SDKs do not know any other by its name.
_IN_STREAM: Final = {
    Kind.INVALID_REQUEST: "validationException",
    Kind.RATE_LIMIT: "throttlingException",
    Kind.OVERLOADED: "serviceUnavailableException",
}


class Bedrock(Dialect):
    """What the paths below `/model/{model}/` have in common."""

    stream_framing = Framing.FRAMES
    stream_type = EVENT_STREAM

    def __init__(self, *, stream: bool = False) -> None:
        self._stream = stream

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        return RequestView(model=_model(params), stream=self._stream, values=self.values(body))

    def values(self, body: bytes) -> Mapping[str, Any]:
        """Return the members of a body that a translator may want. Raises BadRequest."""
        del body
        return {}

    def observer(self, view: RequestView) -> Observer:
        return Blind()

    def observed(self, view: RequestView, media_type: bytes) -> tuple[Observer, Framing]:
        if media_type == EVENT_STREAM:
            return self.observer(view), self.stream_framing
        if media_type == b"application/json":
            return Answer(self), Framing.WHOLE
        return Blind(), Framing.OPAQUE

    def keepalive(self) -> Keepalive | None:
        return None

    def usage_of(self, answer: bytes) -> Usage | None:
        return read_native_usage(usage_in(answer))

    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        return orjson.dumps({"message": error.public})

    def error_headers(self, error: ProxyError) -> tuple[Header, ...]:
        return ((b"x-amzn-ErrorType", _EXCEPTIONS[error.kind].encode()),)

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        headers = {
            ":exception-type": self.exception(error),
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        return encode(headers, self.error_body(error, request_id))

    def exception(self, error: ProxyError) -> str:
        """Return the name of an exception in a stream."""
        ours = "modelStreamErrorException" if isinstance(error, UpstreamError) else "internalServerException"
        return _IN_STREAM.get(error.kind, ours)


class Converse(Bedrock):
    """`POST /model/{model}/converse` and `…/converse-stream`."""

    name = "converse"

    def values(self, body: bytes) -> Mapping[str, Any]:
        return read_object(body).values

    def observer(self, view: RequestView) -> ConverseObserver:
        return ConverseObserver()


class Invoke(Bedrock):
    """`POST /model/{model}/invoke` and `…/invoke-with-response-stream`: the body is the model's own, and passes unread."""

    name = "invoke"

    def observer(self, view: RequestView) -> InvokeObserver:
        return InvokeObserver()

    def exception(self, error: ProxyError) -> str:
        return "modelTimeoutException" if error.kind is Kind.TIMEOUT else super().exception(error)


class BedrockTokens(Bedrock):
    """`POST /model/{model}/count-tokens`."""

    name = "bedrock_tokens"

    def usage_of(self, answer: bytes) -> Usage | None:
        return None


def _model(params: Mapping[str, str]) -> str:
    model = params["model"]
    if any("\ud800" <= character <= "\udfff" for character in model):
        raise BadRequest("The model's name in the path is not UTF-8.", param="modelId")
    return model
