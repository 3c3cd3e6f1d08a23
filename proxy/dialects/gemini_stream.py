"""Follows Gemini's streams: events of whole responses with no last one among them, or one JSON array of the same responses.

The API has no event that says *complete*: a stream is a finished answer when every candidate in it has a finish reason (or
the prompt was blocked) and its framing ended as announced. `terminal` says the first half, so that no keepalive follows the
last chunk; it never stands for the second.
"""

from __future__ import annotations

from typing import Any

from proxy.dialects.base import CONTENT, FAILED, NOTHING, Alike, Observer
from proxy.dialects.elements import Elements
from proxy.dialects.openai import read_json
from proxy.dialects.shape import Shape
from proxy.dialects.usage import read_gemini_usage
from proxy.exchange import Usage
from proxy.sse.events import parse


class GeminiObserver(Observer):
    """Follows one `alt=sse` stream. A chunk that differs from one already read in text and counts only is not parsed."""

    __slots__ = ("_blocked", "_candidates", "_counted", "_finished", "_named", "_shape", "_usage")

    def __init__(self, candidates: int) -> None:
        self._usage: Usage | None = None
        self._counted = b""  # the last event that was not parsed: its usage is read when somebody asks
        super().__init__()
        self._candidates = candidates
        self._named: set[int] = set()
        self._finished: set[int] = set()
        self._blocked = False
        self._shape: Shape | None = None

    @property
    def usage(self) -> Usage | None:
        """The last usage told; it counts everything up to there."""
        if self._counted:
            event = parse(self._counted)
            self._counted = b""
            self._count(read_json(event.data) if event is not None else None)
        return self._usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._usage = usage

    @property
    def alike(self) -> Alike | None:
        return None if self._shape is None or self.midway else self._is_alike

    def feed(self, data: bytes) -> int:
        if self._shape is not None and not self.midway and self._shape.fits(data):
            self._counted = data
            return CONTENT
        return super().feed(data)

    def event(self, block: bytes) -> int:
        if self._shape is not None and self._shape.fits(block):
            self._counted = block
            return CONTENT
        event = parse(block)
        if event is None:
            return self._failed(told_error(block))
        seen = self.read(event.data)
        if seen == CONTENT:
            self._shape = Shape.of(block)
        return seen

    def complete(self, *, clean: bool) -> bool:
        self._failed(told_error(self.splitter.held))
        # in a chunk that was too large to be read there may have been a finish reason: then the framing alone decides
        over = self._blocked or bool(self._named and self._named == self._finished) or self.splitter.lost > 0
        return clean and over and self.error is None

    def read(self, data: bytes) -> int:
        """Look at one response of the stream, as JSON."""
        error = told_error(data)
        if error is not None:
            return self._failed(error)
        chunk = read_json(data)
        if chunk is None:
            # an object that cannot be read is one that was cut off at the splitter's cap
            return CONTENT if data.startswith(b"{") else NOTHING
        self._counted = b""
        self._count(chunk)
        feedback = chunk.get("promptFeedback")
        self._blocked = self._blocked or bool(isinstance(feedback, dict) and feedback.get("blockReason"))
        seen = NOTHING
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                seen |= self._candidate(candidate)
        self.terminal = self._blocked or len(self._finished) >= self._candidates
        return seen

    def _is_alike(self, framed: bytes, begin: int) -> bool:
        fits = self._shape is not None and self._shape.fits_framed(framed, begin)
        if fits:
            self._counted = framed[begin:-2]
        return fits

    def _failed(self, error: Any) -> int:
        if error is None:
            return NOTHING
        self.error = gemini_word(error)
        return FAILED

    def _candidate(self, candidate: dict[str, Any]) -> int:
        index = candidate.get("index")
        number = index if type(index) is int else 0
        self._named.add(number)
        if candidate.get("finishReason"):
            self._finished.add(number)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        said = isinstance(parts, list) and any(_says_something(part) for part in parts)
        return CONTENT if said else NOTHING

    def _count(self, chunk: dict[str, Any] | None) -> None:
        usage = read_gemini_usage((chunk or {}).get("usageMetadata"))
        if usage is not None:
            self._usage = usage


class GeminiArrayObserver(GeminiObserver):
    """Follows one stream without `alt=sse`: a JSON array whose elements are the responses."""

    __slots__ = ("_elements",)

    def __init__(self, candidates: int) -> None:
        super().__init__(candidates)
        self._elements = Elements()

    def feed(self, data: bytes) -> int:
        seen = NOTHING
        for element in self._elements.feed(data):
            seen |= self.read(element)
        if self.splitter.lost != self._elements.lost:
            self.splitter.lost = self._elements.lost
            seen |= CONTENT
        return seen

    def complete(self, *, clean: bool) -> bool:
        return super().complete(clean=clean and self._elements.closed)


def gemini_word(error: Any) -> str:
    """Return Google's own word for an error: its status, else its code."""
    word = error.get("status") or error.get("code") if isinstance(error, dict) else None
    return str(word or "error")[:64]


def told_error(data: bytes | bytearray) -> Any:
    """Return what a response of Google's says is wrong, also from within a list of one; None where nothing is.

    In a stream it may stand bare, without `data:` and over several lines.
    """
    if data.find(b'"error"') < 0:
        return None
    text = bytes(data.strip())
    chunk = read_json(text[1:-1] if text.startswith(b"[") else text)
    return None if chunk is None else chunk.get("error") or None


def _says_something(part: Any) -> bool:
    """Tell whether a part holds anything that a model produced: text, a thought, a call, data, code, in any key."""
    if not isinstance(part, dict):
        return False
    return any(value and key != "thoughtSignature" and isinstance(value, str | list | dict) for key, value in part.items())
