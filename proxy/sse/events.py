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
    """Collects bytes into event blocks. A block is everything up to and including its empty line, without a leading BOM.

    Memory is bounded by *cap*: of a larger event only the first `HEAD` bytes are kept, and it comes out of `feed` cut off,
    with `lost` counted up. It finds the next boundary by itself.
    """

    __slots__ = ("_at_start", "_cap", "_scanned", "_skipping", "held", "id_seen", "lost")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._scanned = 0
        self._skipping = False
        self._at_start = True
        self.held = bytearray()  # of an unfinished event; empty: the next byte begins one
        self.lost = 0
        self.id_seen = False  # an event had an `id` field; `idle` counts too, the answer only makes keepalives more careful

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the event blocks that *data* completes.

        The common case, one whole event ending in LF LF or CRLF CRLF, costs a few substring tests and no copy.
        """
        if self.held:
            return self._collect(data)
        if _is_one_block(data) or _is_one_crlf_block(data):
            return (self._whole(data),)
        return self._several(data) if data.endswith(b"\n\n") and data.find(b"\r") < 0 else self._collect(data)

    def _several(self, data: bytes) -> list[bytes]:
        """Cut whole blocks with line ends of one kind, as they come in a read that was late."""
        blocks = [block + b"\n\n" for block in data.split(b"\n\n")]
        blocks.pop()  # what is behind the last empty line
        blocks[0] = self._whole(blocks[0])
        self._note_id(data)
        return blocks

    def _collect(self, data: bytes) -> list[bytes]:
        held = self.held
        held += data
        blocks: list[bytes] = []
        start = 0
        for end in ends(held, self._scanned):
            blocks.append(self._whole(bytes(held[start:end])))
            start = end
        del held[:start]
        self._scanned = max(len(held) - 3, 0)
        if len(held) > self._cap:
            self._skip()
        return blocks

    def _whole(self, block: bytes) -> bytes:
        if self._at_start:
            self._at_start = False
            block = block.removeprefix(BOM)
        self._note_id(block)
        if self._skipping:
            self._skipping = False
            return block[:HEAD]
        return block

    def _skip(self) -> None:
        """Forget the middle of an event that is too large: keep its head, and the last bytes for the boundary."""
        if not self._skipping:
            self._skipping = True
            self.lost += 1
        self._note_id(self.held)
        del self.held[HEAD:-3]
        self._scanned = HEAD

    def _note_id(self, lines: bytes | bytearray) -> None:
        if not self.id_seen:
            self.id_seen = lines.startswith(b"id") or lines.find(b"\nid") >= 0 or lines.find(b"\rid") >= 0


def ends(held: bytearray, position: int) -> list[int]:
    """Return where events end behind *position*; a byte is looked at a few times, however many there are.

    Substring tests where the line ends are of one kind: the expression costs ten times as much.
    """
    if held.find(b"\r", position) < 0:
        return _ends_of(b"\n\n", held, position)
    if held.count(b"\r", position) == held.count(b"\r\n", position) == held.count(b"\n", position):
        return _ends_of(b"\r\n\r\n", held, position)
    return [found.end() for found in _END.finditer(held, position)]


def _ends_of(mark: bytes, held: bytearray, position: int) -> list[int]:
    found: list[int] = []
    while (at := held.find(mark, position)) >= 0:
        position = at + len(mark)
        found.append(position)
    return found


def _is_one_block(data: bytes) -> bool:
    return data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and data.find(b"\r") < 0


def _is_one_crlf_block(data: bytes) -> bool:
    return (
        data.endswith(b"\r\n\r\n")
        and data.find(b"\r\n\r\n") == len(data) - 4
        and data.count(b"\r") == data.count(b"\r\n") == data.count(b"\n")
    )


def parse(block: bytes) -> Event | None:
    """Read one event block; None when it has no data line (comments, a lone `id`, nothing)."""
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2 and block.find(b"\r") < 0:
        return Event(b"", block[6:-2])
    name = b""
    data: list[bytes] = []
    for line in _LINE_END.split(block):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(name, b"\n".join(data)) if data else None


def is_comment(block: bytes) -> bool:
    """Tell whether a block holds no field at all, only comments and empty lines."""
    if block.startswith((b"data:", b"event:")):  # nearly every block: no need to cut it
        return False
    return all(not line or line.startswith(b":") for line in _LINE_END.split(block))
