"""Cuts a stream into whole events for the observer, within a byte cap; the client's bytes never pass through here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from proxy.sse.boundary import BOM

CAP: Final = 1024 * 1024
HEAD: Final = 4096  # what is kept of an event beyond the cap, enough to read its type

# An empty line after the end of a line. `\r(?!\n)` keeps one CRLF from being read as two terminators.
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """One dispatched event: its type (empty: `message`) and its data lines joined by LF."""

    name: bytes
    data: bytes


class Splitter:
    """Collects bytes into event blocks. A block is everything up to and including its empty line.

    Memory is bounded by `CAP`: of a larger event only the first `HEAD` bytes are kept, and it comes out of `feed` cut off,
    with `lost` counted up. It finds the next boundary by itself.
    """

    __slots__ = ("_cap", "_held", "_scanned", "_skipping", "lost")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._held = bytearray()
        self._scanned = 0
        self._skipping = False
        self.lost = 0

    @property
    def clean(self) -> bool:
        """Whether nothing of an unfinished event is held."""
        return not self._held

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the event blocks that *data* completes.

        The common case, one whole event ending in LF LF or CRLF CRLF, costs a few substring tests and no copy.
        """
        if not self._held:
            if data.endswith(b"\n\n"):
                if data.count(b"\n\n") == 1 and b"\r" not in data:
                    return (data,)
            elif data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1 and data.count(b"\r") == data.count(b"\r\n") == data.count(b"\n"):
                return (data,)
        return self._collect(data)

    def _collect(self, data: bytes) -> list[bytes]:
        held = self._held
        held += data
        blocks: list[bytes] = []
        start = 0
        position = self._scanned
        while (found := _END.search(held, position)) is not None:
            blocks.append(self._block(held, start, found.end()))
            start = position = found.end()
        del held[:start]
        self._scanned = max(len(held) - 3, 0)
        if len(held) > self._cap:
            self._skip()
        return blocks

    def _block(self, held: bytearray, start: int, end: int) -> bytes:
        if self._skipping:
            self._skipping = False
            return bytes(held[start : min(end, start + HEAD)])
        return bytes(held[start:end])

    def _skip(self) -> None:
        """Forget the middle of an event that is too large: keep its head, and the last bytes for the boundary."""
        if not self._skipping:
            self._skipping = True
            self.lost += 1
        del self._held[HEAD:-3]
        self._scanned = HEAD


def parse(block: bytes) -> Event | None:
    """Read one event block; None when it has no data line (comments, a lone `id`, nothing). A leading BOM is ignored."""
    name = b""
    data: list[bytes] = []
    for line in _LINE_END.split(block.removeprefix(BOM)):
        field, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(name, b"\n".join(data)) if data else None


def is_comment(block: bytes) -> bool:
    """Tell whether a block holds no field at all, only comments and empty lines (a leading BOM does not count)."""
    block = block.removeprefix(BOM)
    return all(not line or line.startswith(b":") for line in _LINE_END.split(block))
