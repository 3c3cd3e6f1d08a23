"""Writes the events of OpenAI's responses API, all numbered, and the texts in them, which grow piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from proxy.translate.json_text import quoted

Members = Mapping[str, Any]

_NOTHING: Final[Members] = {}


class Numbered:
    """Numbers the events of one response. `kept` is how many bytes of text are held, to be told again at the end."""

    __slots__ = ("kept", "number")

    def __init__(self) -> None:
        self.number = 0  # of the next event
        self.kept = 0

    def event(self, kind: str, members: Members) -> bytes:
        """Return an event; *kind* without `response.`."""
        data = orjson.dumps({"type": f"response.{kind}", "sequence_number": self.number, **members})
        self.number += 1
        return b"event: response.%b\ndata: %b\n\n" % (kind.encode(), data)


class Growing:
    """A text that grows, and what stands around each piece of it."""

    __slots__ = ("_after", "_before", "_events", "_kind", "_middle", "_more", "_pieces", "_where")

    def __init__(self, events: Numbered, kind: str, where: Members, more: Members = _NOTHING) -> None:
        self._events = events
        self._kind = kind
        self._where = where
        self._more = more
        name = b"response.%b.delta" % kind.encode()
        self._before = b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)
        self._middle = b',%b,"delta":"' % orjson.dumps(where)[1:-1]
        self._after = b'"%b\n\n' % (b"," + orjson.dumps(more)[1:] if more else b"}")
        self._pieces: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether any piece of it has come."""
        return bool(self._pieces)

    @property
    def text(self) -> orjson.Fragment:
        """All of it so far, as a JSON string."""
        return quoted(b"".join(self._pieces))

    def piece(self, text: bytes) -> bytes:
        """Return the event with one more piece, *text* as inside of a JSON string. The hot path."""
        events = self._events
        number = events.number
        events.number = number + 1
        events.kept += len(text)
        self._pieces.append(text)
        return b"%b%d%b%b%b" % (self._before, number, self._middle, text, self._after)

    def done(self, key: str) -> bytes:
        """Return the event that tells all of it again, as *key*."""
        return self._events.event(f"{self._kind}.done", {**self._where, key: self.text, **self._more})


class PartKind(NamedTuple):
    """What a part is called: its type, the key of its text, its own events and its text's, and what counts its like."""

    type: str
    key: str
    events: str
    text_events: str
    counter: str
    rest: Members = _NOTHING  # other members of the part
    more: Members = _NOTHING  # other members of its text's events


OUTPUT_TEXT: Final = PartKind(
    "output_text", "text", "content_part", "output_text", "content_index", {"annotations": [], "logprobs": []}, {"logprobs": []}
)
REFUSAL: Final = PartKind("refusal", "refusal", "content_part", "refusal", "content_index")
REASONING: Final = PartKind("reasoning_text", "text", "content_part", "reasoning_text", "content_index")
SUMMARY: Final = PartKind("summary_text", "text", "reasoning_summary_part", "reasoning_summary_text", "summary_index")


class Part:
    """One part of an item."""

    __slots__ = ("_events", "_where", "kind", "text")

    def __init__(self, events: Numbered, kind: PartKind, item: Members, number: int) -> None:
        self._events = events
        self._where = {**item, kind.counter: number}
        self.kind = kind
        self.text = Growing(events, kind.text_events, self._where, kind.more)

    def begin(self) -> bytes:
        """Return the event that announces it."""
        return self._events.event(f"{self.kind.events}.added", {**self._where, "part": self._written("")})

    def end(self) -> bytes:
        """Return the events that tell all of it again."""
        done = self.text.done(self.kind.key)
        return done + self._events.event(f"{self.kind.events}.done", {**self._where, "part": self.written()})

    def written(self) -> dict[str, Any]:
        """Return it as it stands in its item."""
        return self._written(self.text.text)

    def _written(self, text: Any) -> dict[str, Any]:
        return {"type": self.kind.type, self.kind.key: text, **self.kind.rest}
