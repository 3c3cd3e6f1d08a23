"""Writes the events of a chat endpoint: `token`, `message` or `ndjson`, as its configuration chooses.

Text goes in as it was cut out of the upstream's JSON, with its escapes, and is never decoded and encoded again.
"""

from __future__ import annotations

import abc
from typing import Any, Final

import orjson

from proxy.chat.words import Apology
from proxy.sse.frames import Framing

# The last event of each style, by which an observer knows that all has been said.
DONE: Final = "done"
ERROR: Final = "error"


class Style(abc.ABC):
    """The words of one kind of events. Holds no state."""

    framing = Framing.EVENTS
    media_type: bytes = b"text/event-stream; charset=utf-8"
    opening: bytes | None = b": connected\n\n"  # the first sign of life; None: a keepalive will do
    content: bytes  # how every event that holds text begins

    def start(self, chat_id: str) -> bytes:
        """Return what comes before the first text."""
        del chat_id
        return b""

    @abc.abstractmethod
    def text(self, escaped: bytes) -> bytes:
        """Return a piece of the answer, whose JSON escapes stand as they came."""

    @abc.abstractmethod
    def event(self, name: str, values: dict[str, Any]) -> bytes:
        """Return any other event."""

    def failure(self, apology: Apology) -> bytes:
        """Return how a stream ends that has failed: one sentence for people, then the end that says so."""
        told = self.event(ERROR, {"message": apology.message, "code": apology.code})
        return told + self.event(DONE, {"finish_reason": "error", "code": apology.code})


class TokenStyle(Style):
    """`event: token` with a `text`."""

    content = b'event: token\ndata: {"text":"'

    def text(self, escaped: bytes) -> bytes:
        return b'event: token\ndata: {"text":"%b"}\n\n' % escaped

    def event(self, name: str, values: dict[str, Any]) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(values))


class MessageStyle(TokenStyle):
    """`event: message` with a `content`, after a `start` that names the conversation."""

    content = b'event: message\ndata: {"content":"'

    def start(self, chat_id: str) -> bytes:
        return self.event("start", {"chat_id": chat_id, "type": "start"})

    def text(self, escaped: bytes) -> bytes:
        return b'event: message\ndata: {"content":"%b","type":"text"}\n\n' % escaped


class LineStyle(Style):
    """One JSON object a line, for clients without a reader of event streams."""

    framing = Framing.LINES
    media_type = b"application/x-ndjson"
    opening = None
    content = b'{"type":"token","text":"'

    def text(self, escaped: bytes) -> bytes:
        return b'{"type":"token","text":"%b"}\n' % escaped

    def event(self, name: str, values: dict[str, Any]) -> bytes:
        return orjson.dumps({"type": name, **values}) + b"\n"


STYLES: Final[dict[str, Style]] = {"token": TokenStyle(), "message": MessageStyle(), "ndjson": LineStyle()}
