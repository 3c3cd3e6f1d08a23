"""Reads a stream of chat chunks for whoever tells it in another API's events: what they share of the way back.

An ordinary chunk differs from the one before it in its text only: it is recognised by its shape, and its text goes on as it
stands, escapes and all, without being parsed.
"""

from __future__ import annotations

import abc
from typing import Any, Final

from proxy.dialects.chat import usage_in
from proxy.dialects.openai import read_json
from proxy.dialects.shape import Shape
from proxy.sse.events import Splitter, parse
from proxy.translate.base import EventTranslator
from proxy.translate.chat_deltas import ChatReader, Delta
from proxy.translate.json_text import unescaped

KEPT: Final = 8 * 1024 * 1024  # bytes of one answer that are kept to be told again, or until their turn comes
UNREADABLE: Final = {"message": "The model's backend sent an answer that could not be understood.", "type": "server_error"}
TOO_LARGE: Final = {"message": "The answer is larger than can be translated.", "type": "server_error"}


class FromChat(EventTranslator):
    """One stream. Nothing comes out of it behind an error or the end, and no end that the upstream has not said."""

    __slots__ = ("_begun", "_last", "_over", "_shape", "_splitter", "reader")

    def __init__(self) -> None:
        super().__init__()
        self.reader = ChatReader()
        self._splitter = Splitter()
        self._shape: Shape | None = None  # of the last chunk, if it was one piece of an answer and nothing else
        self._last: Delta | None = None  # that piece
        self._begun = False
        self._over = False

    # ---- what the other API makes of it

    @property
    @abc.abstractmethod
    def kept(self) -> int:
        """How many bytes of the answer are held."""

    @abc.abstractmethod
    def begin(self) -> bytes:
        """Return what stands before the answer; the reader knows the model's name."""

    @abc.abstractmethod
    def delta(self, delta: Delta) -> bytes:
        """Return one piece of the answer."""

    @abc.abstractmethod
    def more(self, last: Delta, text: bytes) -> bytes:
        """Return more of what *last* was a piece of: *text*, as inside of a JSON string. The hot path."""

    @abc.abstractmethod
    def finished(self) -> bytes:
        """Return what can be said once the upstream has told why the answer ended; called once, if at all."""

    @abc.abstractmethod
    def complete(self) -> bytes:
        """Return the end of a good answer, with what `finished` has not said yet."""

    @abc.abstractmethod
    def failed(self, error: Any) -> bytes:
        """Return the upstream's *error*, an object or a word, as the in-stream error."""

    # ---- the stream

    @property
    def begun(self) -> bool:
        """Whether `begin` has been said."""
        return self._begun

    def feed(self, data: bytes) -> bytes:
        if self._shape is not None and not self._splitter.held:
            text = self._shape.text(data)
            if text is not None:
                return self._more(text)
        return b"".join([self._block(block) for block in self._splitter.feed(data)])

    def end(self, *, clean: bool) -> bytes:
        if self._over or not clean or not self.reader.finish:
            return b""
        return self._complete()

    def _block(self, block: bytes) -> bytes:
        text = None if self._shape is None else self._shape.text(block)
        if text is not None:
            return self._more(text)
        event = None if self._over else parse(block)
        if event is None:
            return b""
        self._shape = None
        if event.data.startswith(b"[DONE]"):
            return self._complete()
        chunk = read_json(event.data)
        if chunk is not None:
            return self._bounded(self._chunk(chunk, event.name, block))
        # an object that cannot be read, perhaps because of its size: without it the answer would have a hole
        return self._fail(UNREADABLE) if event.data.startswith(b"{") or event.name == b"error" else b""

    def _more(self, text: bytes) -> bytes:
        assert self._last is not None
        return self._bounded(self.more(self._last, text))

    def _chunk(self, chunk: dict[str, Any], name: bytes, block: bytes) -> bytes:
        told, before = self.reader, self.reader.finish
        deltas = told.read(chunk, name)
        self.usage = told.usage
        if told.error is not None:
            return self._fail(told.error)
        out = [self._start(), *[self.delta(delta) for delta in deltas]]
        if told.finish != before:
            out.append(self.finished())
        elif len(deltas) == 1 and not usage_in(chunk):
            self._remember(block, deltas[0])
        return b"".join(out)

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self.begin()

    def _remember(self, block: bytes, delta: Delta) -> None:
        """Note the shape of a chunk whose only news was *delta*, if the shape sees that same text in it."""
        shape = Shape.of(block)
        text = None if shape is None else shape.text(block)
        if text is not None and unescaped(text) == unescaped(delta.text):
            self._shape, self._last = shape, delta

    def _complete(self) -> bytes:
        self._over = True
        return self._start() + self.complete()

    def _fail(self, error: Any) -> bytes:
        self._over, self._shape = True, None
        return self.failed(error)

    def _bounded(self, out: bytes) -> bytes:
        return out if self.kept <= KEPT or self._over else out + self._fail(TOO_LARGE)


def error_parts(error: Any) -> tuple[str, list[str]]:
    """Return the message of an upstream's error, empty where there is none, and its words for the kind: code and type."""
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else ""), []
    message = error.get("message")
    words = [str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str | int)]
    return (message if isinstance(message, str) else ""), words
