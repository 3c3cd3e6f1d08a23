"""What the OpenAI dialects share: error bodies, in-stream errors, the request's few fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.dialects.base import Dialect, Keepalive, Observer, RequestView
from proxy.dialects.body import Members, flag_field, read_object, text_field
from proxy.dialects.keepalives import Comment
from proxy.dialects.path import path_model
from proxy.dialects.usage import last_members, read_usage, usage_at_end
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
_STATE: Final = frozenset({"previous_response_id", "background", "conversation"})  # what refers to it, unless it is empty


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
    """Return *data* as a JSON object, or None: an observer never fails on what it does not understand.

    Half a surrogate pair, NaN and bytes that are not UTF-8 come from real backends and are borne, as clients bear them.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _read_leniently(data)
    return value if isinstance(value, dict) else None


def _read_leniently(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def usage_in(answer: bytes, key: str = "usage") -> Any:
    """Return the usage that stands under *key* in a JSON answer, whole or its end only; None when it says nothing, or is not JSON."""
    members = last_members(answer, key) or read_json(answer)
    return usage_at_end(answer, key) if members is None else members.get(key)


def told_error(body: bytes) -> Any:
    """Return what an upstream's error body says is wrong, in any of the forms in use; None when it says nothing."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(answer, list) and answer:  # Google's OpenAI endpoint wraps it up
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    if answer.get("object") == "error":  # Mistral, older vLLM
        return {key: value for key, value in answer.items() if key != "object"}
    return answer.get("error") or None


def asked_model(members: Members, params: Mapping[str, str]) -> str:
    """Return the model that a request is for: the path's deployment, where it has one, whatever the body says."""
    deployment = params.get("deployment")
    return text_field(members, "model") if deployment is None else path_model(deployment)


def error_word(error: Any) -> str:
    """Return an upstream's own word for an error, cut to a sensible length."""
    word = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return str(word or "error")[:64]


class OpenAiDialect(Dialect):
    """The common half of the OpenAI dialects."""

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        members = read_object(body)
        values = members.values
        stateful = not _STATE.isdisjoint(values) and any(map(values.get, _STATE))
        return RequestView(asked_model(members, params), flag_field(members, "stream"), members, stateful, values)

    def keepalive(self) -> Keepalive | None:
        return Comment()

    def usage_of(self, answer: bytes) -> Usage | None:
        return read_usage(usage_in(answer))

    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        return orjson.dumps({"error": error_object(error, request_id)})

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        # go-openai recognises exactly these first bytes; `choices` would hide the error from the AI SDK
        return b"data: %b\n\n" % self.error_body(error, request_id)

    def answer_event(self, body: bytes) -> bytes | None:
        error = told_error(body)
        return None if error is None else b"data: %b\n\n" % orjson.dumps({"error": error})
