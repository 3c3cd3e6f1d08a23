"""The output items of a response in the making: words, thoughts and calls; each knows its events and how it stands."""

from __future__ import annotations

from typing import Any, Final

from proxy.translate.chat_deltas import Delta, Kind
from proxy.translate.json_text import escaped, quoted
from proxy.translate.responses_events import OUTPUT_TEXT, REASONING, REFUSAL, SUMMARY, Growing, Numbered, Part, PartKind

_OPEN: Final = "in_progress"
_DONE: Final = "completed"


class Texts:
    """An item of parts, one after the other: a message, or thoughts, which have one part only."""

    __slots__ = ("_events", "_id", "_index", "_parts", "_summary", "_thoughts", "status")

    def __init__(self, events: Numbered, index: int, request_id: str, *, thoughts: bool, summary: bool) -> None:
        self._events = events
        self._index = index
        self._thoughts = thoughts
        self._summary = summary
        self._id = f"{'rs' if thoughts else 'msg'}_{request_id}_{index}"
        self._parts: list[Part] = []
        self.status = _OPEN

    def takes(self, kind: Kind) -> bool:
        """Tell whether a piece of this kind belongs into such an item."""
        return kind is not Kind.CALL and (kind is Kind.REASONING) is self._thoughts

    def begin(self) -> bytes:
        """Return the event that announces it."""
        return self._events.event("output_item.added", {"output_index": self._index, "item": self.written()})

    def add(self, delta: Delta) -> bytes:
        """Return the events for a piece of it."""
        kind = self._kind(delta.kind)
        if self._parts and self._parts[-1].kind is kind:
            return self._parts[-1].text.piece(delta.text)
        ended = self._parts[-1].end() if self._parts else b""
        part = Part(self._events, kind, {"item_id": self._id, "output_index": self._index}, len(self._parts))
        self._parts.append(part)
        return ended + part.begin() + part.text.piece(delta.text)

    @property
    def growing(self) -> Growing:
        """The text that the next piece of the same kind belongs to."""
        return self._parts[-1].text

    def end(self, status: str = _DONE) -> bytes:
        """Return the events that tell it whole."""
        self.status = status
        ended = self._parts[-1].end()
        return ended + self._events.event("output_item.done", {"output_index": self._index, "item": self.written()})

    def written(self) -> dict[str, Any]:
        """Return it as it stands."""
        parts = [part.written() for part in self._parts]
        if not self._thoughts:
            return {"id": self._id, "type": "message", "role": "assistant", "status": self.status, "content": parts}
        if self._summary:
            return {"id": self._id, "type": "reasoning", "summary": parts}
        return {"id": self._id, "type": "reasoning", "summary": [], "content": parts}

    def _kind(self, kind: Kind) -> PartKind:
        if self._thoughts:
            return SUMMARY if self._summary else REASONING
        return REFUSAL if kind is Kind.REFUSAL else OUTPUT_TEXT


class FunctionCall:
    """A call of one of the client's functions. It is announced with its name; what comes before that waits."""

    __slots__ = ("_call", "_events", "_id", "_index", "_name", "_open", "_waiting", "growing", "status")

    def __init__(self, events: Numbered, index: int, request_id: str, call: str) -> None:
        self._events = events
        self._index = index
        self._id = f"fc_{request_id}_{index}"
        self._call = call
        self._name = ""
        self._waiting: list[bytes] = []
        self._open = False
        self.status = _OPEN
        self.growing = Growing(events, "function_call_arguments", {"item_id": self._id, "output_index": index})

    def add(self, delta: Delta) -> bytes:
        """Return the events for a piece of it."""
        if self._open:
            return self.growing.piece(delta.text) if delta.text else b""
        self._call, self._name = delta.id or self._call, self._name or delta.name
        if delta.text:
            self._waiting.append(delta.text)
        return self._begin() if self._name else b""

    def end(self, status: str = _DONE) -> bytes:
        """Return the events that tell it whole."""
        begun = b"" if self._open else self._begin()
        if not self.growing.begun and status == _DONE:
            begun += self.growing.piece(b"{}")  # clients read the arguments as JSON, and none at all are not JSON
        self.status = status
        done = {"output_index": self._index, "item": self.written()}
        return begun + self.growing.done("arguments") + self._events.event("output_item.done", done)

    def written(self) -> dict[str, Any]:
        """Return it as it stands."""
        call = {"call_id": quoted(escaped(self._call)), "name": quoted(escaped(self._name)), "arguments": self.growing.text}
        return {"id": self._id, "type": "function_call", "status": self.status, **call}

    def _begin(self) -> bytes:
        self._open = True
        announced = {"output_index": self._index, "item": self.written()}
        return self._events.event("output_item.added", announced) + b"".join(map(self.growing.piece, self._waiting))


Item = Texts | FunctionCall
