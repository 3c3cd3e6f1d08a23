"""Follows Bedrock's binary event streams: what a model says in them, how they end, and the errors they tell.

A damaged frame passes to the client as it came; nothing behind it can be read, so such a stream is never a finished answer.
"""

from __future__ import annotations

import abc
import binascii
import re
from collections.abc import Sequence
from typing import Final

from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, Observer
from proxy.dialects.bedrock_usage import CONVERSE, METRICS, read_counts
from proxy.dialects.eventstream import FrameSplitter, MalformedFrame, decode
from proxy.dialects.messages import MessagesObserver
from proxy.dialects.openai import read_json

_ERRORS: Final = ("exception", "error")
_MESSAGE_TYPE: Final = ":message-type"
_EVENT_TYPE: Final = ":event-type"
_ERROR_NAMES: Final = (":exception-type", ":error-code")
_WORD: Final = 64  # letters of an upstream's own word for an error
# A delta that says nothing. No model can write it: quotes inside of JSON's strings are escaped.
_EMPTY: Final = re.compile(rb'"(?:text|input)":\s?""')
_METRICS: Final = "amazon-bedrock-invocationMetrics"
_CLAUDE: Final = (
    "content_block_delta", "content_block_start", "content_block_stop", "message_start", "message_delta", "message_stop", "ping", "error",
)  # fmt: skip


class Frames:
    """Cuts a stream into whole frames. What is no frame comes out once as it is, for `decode` to refuse; then nothing more."""

    __slots__ = ("_splitter", "garbled", "held", "id_seen", "lost")

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self.held = self._splitter.held
        self.garbled = False
        self.id_seen = False
        self.lost = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the frames that *data* completes."""
        if self.garbled:
            return ()
        try:
            return self._splitter.feed(data)
        except MalformedFrame:
            return (bytes(self.held),)


class FrameObserver(Observer):
    """Follows one stream of frames. Complete with its terminal event and a clean framing, of frames and body."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames = Frames()
        super().__init__(self._frames)

    @property
    def garbled(self) -> bool:
        return self._frames.garbled

    def event(self, block: bytes) -> int:
        if self.garbled:
            return NOTHING
        try:
            headers, payload = decode(block)
        except MalformedFrame:
            self._frames.garbled = True
            return FAILED
        if headers.get(_MESSAGE_TYPE) in _ERRORS:
            return self.fail(next(filter(None, map(headers.get, _ERROR_NAMES)), "error"))
        return self.read(headers.get(_EVENT_TYPE, ""), payload)

    @abc.abstractmethod
    def read(self, name: str, payload: bytes) -> int:
        """Look at one event. Notes `terminal`, `error` and `usage`."""

    def fail(self, word: str) -> int:
        """Note an error under the upstream's own *word*."""
        self.error = word[:_WORD]
        return FAILED

    def complete(self, *, clean: bool) -> bool:
        whole = clean and not self.garbled and not self.splitter.held
        return whole and self.error is None and self.finished

    @property
    def finished(self) -> bool:
        """Whether the last event has come, where there is one."""
        return self.terminal


class ConverseObserver(FrameObserver):
    """Follows one stream of Converse events. `metadata`, with the usage, comes behind the terminal `messageStop`."""

    __slots__ = ()

    def read(self, name: str, payload: bytes) -> int:
        if name == "contentBlockDelta":
            return NOTHING if _EMPTY.search(payload) else CONTENT
        if name == "messageStop":
            self.terminal = True
        elif name == "metadata":
            self.usage = read_counts((read_json(payload) or {}).get("usage"), CONVERSE)
            return TERMINAL if self.terminal else NOTHING
        return NOTHING


class InvokeObserver(FrameObserver):
    """Follows one stream of a model's own events, wrapped into `chunk` frames.

    Claude's are those of its own API. Of other models' nothing is known, so that a clean framing is their end.
    """

    __slots__ = ("_claude",)

    def __init__(self) -> None:
        super().__init__()
        self._claude: MessagesObserver | None = None

    @property
    def finished(self) -> bool:
        return self.terminal or self._claude is None

    def read(self, name: str, payload: bytes) -> int:
        if name != "chunk":
            return NOTHING
        text = _unwrapped(payload)
        event = read_json(text)
        if event is None:
            return CONTENT
        kind = event.get("type")
        seen = self._read_claude(kind, text) if kind in _CLAUDE else CONTENT
        if self.usage is None and _METRICS in event:
            self.usage = read_counts(event[_METRICS], METRICS)
        return seen

    def _read_claude(self, kind: str, text: bytes) -> int:
        claude = self._claude = self._claude or MessagesObserver()
        if kind == "content_block_delta":
            return CONTENT
        seen = claude.event(b"data: %b\n\n" % text.translate(None, b"\r\n"))  # in JSON's strings they are escaped
        self.terminal, self.error, self.usage = claude.terminal, claude.error, claude.usage
        return seen


def _unwrapped(payload: bytes) -> bytes:
    """Return what is inside of a `chunk` frame; nothing where that cannot be read."""
    wrapped = (read_json(payload) or {}).get("bytes")
    try:
        return binascii.a2b_base64(wrapped) if isinstance(wrapped, str) else b""
    except ValueError:
        return b""
