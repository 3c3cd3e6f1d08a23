"""Anthropic messages: named events, ended by `message_stop`; and the counting of a request's tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL, Alike, Dialect, Keepalive, Observer, RequestView
from proxy.dialects.body import flag_field, read_object, text_field
from proxy.dialects.keepalives import PING as PING_FRAME
from proxy.dialects.keepalives import Constant
from proxy.dialects.openai import error_word, read_json, told_error, usage_in
from proxy.dialects.usage import MESSAGES_COUNTS, read_messages_usage
from proxy.errors import Kind, ProxyError
from proxy.exchange import Usage
from proxy.sse.events import Event, parse

_DELTA: Final = b"event: content_block_delta\ndata: "
_TYPE: Final = re.compile(rb'"type":\s*"([a-z_]+)"')
_BEGIN_EMPTY: Final = ("text", "thinking")  # blocks that deltas fill; any other is content by being there
_TYPES: Final = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.SERVER: "api_error",
}


class MessagesObserver(Observer):
    """Follows one stream of message events. An ordinary delta is recognised by its first line and not parsed."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, Any] = {}  # of the usage, the last word on each count

    @property
    def alike(self) -> Alike | None:
        return None if self.midway else _is_one_framed_delta

    def feed(self, data: bytes) -> int:
        if not self.midway and _is_one_delta(data):
            return CONTENT
        return super().feed(data)

    def event(self, block: bytes) -> int:
        if _is_one_delta(block):
            return CONTENT
        event = parse(block)
        return NOTHING if event is None else self._read(event, event.name or _type_of(event.data))

    def _read(self, event: Event, name: bytes) -> int:
        if name == b"content_block_delta":
            return CONTENT
        if name == b"content_block_start":
            return _block_begun(event.data)
        if name in (b"message_start", b"message_delta"):
            self._count(read_json(event.data) or {})
        elif name == b"message_stop":
            self.terminal = True
            return TERMINAL
        elif name == b"error":
            self.error = error_word((read_json(event.data) or {}).get("error"))
            return FAILED
        return PING if name == b"ping" else NOTHING

    def _count(self, told: dict[str, Any]) -> None:
        """Take over what an event says of the usage: counts are cumulative, and one that is not repeated stays."""
        message = told.get("message")
        usage = message.get("usage") if isinstance(message, dict) else told.get("usage")
        if isinstance(usage, dict):
            self._told.update((key, usage[key]) for key in MESSAGES_COUNTS if usage.get(key) is not None)
            self.usage = read_messages_usage(self._told)


def _is_one_delta(data: bytes) -> bool:
    """Tell whether *data* is one whole delta event and nothing else: nearly all of a stream is, and need not be parsed."""
    return (
        data.startswith(_DELTA)
        and data.find(b"\n", len(_DELTA)) == len(data) - 2
        and data.endswith(b"\n")
        and data.find(b"\r") < 0
    )


def _is_one_framed_delta(framed: bytes, begin: int) -> bool:
    return _is_one_delta(framed[begin:-2])


def _block_begun(data: bytes) -> int:
    """Tell whether the beginning of a block is content: a tool call is, and what comes whole, such as redacted thinking."""
    block = (read_json(data) or {}).get("content_block")
    if not isinstance(block, dict):
        return CONTENT  # cut off at the splitter's cap: no empty block is as large as that
    kind = block.get("type")
    return NOTHING if kind in _BEGIN_EMPTY and not block.get(kind) else CONTENT


def _type_of(data: bytes) -> bytes:
    """Return the type of an event that came without its name."""
    event = read_json(data)
    if event is not None:
        return str(event.get("type") or "").encode("utf-8", "replace")
    found = _TYPE.search(data)  # cut off at the splitter's cap
    return found[1] if found else b""


class Messages(Dialect):
    """`POST /v1/messages`."""

    name = "messages"
    id_header = b"request-id"

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        members = read_object(body)
        return RequestView(
            model=text_field(members, "model"),
            stream=flag_field(members, "stream"),
            place=members,
            stateful=bool(members.values.get("container")) or (b'"file_id"' in body and _names_file(members.values)),
            values=members.values,
        )

    def observer(self, view: RequestView) -> MessagesObserver:
        return MessagesObserver()

    def keepalive(self) -> Keepalive | None:
        return Constant(PING_FRAME)

    def usage_of(self, answer: bytes) -> Usage | None:
        return read_messages_usage(usage_in(answer))

    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        told = {"type": _TYPES[error.kind], "message": error.public, "code": error.code}
        return orjson.dumps({"type": "error", "error": told, "request_id": request_id})

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        return _error_event(self.error_body(error, request_id))

    def answer_event(self, body: bytes) -> bytes | None:
        error = told_error(body)
        if error is None:
            return None
        if not isinstance(error, dict):
            error = {"message": str(error)}
        told = {**(read_json(body) or {}), "type": "error", "error": {"type": "api_error", **error}}
        return _error_event(orjson.dumps(told))


class CountTokens(Messages):
    """`POST /v1/messages/count_tokens`: a request like any other, but the answer is a number, and nothing is used up."""

    name = "count_tokens"

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        view = super().read_request(body, params)
        return RequestView(view.model, place=view.place, stateful=view.stateful, values=view.values)

    def usage_of(self, answer: bytes) -> Usage | None:
        return None


def _error_event(body: bytes) -> bytes:
    # the official SDKs drop an event that has no name
    return b"event: error\ndata: %b\n\n" % body


def _names_file(values: Mapping[str, Any]) -> bool:
    """Tell whether a message names an uploaded file, which only the account that holds it can read."""
    messages = values.get("messages")
    return any(_is_of_file(block) for message in _objects(messages) for block in _with_results(message))


def _with_results(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the blocks of a message, and those inside of tool results."""
    for block in _objects(message.get("content")):
        yield block
        yield from _objects(block.get("content"))


def _objects(values: Any) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict)) if isinstance(values, list) else iter(())


def _is_of_file(block: dict[str, Any]) -> bool:
    source = block.get("source")
    return block.get("type") == "container_upload" or (isinstance(source, dict) and source.get("type") == "file")
