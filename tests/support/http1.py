"""Read HTTP/1 messages exactly as they are on the wire: heads with their raw bytes, bodies with their framing undone."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from tests.support.wire import WITHIN, Piece, Wire

Field = tuple[bytes, bytes]
BODILESS: Final = frozenset({204, 304})
CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(;.*)?")


class BadMessage(AssertionError):
    """A peer under test sent bytes that are not HTTP/1."""


class CutShort(BadMessage):
    """A connection ended inside a head."""


@dataclass(frozen=True, slots=True)
class Head:
    """A start line and its fields, names and values as they came, in order."""

    raw: bytes
    start: bytes
    headers: tuple[Field, ...]

    def header(self, name: str) -> str | None:
        """Return the only value of *name*, None without one; two are a failure."""
        values = self.header_values(name)
        assert len(values) < 2, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def header_values(self, name: str) -> list[str]:
        """Return every value of *name*, in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]


class Body(Protocol):
    """Undoes the framing of one body, fed in any cuts."""

    @property
    def complete(self) -> bool:
        """Whether its last byte has come."""
        ...

    @property
    def rest(self) -> bytes:
        """What came after its end."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take wire bytes, return the body bytes among them."""
        ...


class LengthBody:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.rest = b""

    @property
    def complete(self) -> bool:
        return self.left == 0

    def feed(self, data: bytes) -> bytes:
        body = data[: self.left]
        self.left -= len(body)
        self.rest += data[len(body) :]
        return body


class OpenBody:
    """A body that ends with its connection, so that nothing in it says whether it is whole."""

    complete = False
    rest = b""

    def feed(self, data: bytes) -> bytes:
        return data


class _At(enum.Enum):
    SIZE = "a chunk's size line"
    DATA = "a chunk's data"
    AFTER = "the line end after a chunk"
    TRAILERS = "the trailers"
    END = "the end"


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1), strictly: CRLF everywhere, sizes in plain hexadecimal digits."""

    def __init__(self) -> None:
        self.chunks: list[int] = []  # the size of each, the last one (0) excluded
        self.trailers: list[Field] = []
        self.rest = b""
        self._at = _At.SIZE
        self._left = 0
        self._pending = bytearray()

    @property
    def complete(self) -> bool:
        return self._at is _At.END

    def feed(self, data: bytes) -> bytes:
        self._pending += data
        body = bytearray()
        while self._pending and self._step(body):
            pass
        return bytes(body)

    def _step(self, body: bytearray) -> bool:
        """Consume one element; False when it is not complete yet."""
        if self._at is _At.DATA:
            return self._data(body)
        if self._at is _At.END:
            self.rest += bytes(self._pending)
            self._pending.clear()
            return False
        line = self._line()
        if line is None:
            return False
        if self._at is _At.SIZE:
            self._size(line)
        elif self._at is _At.AFTER:
            self._after(line)
        else:
            self._trailer(line)
        return True

    def _line(self) -> bytes | None:
        end = self._pending.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        if not line.endswith(b"\r\n"):
            raise BadMessage(f"{self._at.value} ends with a bare LF: {line!r}")
        return line[:-2]

    def _size(self, line: bytes) -> None:
        match = CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise BadMessage(f"not a chunk size: {line!r}")
        self._left = int(match[1], 16)
        self._at = _At.DATA if self._left else _At.TRAILERS
        if self._left:
            self.chunks.append(self._left)

    def _data(self, body: bytearray) -> bool:
        piece = self._pending[: self._left]
        del self._pending[: self._left]
        body += piece
        self._left -= len(piece)
        if not self._left:
            self._at = _At.AFTER
        return True

    def _after(self, line: bytes) -> None:
        if line:
            raise BadMessage(f"a chunk is longer than its size says: {line!r}")
        self._at = _At.SIZE

    def _trailer(self, line: bytes) -> None:
        if line:
            self.trailers.append(_field(line))
        else:
            self._at = _At.END


def chunk(data: bytes) -> bytes:
    """Frame *data* as one chunk."""
    assert data, "an empty chunk would be the last one"
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return what ends a chunked body."""
    return b"0\r\n" + fields(trailers) + b"\r\n"


def fields(headers: Iterable[tuple[str, str]]) -> bytes:
    """Write header fields, as Latin-1 and unchecked: what a test says goes out."""
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)


def parse_head(raw: bytes) -> Head:
    """Take a head apart; raises `BadMessage` where a line is not a header field."""
    start, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return Head(raw, start, tuple(_field(line) for line in lines))


def request_body(head: Head) -> Body:
    """Choose the framing of a request's body (RFC 9112 section 6.3)."""
    if head.header("transfer-encoding") is not None:
        return ChunkedBody()
    return LengthBody(int(head.header("content-length") or 0))


def response_body(head: Head, status: int, method: str) -> Body:
    """Choose the framing of a response's body; with both framings in one head the message fails."""
    encoding, length = head.header("transfer-encoding"), head.header("content-length")
    if method == "HEAD" or status in BODILESS or (method == "CONNECT" and status < 300):
        return LengthBody(0)
    if encoding is not None and length is not None:
        raise BadMessage(f"both framings in one head: {head.raw!r}")
    if encoding is not None:
        if encoding.lower() != "chunked":
            raise BadMessage(f"unknown transfer encoding: {encoding!r}")
        return ChunkedBody()
    return OpenBody() if length is None else LengthBody(int(length))


async def read_head(wire: Wire, within: float | None = WITHIN) -> Head | None:
    """Read up to the blank line and leave the rest on *wire*; None when the connection ends before the first byte.

    *within* limits the wait for each single read; None: there is no limit.
    """
    raw = b""
    while (piece := await wire.take(within)) is not None:
        raw += piece.data
        head, blank, rest = raw.partition(b"\r\n\r\n")
        if blank:
            wire.untake(Piece(piece.at, rest))
            return parse_head(head + blank)
    if raw:
        raise CutShort(f"the connection ended inside a head: {raw!r}")
    return None


def _field(line: bytes) -> Field:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise BadMessage(f"not a header field: {line!r}")
    return name, value.strip(b" \t")
