"""Turns the bytes of an answer into arrivals, whatever they are: our own test events, a provider's, compressed ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from proxy.doctor.arrivals import Arrival
from proxy.sse.events import Splitter, parse

AT_ONCE: Final = 65536  # bytes that are inflated in one go
LARGEST: Final = 64 << 20  # bytes that are read of one answer, as they are behind their compression
EVENT: Final = (
    2 << 20
)  # bytes of one event, above those of the largest test event; of a longer line the rest is a line of its own
_ENDS: Final = frozenset({b"done", b"message_stop", b"response.completed", b"response.incomplete", b"response.failed"})
_DONE: Final = b"[DONE]"
_READABLE: Final = frozenset({"", "gzip", "x-gzip", "deflate"})


class Reader:
    """Reads one answer's body. Where it cannot be decoded here, each piece of it counts as an event."""

    def __init__(self, encoding: str = "", *, lines: bool = False) -> None:
        """*lines*: each line is an event (NDJSON)."""
        self.arrivals: list[Arrival] = []
        self.keepalives = 0
        self.told: Mapping[str, Any] = {}
        self.done = False
        self.size = 0  # bytes so far
        self.readable = encoding in _READABLE
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding and self.readable else None
        self._splitter = None if lines else Splitter(EVENT)
        self._held = b""

    @property
    def full(self) -> bool:
        """Whether so much was read that no more is taken."""
        return self.size >= LARGEST

    def feed(self, data: bytes, at: float) -> None:
        """Take bytes that came *at* so many seconds after the request. Raises ValueError where they are not what the head says."""
        if not self.readable:
            self.size += len(data)
            self.arrivals.append(Arrival(at))
            return
        for plain in self._plain(data):
            self.size += len(plain)
            self._read(plain, at)
            if self.full:
                return

    def _plain(self, data: bytes) -> Iterator[bytes]:
        """Yield *data* without its compression, in small parts: a few bytes may stand for many."""
        if self._inflater is None:
            yield data
            return
        part = b""
        while data or len(part) == AT_ONCE:
            try:
                part = self._inflater.decompress(data, AT_ONCE)
            except zlib.error as exc:
                raise ValueError("the body is not gzip or deflate, as its head says") from exc
            data = self._inflater.unconsumed_tail
            yield part

    def _read(self, plain: bytes, at: float) -> None:
        if self._splitter is None:
            self._lines(plain, at)
            return
        for block in self._splitter.feed(plain):
            self._block(block, at)

    def _lines(self, data: bytes, at: float) -> None:
        if data and not data.strip():
            self.keepalives += 1
        *lines, self._held = (self._held + data).split(b"\n")
        if len(self._held) > EVENT:
            lines, self._held = [*lines, self._held], b""
        for line in filter(bytes.strip, lines):
            facts = _object(line)
            if facts.get("done") is True:
                self.done = True
            else:
                self._arrived(facts, at)

    def _block(self, block: bytes, at: float) -> None:
        event = parse(block)
        if event is None:
            self.keepalives += 1
        elif event.name in _ENDS or event.data == _DONE:
            self.done = True
        else:
            self._arrived(_object(event.data), at)

    def _arrived(self, facts: Mapping[str, Any], at: float) -> None:
        if not self.arrivals:
            self.told = facts
        self.arrivals.append(Arrival(at, _sent(facts)))


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = orjson.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _sent(facts: Mapping[str, Any]) -> float | None:
    elapsed = facts.get("elapsed_ms")
    return elapsed / 1000 if isinstance(elapsed, int | float) and "n" in facts else None
