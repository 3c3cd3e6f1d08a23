"""What the OpenAI dialects share: error bodies, in-stream errors, usage, the request's few fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.dialects.base import Dialect, Keepalive, Observer, RequestView
from proxy.dialects.body import flag_field, read_object, text_field
from proxy.dialects.keepalives import Comment
from proxy.errors import Kind, ProxyError
from proxy.exchange import Usage

_TYPES: Final = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "invalid_request_error",
    Kind.TOO_LARGE: "invalid_request_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.OVERLOADED: "server_error",
    Kind.TIMEOUT: "server_error",
    Kind.SERVER: "server_error",
}


def error_object(error: ProxyError, request_id: str) -> dict[str, Any]:
    """Return the object that stands under `error`."""
    return {
        "message": error.public,
        "type": _TYPES[error.kind],
        "param": getattr(error, "param", None),
        "code": error.code,
        "request_id": request_id,
    }


def read_json(data: bytes) -> dict[str, Any] | None:
    """Return *data* as a JSON object, or None: an observer never fails on what it does not understand."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def read_usage(usage: Any) -> Usage | None:
    """Read an OpenAI `usage` object, of chat (`prompt_tokens`) or responses (`input_tokens`)."""
    if not isinstance(usage, dict):
        return None
    read = Usage(_count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens"))
    into = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if isinstance(into, dict):
        read.cached = _count(into, "cached_tokens")
        read.cache_write = _count(into, "cache_write_tokens")
    out = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    if isinstance(out, dict):
        read.reasoning = _count(out, "reasoning_tokens")
    cost = usage.get("cost")
    if type(cost) in (int, float):
        read.cost_usd = float(cost)
    return read


def _count(values: dict[str, Any], name: str, other: str = "") -> int | None:
    value = values.get(name)
    if value is None and other:
        value = values.get(other)
    return value if type(value) is int else None


class OpenAiDialect(Dialect):
    """The common half of the OpenAI dialects."""

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        members = read_object(body)
        model = text_field(members, "model")
        choices = members.values.get("n")
        return RequestView(
            model=model,
            stream=flag_field(members, "stream"),
            place=members,
            choices=choices if isinstance(choices, int) and choices > 0 else 1,
            stateful=bool(members.values.get("previous_response_id") or members.values.get("background") or members.values.get("conversation")),
        )

    def keepalive(self) -> Keepalive | None:
        return Comment()

    def usage_of(self, answer: bytes) -> Usage | None:
        return read_usage((read_json(answer) or {}).get("usage"))

    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        return orjson.dumps({"error": error_object(error, request_id)})

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        # go-openai recognises exactly these first bytes; `choices` would hide the error from the AI SDK
        return b"data: %b\n\n" % self.error_body(error, request_id)

    def answer_event(self, body: bytes) -> bytes | None:
        answer = read_json(body)
        if answer is None or not answer.get("error"):
            return None
        return b"data: %b\n\n" % orjson.dumps({"error": answer["error"]})
