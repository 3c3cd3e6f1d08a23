"""OpenAI responses: named events with a sequence number, ended by `response.completed`, `.incomplete` or `.failed`."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL, Keepalive, Observer, RequestView
from proxy.dialects.keepalives import Comment
from proxy.dialects.openai import OpenAiDialect, error_object, read_json, read_usage
from proxy.errors import ProxyError
from proxy.sse.events import Event, parse

_TERMINAL: Final = (b"response.completed", b"response.incomplete", b"response.failed")
_SEQUENCE: Final = re.compile(rb'"sequence_number":\s*(\d+)')
_TYPE: Final = re.compile(rb'"type":\s*"([a-z_.]+)"')


class ResponsesObserver(Observer):
    """Follows one stream of response events. Keeps the last event, so that a keepalive can carry its number."""

    __slots__ = ("_last", "created", "response")

    def __init__(self) -> None:
        super().__init__()
        self.created = False
        self.response: dict[str, Any] = {}
        self._last = b""

    @property
    def sequence_number(self) -> int:
        """The last sequence number seen; 0 before any."""
        found = _SEQUENCE.search(self._last)
        return int(found[1]) if found else 0

    def event(self, block: bytes) -> int:
        if b'"sequence_number"' in block:
            self._last = block
        # the type is the last word before the first line's end; deltas are nearly all there is
        if block.startswith(b"event: response.") and block.endswith(b".delta", 0, block.find(b"\n")):
            return CONTENT
        event = parse(block)
        return NOTHING if event is None else self._named(event)

    def _named(self, event: Event) -> int:
        name = event.name or self._type(event.data)
        if name.endswith(b".delta"):
            return CONTENT
        if name in _TERMINAL:
            return self._end(name, event.data)
        if name == b"error":
            self.error = "error"
            return FAILED
        if name == b"keepalive":
            return PING
        if name == b"response.created":
            self.created = True
            self.response = (read_json(event.data) or {}).get("response") or {}
        return NOTHING

    def _type(self, data: bytes) -> bytes:
        found = _TYPE.search(data[:256])
        return found[1] if found else b""

    def _end(self, name: bytes, data: bytes) -> int:
        self.terminal = True
        response = (read_json(data) or {}).get("response")
        if isinstance(response, dict):
            self.usage = read_usage(response.get("usage"))
        if name == b"response.failed":
            error = response.get("error") if isinstance(response, dict) else None
            self.error = str(error.get("code") or "failed")[:64] if isinstance(error, dict) else "failed"
            return TERMINAL | FAILED
        return TERMINAL


class ResponsesKeepalive(Keepalive):
    """A comment until `response.created` has passed, then the API's own `keepalive` event.

    Codex counts events, not bytes; the SDKs' stream helpers fail on any event before `response.created`.
    """

    __slots__ = ("_comment",)
    watches_ids = True

    def __init__(self) -> None:
        self._comment = Comment()

    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        if isinstance(observer, ResponsesObserver) and observer.created:
            return b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": %d}\n\n' % observer.sequence_number
        return self._comment.frame(observer, id_seen=id_seen, wall=wall)


class Responses(OpenAiDialect):
    """`POST /v1/responses`."""

    name = "responses"

    def observer(self, view: RequestView) -> ResponsesObserver:
        return ResponsesObserver()

    def keepalive(self) -> Keepalive | None:
        return ResponsesKeepalive()

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        number = observer.sequence_number + 1 if isinstance(observer, ResponsesObserver) and observer.created else 0
        told = error_object(error, request_id)
        if not isinstance(observer, ResponsesObserver) or not observer.created:
            # the nested form: openai-python yields the flat one as if it were an ordinary event
            return b"event: error\ndata: %b\n\n" % orjson.dumps({"type": "error", "sequence_number": number, "error": told})
        response = {**observer.response, "status": "failed", "error": {"code": "server_error", "message": error.public}}
        event = {"type": "response.failed", "sequence_number": number, "response": response}
        return b"event: response.failed\ndata: %b\n\n" % orjson.dumps(event)

    def answer_event(self, body: bytes) -> bytes | None:
        answer = read_json(body)
        if answer is None or not answer.get("error"):
            return None
        return b"event: error\ndata: %b\n\n" % orjson.dumps({"type": "error", "sequence_number": 0, "error": answer["error"]})
