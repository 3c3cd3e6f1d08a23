"""A raw-socket HTTP client that hides nothing: bytes as they came, when they came, and how the connection ended."""

from __future__ import annotations

import asyncio
import enum
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.support.http1 import BadMessage, Body, ChunkedBody, Head, OpenBody, fields, read_head, response_body
from tests.support.whatwg import Event, EventStreamParser
from tests.support.wire import WITHIN, Closed, How, Piece, Wire

Headers = Iterable[tuple[str, str]]


class End(enum.Enum):
    """How a response ended."""

    CLEAN = "clean"  # last chunk, full length, or the FIN of a close-delimited body
    ABORTED = "aborted"  # closed by a FIN without that
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class DatedEvent:
    """An event that a WHATWG parser dispatched, with the time of the read that completed it."""

    at: float
    event: Event


class Response:
    """One response: its head is read, its body comes as the test reads on."""

    def __init__(self, head: Head, method: str, wire: Wire, informational: list[Head]) -> None:
        version, status, *reason = head.start.split(b" ", 2)
        self.head = head
        self.informational = informational
        self.version = version
        self.status = int(status)
        self.reason = b"".join(reason)
        self.reads: list[Piece] = []  # the body's bytes without framing, one for each read that held some
        self.body = bytearray()
        self.raw = bytearray()  # with framing, as on the wire
        self.end: End | None = None
        self._framing: Body = response_body(head, self.status, method)
        self._wire = wire
        if self._framing.complete:
            self.end = End.CLEAN

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.end.value if self.end else 'unfinished'} {bytes(self.body[-200:])!r}>"

    def header(self, name: str) -> str | None:
        """Return the only value of *name*, None without one."""
        return self.head.header(name)

    @property
    def chunks(self) -> list[int]:
        """The sizes of the chunks so far; fails for a body that is not chunked."""
        assert isinstance(self._framing, ChunkedBody), "not chunked"
        return self._framing.chunks

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields after the last chunk; fails for a body that is not chunked."""
        assert isinstance(self._framing, ChunkedBody), "not chunked"
        return self._framing.trailers

    def json(self) -> Any:
        """Parse what was read of the body."""
        return json.loads(self.body)

    async def more(self, within: float = WITHIN) -> Piece | None:
        """Return the body's bytes of the next read that holds some; None at the end, which `end` then names."""
        while self.end is None:
            taken = await self._wire.take(within)
            if taken is None:
                self.end = self._ended()
            elif data := self._feed(taken):
                self.reads.append(Piece(taken.at, data))
                return self.reads[-1]
        return None

    async def read(self, within: float = WITHIN) -> bytes:
        """Read to the end, in *within* seconds altogether, and return the whole body."""
        deadline = time.monotonic() + within
        while await self.more(deadline - time.monotonic()):
            pass
        return bytes(self.body)

    async def read_until(self, marker: bytes, within: float = WITHIN) -> bytes:
        """Read until *marker* is in the body and return the body so far; fails if the end comes first."""
        deadline = time.monotonic() + within
        while marker not in self.body:
            assert await self.more(deadline - time.monotonic()), f"{marker!r} did not come before the end: {self}"
        return bytes(self.body)

    async def events(self, within: float = WITHIN) -> AsyncIterator[DatedEvent]:
        """Yield each event of the body as it arrives, from the first one on; *within* is the longest silence."""
        parser, done = EventStreamParser(), 0
        while done < len(self.reads) or await self.more(within):
            piece = self.reads[done]
            done += 1
            for item in parser.feed(piece.data):
                if isinstance(item, Event):
                    yield DatedEvent(piece.at, item)

    def _feed(self, piece: Piece) -> bytes:
        data = self._framing.feed(piece.data)
        rest = self._framing.rest
        self.raw += piece.data[: len(piece.data) - len(rest)]
        self.body += data
        if self._framing.complete:
            self.end = End.CLEAN
            self._wire.untake(Piece(piece.at, rest))
        return data

    def _ended(self) -> End:
        assert self._wire.closed is not None
        if self._wire.closed.how is How.RST:
            return End.RESET
        clean = isinstance(self._framing, OpenBody) and self._wire.closed.how is How.FIN
        return End.CLEAN if clean else End.ABORTED


