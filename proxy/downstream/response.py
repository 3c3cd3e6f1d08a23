"""Owns one client's response: commits it, writes to it, finishes or aborts it, and knows what has been sent.

Once the head is out, bytes are framed here and go straight to the transport: no coroutine, no queue, one write each.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from proxy.downstream.connection import ClientConnection

Headers = Sequence[tuple[bytes, bytes]]

_NO_LINGER: Final = struct.pack("ii", 1, 0)
SERVER: Final = "llm-stream-proxy"


def header_map(headers: Headers) -> CIMultiDict[str]:
    """Return *headers* as aiohttp wants them; duplicates and order survive."""
    made = CIMultiDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    made["Server"] = SERVER
    return made


def whole(status: int, headers: Headers, body: bytes) -> web.Response:
    """Return a response that goes out in one write: head and body together."""
    return web.Response(status=status, headers=header_map(headers), body=body)


class Downstream:
    """The client's side of one exchange.

    `committed` turns true when the head is handed to the transport; from then on the status can no longer change.
    """

    __slots__ = ("_chunked", "_response", "_transport", "closing", "request", "taken")

    def __init__(self, request: web.BaseRequest, *, closing: bool = False) -> None:
        self.request = request
        self.closing = closing  # answer with `Connection: close`
        self.taken = 0  # bytes handed to the transport after the head
        self._response: web.StreamResponse | None = None
        self._chunked = False
        self._transport = request.transport

    @property
    def connection(self) -> ClientConnection:
        """The connection under it."""
        protocol = self.request.protocol
        assert isinstance(protocol, ClientConnection)
        return protocol

    @property
    def committed(self) -> bool:
        """Whether the head has been handed to the transport."""
        return self._response is not None and self._response.prepared

    @property
    def gone(self) -> bool:
        """Whether nobody is left to write to."""
        return self._transport is None or self._transport.is_closing()

    @property
    def pending(self) -> int:
        """Bytes that the client's socket has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def commit(self, status: int, headers: Headers, *, length: int | None = None) -> None:
        """Send the head. Raises ConnectionError when the client has left. Only the first call does anything."""
        if self._response is not None:
            return
        response = web.StreamResponse(status=status, headers=header_map(headers))
        if length is not None:
            response.content_length = length
        elif self.request.version < (1, 1):
            response.force_close()  # the end of the connection is the only end such a body can have
        if self.closing:
            response.force_close()
        self._response = response
        await response.prepare(self.request)
        self._chunked = response.headers.get("Transfer-Encoding") == "chunked"

    def write(self, data: bytes) -> None:
        """Hand *data* to the client's socket now, as one chunk in one write. The hot path."""
        transport = self._transport
        if transport is not None:
            self.taken += len(data)
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def finish(self) -> web.StreamResponse:
        """Return the response for aiohttp to end in good order: the answer was complete."""
        assert self._response is not None
        return self._response

    def cut(self, last: bytes = b"") -> web.StreamResponse:
        """End a response that must not look finished, after *last* (an error event, or nothing). Idempotent.

        No terminal chunk is written. With bytes still on their way the connection closes behind them; `abort` would lose
        them. A peer that reads to the end of the connection must see a reset: for it a FIN is a good end.
        """
        assert self._response is not None
        self._response.force_close()
        transport = self._transport
        if transport is None or transport.is_closing():
            return self._response
        if last:
            self.write(last)
        if not self._chunked and self._response.content_length is None:
            self._reset_on_close(transport)
            transport.abort()
        elif last or transport.get_write_buffer_size():
            transport.close()
        else:
            transport.abort()
        return self._response

    def abort(self) -> None:
        """Drop the connection and whatever waits in it, at once."""
        if self._transport is not None:
            self._transport.abort()

    def _reset_on_close(self, transport: asyncio.Transport) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
