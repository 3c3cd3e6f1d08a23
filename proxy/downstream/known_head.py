"""Recognises a head that is, byte for byte, the one before it on its connection, but for the length of its body.

The parser stands at the beginning of a message both times, so what it has read of the same bytes once is what it would read again.
Clients send the same head all day, and reading it is dearer than all that is done with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.downstream.request import Fields, Request

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection

_VERSION: Final = (1, 1)
_MOST_DIGITS: Final = 15
_LONGEST: Final = 8 * 1024  # bytes of a head that are worth the memory


class KnownHead:
    """The bytes before and behind the number that is the length of the body, and what stands in them."""

    __slots__ = (
        "_at", "_before", "_behind", "_fields", "_length", "_method", "_number", "_start", "_stop", "_target", "body_at", "body_end",
    )  # fmt: skip

    def __init__(self, data: bytes, request: Request, at: int) -> None:
        """*data* begins with the head of *request*, of whose headers the one at *at* is Content-Length."""
        name, number = request.raw_headers[at]
        start = data.index(number, data.index(b"\r\n%b:" % name) + len(name) + 3)
        stop = start + len(number)
        self._at = at
        self._before = data[:start]
        self._behind = data[stop : data.index(b"\r\n\r\n", stop) + 4]
        self._method = request.method
        self._target = request.target
        self._fields: Fields = request.raw_headers
        self._start = start
        self._stop = start + _MOST_DIGITS + len(self._behind)
        self._number = number
        self._length = int(number)
        self.body_at = self.body_end = 0  # where the body of the request that was recognised last begins and ends

    @property
    def size(self) -> int:
        """Bytes to remember."""
        return len(self._before) + len(self._behind)

    def again(self, data: bytes, connection: ClientConnection) -> Request | None:
        """Return the request with which *data* begins, if its head is this one."""
        if not data.startswith(self._before):
            return None
        start, behind = self._start, self._behind
        stop = data.find(behind, start, self._stop)
        number = data[start:stop] if stop > 0 else b""
        if number != self._number:
            if not number.isdigit():
                return None
            self._renumber(number)
        self.body_at = begin = stop + len(behind)
        self.body_end = end = begin + self._length
        request = Request(connection, self._method, self._target, _VERSION, self._fields)
        if end <= len(data):
            request.whole = data[begin:end]
        return request

    def _renumber(self, number: bytes) -> None:
        fields, at = self._fields, self._at
        self._fields = (*fields[:at], (fields[at][0], number), *fields[at + 1 :])
        self._number, self._length = number, int(number)


def known_head(data: bytes, request: Request) -> KnownHead | None:
    """Return what is to be known of *request*, with whose head *data* begins, if it is one of the common kind."""
    if not request.keep_alive or request.version != _VERSION:
        return None
    for at, (name, _) in enumerate(request.raw_headers):
        if name.lower() == b"content-length":
            known = KnownHead(data, request, at)
            return known if known.size <= _LONGEST else None
    return None
