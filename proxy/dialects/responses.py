"""OpenAI responses: named events with a sequence number, ended by `response.completed`, `.incomplete` or `.failed`."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL, Alike, Keepalive, Observer, RequestView
from proxy.dialects.keepalives import DEFAULT_TEXT, Comment
from proxy.dialects.openai import OpenAiDialect, error_object, error_word, read_json, told_error
from proxy.dialects.usage import read_usage
from proxy.errors import ProxyError
from proxy.sse.events import Event, parse

_CONTENT: Final = (b".delta", b".partial_image")
_SEQUENCE: Final = re.compile(rb'"sequence_number":\s*(\d{1,18})')
_TYPE: Final = re.compile(rb'"type":\s*"(response\.[a-z_.]+|error|keepalive)"')


class ResponsesObserver(Observer):
    """Follows one stream of response events. Keeps the last event, so that a keepalive can carry its number."""

    __slots__ = ("_created", "_last", "_number")

    def __init__(self) -> None:
        super().__init__()
        self._created = b""
        self._last = b""
        self._number = 0

    @property
    def created(self) -> bool:
        """Whether `response.created` has passed."""
        return bool(self._created)

    @property
    def response(self) -> dict[str, Any]:
        """The response as `response.created` described it; empty where that cannot be said again."""
        try:
            response = orjson.loads(self._created)["response"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return {}
        return response if isinstance(response, dict) else {}

    @property
    def sequence_number(self) -> int:
        """The last sequence number seen; 0 before any."""
        found = _SEQUENCE.search(self._last)
        if found:
            self._number = int(found[1])
        return self._number

    @property
    def alike(self) -> Alike | None:
        return None if self.midway else self._is_alike

    def feed(self, data: bytes) -> int:
        if not self.midway and _is_one_delta(data):
            self._last = data
            return CONTENT
        return super().feed(data)

    def event(self, block: bytes) -> int:
        event = parse(block)
        if event is None:
            return NOTHING
        self._last = block
        name = event.name or _type_of(event.data)
        if name.endswith(_CONTENT):
            return CONTENT
        if name == b"response.created":
            self._created = event.data
        elif name in (b"response.completed", b"response.incomplete"):
            return self._end(event)
        elif name in (b"response.failed", b"error"):
            return self._end(event) | self._fail(event)
        return PING if name == b"keepalive" else NOTHING

    def _is_alike(self, framed: bytes, begin: int) -> bool:
        content = framed[begin:-2]
        delta = _is_one_delta(content)
        if delta:
            self._last = content
        return delta

    def _end(self, event: Event) -> int:
        self.terminal = True
        response = (read_json(event.data) or {}).get("response")
        if isinstance(response, dict):
            self.usage = read_usage(response.get("usage"))
        return TERMINAL

    def _fail(self, event: Event) -> int:
        told = read_json(event.data) or {}
        response = told.get("response")
        self.error = error_word(response.get("error") if isinstance(response, dict) else told.get("error") or _flat(told))
        return FAILED


def _is_one_delta(data: bytes) -> bool:
    """Tell whether *data* is one whole delta event and nothing else: nearly all of a stream is, and need not be parsed."""
    line = data.find(b"\n")
    return (
        data.startswith(b"event: response.")
        and data.endswith(b".delta", 0, line)
        and data.startswith(b"data: ", line + 1)
        and data.find(b"\n", line + 1) == len(data) - 2
        and data.endswith(b"\n\n")
        and data.find(b"\r") < 0
    )


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    """Return a flat error event as an error object: its `type` is the event's, not the error's."""
    return {"code": told.get("code")}


def _type_of(data: bytes) -> bytes:
    """Return the type of an event that came without its name."""
    event = read_json(data)
    if event is not None:
        return str(event.get("type") or "").encode("utf-8", "replace")
    found = _TYPE.search(data)  # cut off at the splitter's cap
    return found[1] if found else b""


class ResponsesKeepalive(Keepalive):
    """A comment until `response.created` has passed, then the API's own `keepalive` event.

    Codex counts events, not bytes; the SDKs' stream helpers fail on any event before `response.created`.
    """

    __slots__ = ("_comment",)

    def __init__(self, text: str = DEFAULT_TEXT) -> None:
        self._comment = Comment(text)

    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        if isinstance(observer, ResponsesObserver) and observer.created:
            return b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": %d}\n\n' % observer.sequence_number
        return self._comment.frame(observer, id_seen=id_seen, wall=wall)

    def with_text(self, text: str) -> Keepalive:
        return ResponsesKeepalive(text)


class Responses(OpenAiDialect):
    """`POST /v1/responses`."""

    name = "responses"

    def observer(self, view: RequestView) -> ResponsesObserver:
        return ResponsesObserver()

    def keepalive(self) -> Keepalive | None:
        return ResponsesKeepalive()

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        if not isinstance(observer, ResponsesObserver) or not observer.created:
            return _error_event(error_object(error, request_id))
        response = {**observer.response, "status": "failed", "error": {"code": "server_error", "message": error.public}}
        event = {"type": "response.failed", "sequence_number": observer.sequence_number + 1, "response": response}
        return b"event: response.failed\ndata: %b\n\n" % orjson.dumps(event)

    def answer_event(self, body: bytes) -> bytes | None:
        error = told_error(body)
        return None if error is None else _error_event(error)


def _error_event(error: Any) -> bytes:
    # the nested form: openai-python yields the flat one as if it were an ordinary event
    return b"event: error\ndata: %b\n\n" % orjson.dumps({"type": "error", "sequence_number": 0, "error": error})
