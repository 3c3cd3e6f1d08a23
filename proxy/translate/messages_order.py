"""Puts the pieces of a chat answer in the order that Anthropic's blocks have: one block after the other, none reopened.

Chat may tell several tool calls at once. What belongs to a later block waits until the JSON of the open call is complete, or
until the answer has ended; words and thoughts never wait for anything else.
"""

from __future__ import annotations

import orjson

from proxy.translate.chat_deltas import Delta, Kind
from proxy.translate.json_text import unescaped
from proxy.translate.messages_events import MessageEvents


class Part:
    """What becomes one block, with the pieces of it that came before its turn, or of an open call all of them."""

    __slots__ = ("call", "id", "kind", "name", "pieces")

    def __init__(self, delta: Delta) -> None:
        self.kind = Kind.TEXT if delta.kind is Kind.REFUSAL else delta.kind
        self.call = delta.call
        self.id = delta.id
        self.name = delta.name
        self.pieces: list[bytes] = []

    def takes(self, delta: Delta) -> bool:
        """Tell whether *delta* belongs to this block."""
        kind = Kind.TEXT if delta.kind is Kind.REFUSAL else delta.kind
        return kind is self.kind and delta.call == self.call

    def add(self, delta: Delta) -> None:
        """Keep *delta* until it is this block's turn."""
        self.id, self.name = self.id or delta.id, self.name or delta.name
        if delta.text:
            self.pieces.append(delta.text)

    @property
    def ready(self) -> bool:
        """Whether its beginning can be told: a call's only with its name."""
        return self.kind is not Kind.CALL or bool(self.name)

    @property
    def ended(self) -> bool:
        """Whether nothing can follow: a call's JSON is complete, and all others are ended by what comes next."""
        if self.kind is not Kind.CALL:
            return True
        if not self.pieces or not self.pieces[-1].rstrip().endswith(b"}"):
            return False
        try:
            return isinstance(orjson.loads(unescaped(b"".join(self.pieces)).encode("utf-8", "replace")), dict)
        except ValueError:
            return False


class MessageOrder:
    """The blocks of one answer. `kept` is how many bytes of it are held."""

    __slots__ = ("_events", "_open", "_request_id", "_waiting", "kept")

    def __init__(self, events: MessageEvents, request_id: str) -> None:
        self._events = events
        self._request_id = request_id
        self._open: Part | None = None
        self._waiting: list[Part] = []
        self.kept = 0

    def add(self, delta: Delta) -> bytes:
        """Return what *delta* lets be told now."""
        part = self._open
        if part is None or not part.takes(delta):
            self._wait(delta)
            return self._advance()
        if not delta.text:
            return b""
        if part.kind is Kind.CALL:
            part.pieces.append(delta.text)
            self.kept += len(delta.text)
        out = self._events.piece(delta.text)
        return out + self._advance() if self._waiting else out

    def end(self) -> bytes:
        """Return all that waits, and the end of the last block: nothing more is to come."""
        out = b"".join([self._next() for _ in range(len(self._waiting))])
        self._leave()
        return out + self._events.close()

    def _wait(self, delta: Delta) -> None:
        self.kept += len(delta.text)
        # a call is gone on with wherever it stands; words belong to what was said last
        candidates = self._waiting if delta.kind is Kind.CALL else self._waiting[-1:]
        part = next((part for part in candidates if part.takes(delta)), None)
        if part is None:
            part = Part(delta)
            self._waiting.append(part)
        part.add(delta)

    def _advance(self) -> bytes:
        out = []
        while self._waiting and self._waiting[0].ready and (self._open is None or self._open.ended):
            out.append(self._next())
        return b"".join(out)

    def _next(self) -> bytes:
        self._leave()
        self._open = part = self._waiting.pop(0)
        begun = self._begin(part) + b"".join(map(self._events.piece, part.pieces))
        if part.kind is not Kind.CALL:
            self._forget(part)
        return begun

    def _leave(self) -> None:
        if self._open is not None:
            self._forget(self._open)
        self._open = None

    def _forget(self, part: Part) -> None:
        self.kept -= sum(map(len, part.pieces))
        part.pieces.clear()

    def _begin(self, part: Part) -> bytes:
        if part.kind is Kind.TEXT:
            return self._events.begin_text()
        if part.kind is Kind.REASONING:
            return self._events.begin_thinking()
        return self._events.begin_call(part.id or call_id(self._request_id, part.call), part.name)


def call_id(request_id: str, number: int) -> str:
    """Return an id for a call that came without one."""
    return f"call_{request_id}_{number}"
