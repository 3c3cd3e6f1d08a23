"""One response of the simulated backend on its socket: framed by hand, so that it can also end in every wrong way.

The head goes through aiohttp; the body goes straight to the transport, one write per event, because a missing last chunk,
a half event or a reset cannot be said through a response object. Whoever ends a response wrongly closes the connection,
and aiohttp's own attempt to finish it then finds a closing transport and gives up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

JSON: Final = "application/json"

_OWN: Final = {"Server": "simulator"}  # instead of aiohttp's, which tells versions
_RESET: Final = struct.pack("ii", 1, 0)
_MAX_SPLIT: Final = 24 * 1024  # bytes that are written one by one; ends within seconds


class _CloseDelimited(web.StreamResponse):
    """A body without framing, which the end of the connection ends."""


async def drop_framing(_: web.Request, response: web.StreamResponse) -> None:
    """Take the framing out of a close-delimited head. To be connected to `Application.on_response_prepare`."""
    if isinstance(response, _CloseDelimited):
        response.headers.popall("Transfer-Encoding", None)


class Wire:
    """The answer to one request. Every method raises ConnectionError when the client is gone."""

    __slots__ = ("_chunked", "_request", "_split", "_writer", "response")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._writer: AbstractStreamWriter | None = None
        self._chunked = False
        self._split = 0
        self.response: web.StreamResponse = web.StreamResponse()  # what aiohttp gets in the end

    def __repr__(self) -> str:
        return f"<Wire chunked={self._chunked} open={self._writer is not None}>"

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer with a whole JSON body."""
        self.response = web.Response(status=status, body=body, content_type=JSON, headers={**headers, **_OWN})

    async def open(self, headers: Mapping[str, str], *, length: int | None = None, framed: bool = True) -> None:
        """Send the head of a 200 at once: with a length, in chunks, or not *framed*, to be ended by the connection's end."""
        kind = web.StreamResponse if framed else _CloseDelimited
        response = kind(headers={**headers, **_OWN})
        response.content_length = length
        if not framed:
            response.force_close()
        self.response = response
        self._writer = await response.prepare(self._request)
        self._chunked = "Transfer-Encoding" in response.headers

    async def send(self, data: bytes) -> None:
        """Send *data* in one write, and wait while the client does not read."""
        self._transport().write(self._framed(data))
        await self._drain()

    async def send_split(self, data: bytes) -> None:
        """Send *data* with each byte of the wire in a write of its own (aiohttp has set TCP_NODELAY).

        What comes after the first 24 KiB of an answer is sent in one write.
        """
        wire = self._framed(data)
        alone = max(0, min(len(wire), _MAX_SPLIT - self._split))
        self._split += alone
        for index in range(alone):
            self._transport().write(wire[index : index + 1])
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # a reader in this same loop runs between the two, and so sees each byte alone
        if rest := wire[alone:]:
            self._transport().write(rest)
        await self._drain()

    async def finish(self) -> None:
        """End the body as its framing demands."""
        await self.response.write_eof()

    def hang_up(self) -> None:
        """Close the connection with a FIN, with or without an answer, finished or not."""
        self._transport().close()

    def reset(self) -> None:
        """Close the connection with a RST."""
        transport = self._transport()
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        return transport

    async def _drain(self) -> None:
        if self._writer is not None:
            await self._writer.drain()
