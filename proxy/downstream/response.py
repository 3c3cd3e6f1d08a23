"""Owns one client's response: writes its head, frames its body, ends it well or badly, and knows what has been sent.

All of it is synchronous: bytes go to the transport in the call that brings them, one write each. aiohttp reads requests and
keeps connections; the response is ours, because a coroutine between an upstream's byte and the client's socket is a delay,
and because the end of a body must be said, or not be said, here and nowhere else (RFC 9112 6 and 7).
"""

from __future__ import annotations

import asyncio
import functools
import socket
import struct
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from proxy.downstream.request import Request
from proxy.headers import header_lines

Headers = Sequence[tuple[bytes, bytes]] | bytes  # pairs, or the lines of a head

LAST_CHUNK: Final = b"0\r\n\r\n"
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_LINGER: Final = struct.pack("ii", 0, 0)  # as a new socket has it
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})


class Sent:
    """What answering a request comes to: the response has been written, and only the connection's fate is left."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive  # the connection serves another request

    def __repr__(self) -> str:
        return f"<Sent keep_alive={self.keep_alive}>"


class Downstream:
    """The client's side of one exchange.

    `committed` turns true when the head is handed to the transport; from then on the status can no longer change.
    """

    __slots__ = ("_chunked", "_keep", "_sized", "_transport", "closing", "committed", "connection", "request", "taken")

    def __init__(self, request: Request, closing: bool = False) -> None:
        self.request = request
        self.closing = closing  # answer with `Connection: close`
        self.committed = False
        self.taken = 0  # bytes handed to the transport
        self._chunked = False
        self._sized = False  # the client can tell a whole body by its length
        self._keep = False
        self.connection = request.connection
        self._transport = self.connection.transport

    @property
    def gone(self) -> bool:
        """Whether nobody is left to write to."""
        return self._transport is None or self._transport.is_closing()

    @property
    def pending(self) -> int:
        """Bytes that the client's socket has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def begin(self, status: int, headers: Headers, *, length: int | None = None, data: bytes = b"") -> None:
        """Write the head, and *data* behind it in the same write. Without *length* the body is chunked."""
        request = self.request
        modern = request.version >= (1, 1)
        bare = status in _BODILESS
        bodiless = bare or request.method == "HEAD"
        sized = self._sized = bodiless or length is not None
        chunked = self._chunked = modern and not sized
        keep = self._keep = request.keep_alive and not self.closing and (sized or chunked)
        if length is not None and not bare:  # a 304 would have to name its 200's (RFC 9110 8.6)
            framing = b"Content-Length: %d\r\n" % length
        else:
            framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        if not keep:
            framing += b"Connection: close\r\n"
        elif not modern:
            framing += b"Connection: keep-alive\r\n"
        if not (sized or chunked):
            self._linger(_NO_LINGER)  # for it a FIN is a good end, and that is what the kernel sends for a process that dies
        self.committed = True
        request.begun = True
        if bodiless:
            data = b""
        elif chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._hand_over(b"".join((status_and_headers(int(modern), status, headers), framing, b"\r\n", data)))

    @property
    def direct(self) -> Callable[[bytes], None] | None:
        """What takes whole chunks until the client leaves, for whoever counts them in `taken`; None: the body is not in chunks."""
        return self._transport.write if self._chunked and self._transport is not None else None

    def write(self, data: bytes, framed: bytes = b"") -> None:
        """Hand *data* to the client's socket now, as one chunk in one write.

        *framed* is *data* in chunks, where somebody has it already.
        """
        if self._chunked:
            data = framed or b"%x\r\n%b\r\n" % (len(data), data)
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self.taken += len(data)
            transport.write(data)

    def answer(self, status: int, headers: Headers, body: bytes) -> Sent:
        """Write a whole response at once."""
        self.begin(status, headers, length=len(body), data=body)
        return KEPT if self._keep else CLOSED

    def finish(self) -> Sent:
        """Say that the body is complete."""
        if self._chunked:
            self._hand_over(LAST_CHUNK)
        elif not self._sized:
            self._linger(_LINGER)
        return KEPT if self._keep else CLOSED

    def cut(self, last: bytes = b"") -> Sent:
        """End a response that must not look finished, after *last* (an error event, or nothing).

        No terminal chunk is written. With bytes still on their way the connection closes behind them; `abort` would lose
        them. The last words are given a moment to be read. A peer that reads to the end of the connection must see a reset:
        for it a FIN is a good end.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return CLOSED
        if last:
            self.write(last)
        if not self._chunked and not self._sized:
            reset(transport)
        elif last:
            self.connection.part()
        elif transport.get_write_buffer_size():
            transport.close()
        else:
            transport.abort()
        return CLOSED

    def abort(self) -> None:
        """Reset the connection: what waits in it, also in the kernel, is dropped at once."""
        if self._transport is not None:
            reset(self._transport)

    def _linger(self, how: bytes) -> None:
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def _hand_over(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self.taken += len(data)
            transport.write(data)


def status_and_headers(minor: int, status: int, headers: Headers) -> bytes:
    """Return the head's first lines; framing and the empty line are the caller's."""
    lines = headers if isinstance(headers, bytes) else header_lines(headers)
    return _status_line(minor, status) + lines + _server_and_date(time.time() // 1.0)


@functools.lru_cache(maxsize=64)
def _status_line(minor: int, status: int) -> bytes:
    return b"HTTP/1.%d %d %b\r\n" % (minor, status, _PHRASES.get(status, b""))


@functools.lru_cache(maxsize=1)
def _server_and_date(second: float) -> bytes:
    return b"Server: llm-stream-proxy\r\nDate: %b\r\n" % formatdate(second, usegmt=True).encode()


def reset(transport: asyncio.Transport) -> None:
    """End a connection by a RST, which no peer takes for the good end of a body; it goes out even if the peer does not read."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


KEPT: Final = Sent(keep_alive=True)
CLOSED: Final = Sent(keep_alive=False)