class RawClient:
    """One connection to a server. Use it as `async with RawClient(host, port) as client`."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None) -> None:
        """*receive_buffer* is the socket's SO_RCVBUF in bytes; a small one makes a slow reader felt soon."""
        self.host = host
        self.port = port
        self.wire = Wire()
        self._tls = tls
        self._receive_buffer = receive_buffer

    async def __aenter__(self) -> Self:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self._receive_buffer is not None:  # counts only before the connection is made
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        loop = asyncio.get_running_loop()
        name = self.host if self._tls else None
        try:
            await loop.sock_connect(sock, (self.host, self.port))
            await loop.create_connection(lambda: self.wire, sock=sock, ssl=self._tls, server_hostname=name)
        except BaseException:
            sock.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.wire.dispose()

    # Sending.

    async def send(self, data: bytes, *, size: int | None = None) -> float:
        """Send *data* as it is, *size* bytes for each write (default: in one), and return when the last one went."""
        at = time.monotonic()
        for start in range(0, len(data), size or max(len(data), 1)):
            at = await self.wire.write(data[start : start + size] if size else data)
            if size:
                await self.wire.settle()
        return at

    async def send_request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, version: str = "1.1"
    ) -> float:
        """Send a request and return when its last byte went. Host and Content-Length are added where they are missing."""
        headers = list(headers)
        given = {name.lower() for name, _ in headers}
        if "host" not in given and version != "1.0":
            headers.insert(0, ("Host", f"{self.host}:{self.port}"))
        if body and not given & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", str(len(body))))
        line = f"{method} {target} HTTP/{version}\r\n".encode("latin-1")
        return await self.send(line + fields(headers) + b"\r\n" + body)

    # Receiving.

    async def response(self, method: str = "GET", within: float = WITHIN) -> Response:
        """Read the next response's head, and the informational ones before it; fails when the connection ends instead.

        *method* is that of the request, because an answer to HEAD has no body.
        """
        informational: list[Head] = []
        while (head := await read_head(self.wire, within)) is not None:
            if not head.start.startswith(b"HTTP/1."):
                raise BadMessage(f"not a status line: {head.start!r}")
            if head.start.split(b" ")[1][:1] != b"1":
                return Response(head, method, self.wire, informational)
            informational.append(head)
        raise AssertionError(f"the connection ended without a response: {self.wire.closed}")

    async def request(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, version: str = "1.1", within: float = WITHIN
    ) -> Response:
        """Send a request and return its response as soon as the head is in."""
        await self.send_request(method, target, headers, body, version=version)
        return await self.response(method, within)

    async def closed(self, within: float = WITHIN) -> Closed:
        """Wait for the connection's end, also while paused, and tell how it came."""
        return await self.wire.until_closed(within)

    async def silent(self, seconds: float) -> bool:
        """Watch the connection for so long: True if nothing came and it did not end."""
        await asyncio.sleep(seconds)
        return not self.wire.inbox and self.wire.closed is None

    # Reading slowly, and leaving.

    def pause(self) -> None:
        """Stop reading."""
        self.wire.pause()

    def resume(self) -> None:
        """Read on."""
        self.wire.resume()

    def half_close(self) -> None:
        """Send a FIN and go on reading."""
        self.wire.fin()

    def reset(self) -> None:
        """Leave with a RST."""
        self.wire.reset()

    async def close(self) -> float:
        """Leave as most programs do, with both directions closed, and return when."""
        at = time.monotonic()
        await self.wire.dispose()
        return at


async def refused(host: str, port: int) -> bool:
    """Tell whether nobody takes connections at that address any more."""
    try:
        async with RawClient(host, port):
            return False
    except (ConnectionRefusedError, ConnectionResetError):  # the second: it came while the listener was closing
        return True
