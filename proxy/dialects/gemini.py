"""Gemini's generateContent, streamGenerateContent and countTokens: the model and the wish for a stream stand in the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from proxy.dialects.base import Answer, Blind, Dialect, Framing, Keepalive, Observer, RequestView
from proxy.dialects.body import read_object
from proxy.dialects.gemini_stream import GeminiArrayObserver, GeminiObserver, told_error
from proxy.dialects.keepalives import Blank
from proxy.dialects.openai import usage_in
from proxy.dialects.path import path_model
from proxy.dialects.usage import read_gemini_usage
from proxy.errors import Kind, ProxyError
from proxy.exchange import Usage

_STATUSES: Final = {
    Kind.INVALID_REQUEST: "INVALID_ARGUMENT",
    Kind.AUTHENTICATION: "UNAUTHENTICATED",
    Kind.PERMISSION: "PERMISSION_DENIED",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.TOO_LARGE: "INVALID_ARGUMENT",
    Kind.RATE_LIMIT: "RESOURCE_EXHAUSTED",
    Kind.OVERLOADED: "UNAVAILABLE",
    Kind.TIMEOUT: "DEADLINE_EXCEEDED",
    Kind.SERVER: "INTERNAL",
}
_TYPE: Final = "type.googleapis.com/google.rpc."


class Gemini(Dialect):
    """`POST /v1beta/models/{model}:generateContent` and `:countTokens`; with *stream* `:streamGenerateContent?alt=sse`."""

    def __init__(self, name: str, *, stream: bool = False) -> None:
        self.name = name
        self._stream = self.json_streams = stream

    def asked_with(self, query: bytes) -> Dialect:
        return _ARRAY if self._stream and not _wants_events(query) else self

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        values = _values(body)
        return RequestView(model=path_model(params["model"]), stream=self._stream, values=values)

    def observer(self, view: RequestView) -> Observer:
        return GeminiObserver(_candidates(view.values))

    def observed(self, view: RequestView, media_type: bytes) -> tuple[Observer, Framing]:
        if media_type == b"text/event-stream":
            return self.observer(view), Framing.EVENTS
        if media_type == b"application/json":
            return (
                (GeminiArrayObserver(_candidates(view.values)), Framing.OPAQUE) if self._stream else (Answer(self), Framing.WHOLE)
            )
        return Blind(), Framing.OPAQUE

    def keepalive(self) -> Keepalive | None:
        return Blank()

    def usage_of(self, answer: bytes) -> Usage | None:
        return read_gemini_usage(usage_in(answer, "usageMetadata"))

    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        return orjson.dumps({"error": _error(error, request_id)})

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        return b"data: %b\r\n\r\n" % self.error_body(error, request_id)

    def answer_event(self, body: bytes) -> bytes | None:
        error = told_error(body)
        # google-genai for Python fails on a code that is no number
        told = isinstance(error, dict) and type(error.get("code")) is int
        return b"data: %b\r\n\r\n" % orjson.dumps({"error": error}) if told else None


class GeminiArray(Gemini):
    """`:streamGenerateContent` without `alt=sse`: one JSON array, into which nothing is put."""

    def keepalive(self) -> Keepalive | None:
        return None


_ARRAY: Final = GeminiArray("gemini_array", stream=True)


def _wants_events(query: bytes) -> bool:
    """Tell whether every `alt` of a query says `sse`: what Google makes of several is not known."""
    given = parse_qsl(query.removeprefix(b"?"), keep_blank_values=True)
    forms = {value for name, value in given if name in (b"alt", b"$alt")}
    return forms == {b"sse"}


def _values(body: bytes) -> Mapping[str, Any]:
    """Return the members of a body. The same key twice is nothing to worry about here: the path names the model."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        values = None
    return values if isinstance(values, dict) else read_object(body).values  # which says what is wrong, or is more lenient


def _candidates(values: Mapping[str, Any]) -> int:
    config = values.get("generationConfig") or values.get("generation_config")
    number = (config.get("candidateCount") or config.get("candidate_count")) if isinstance(config, dict) else None
    return number if type(number) is int and number > 0 else 1


def _error(error: ProxyError, request_id: str) -> dict[str, Any]:
    """Return what stands under `error`, with our stable code where Google puts the reason."""
    info = {"reason": error.code, "domain": "llm-stream-proxy", "metadata": {"request_id": request_id}}
    details: list[dict[str, Any]] = [{"@type": f"{_TYPE}ErrorInfo", **info}]
    field = getattr(error, "param", None)
    if field is not None:
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [{"field": field, "description": error.public}]})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after:.3f}s"})
    return {"code": error.status, "message": error.public, "status": _STATUSES[error.kind], "details": details}
