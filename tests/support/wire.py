"""One TCP connection as tests want it: every read with its time, every write flushed, FIN and RST told apart on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

WITHIN: Final = 20.0  # seconds a test waits for something before it fails; long, because the machine may be busy
TCP_CLOSE: Final = 7  # netinet/tcp.h: a connected socket ends here when a RST came
TCP_CLOSE_WAIT: Final = 8  # the peer's FIN came, ours was not sent
PEEK: Final = 0.005  # how often a connection that is not read is asked whether its peer is still there


class How(enum.Enum):
    """Who ended a connection, and in which way."""

    FIN = "fin"
    RST = "rst"
    LOCAL = "local"  # this side did


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection; `at` is seconds of `time.monotonic`, which is also the event loop's clock."""

    how: How
    at: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that came in one read or left in one write, and when."""

    at: float
    data: bytes


class Bell:
    """Lets tests wait for a change without polling: who makes one rings, who waits looks again."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everyone who waits."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        """Return at the next ring."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    async def until(self, ready: Callable[[], bool], what: str, within: float | None = WITHIN) -> None:
        """Return as soon as *ready* is true; fail the test when that takes longer than *within* seconds (None: never)."""
        try:
            async with asyncio.timeout(within):
                while not ready():
                    await self.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}") from None


class Wire(asyncio.Protocol):
    """Either end of a connection. What was read waits in `inbox` until somebody takes it."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.inbox: deque[Piece] = deque()
        self.received = 0  # bytes
        self.closed: Closed | None = None
        self.lost = False  # nothing of it is left on this side
        self.paused = False
        self.congested = False  # the kernel takes no more, because the peer does not read
        self._transport: asyncio.Transport | None = None

    def __repr__(self) -> str:
        end = self.closed.how.value if self.closed else "open"
        return f"<{type(self).__name__} {end}, {self.received} bytes in, {len(self.inbox)} reads waiting>"

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        encrypted = transport.get_extra_info("sslcontext") is not None
        # So that `flush` means: in the kernel. A TLS transport with a limit of 0 pauses at 0 too, and never resumes.
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)
        self.bell.ring()

    def data_received(self, data: bytes) -> None:
        self.inbox.append(Piece(time.monotonic(), data))
        self.received += len(data)
        self.bell.ring()

    def eof_received(self) -> bool:
        self._end(How.FIN)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(How.LOCAL if exc is None else How.RST)
        self.lost = True
        self.congested = False
        self.bell.ring()

    def pause_writing(self) -> None:
        self.congested = True
        self.bell.ring()

    def resume_writing(self) -> None:
        self.congested = False
        self.bell.ring()

    # Reading.

    async def take(self, within: float | None = WITHIN) -> Piece | None:
        """Return the next read; None after the last one of a connection that has ended."""
        await self.bell.until(lambda: bool(self.inbox) or self.closed is not None, "bytes or the end of the connection", within)
        return self.inbox.popleft() if self.inbox else None

    def untake(self, piece: Piece) -> None:
        """Give back what belongs to whoever reads next."""
        if piece.data:
            self.inbox.appendleft(piece)

    def pause(self) -> None:
        """Stop reading, so that the kernel's buffers fill up. From here on the end is seen by `until_closed` only."""
        if not self.paused:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.paused:
            self.paused = False
            self.transport.resume_reading()

    async def until_closed(self, within: float = WITHIN) -> Closed:
        """Wait for the end of the connection, also while reading is paused, and tell how it came."""
        deadline = time.monotonic() + within
        if self.paused:
            await self._until_peer_left(deadline)
        await self.bell.until(lambda: self.closed is not None, "the end of the connection", deadline - time.monotonic())
        assert self.closed is not None
        return self.closed

    # Writing and ending.

    async def write(self, data: bytes) -> float:
        """Hand *data* to the kernel in one write and return when; nothing happens on a connection that has ended."""
        if not self.transport.is_closing():
            self.transport.write(data)
        at = time.monotonic()
        await self.flush()
        return at

    async def flush(self) -> None:
        """Wait, without a limit, until the kernel has taken everything or the connection has ended."""
        while self.congested:
            await self.bell.wait()

    async def settle(self) -> None:
        """Let a peer in the same event loop read what was written, so that two writes are two reads."""
        for _ in range(3):
            await asyncio.sleep(0)

    def fin(self, *, notify: bool = True) -> None:
        """End our direction only; the peer's end can still be seen.

        On TLS that is a close_notify and then the whole end, or with `notify=False` a bare FIN.
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
        elif notify:
            self.transport.close()
        else:
            with self._socket() as sock, contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both directions after what is buffered: a FIN, or a RST where bytes were left unread."""
        self.transport.close()

    def reset(self) -> None:
        """Drop what is buffered and send a RST."""
        if self.lost:
            return
        with self._socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def until_lost(self, within: float = WITHIN) -> None:
        """Wait until this side has let go of its socket."""
        await self.bell.until(lambda: self.lost, "the end of this side's socket", within)

    async def dispose(self) -> None:
        """Leave nothing open."""
        if self._transport is not None and not self.lost:
            self._transport.abort()
            await self.until_lost()

    # Inside.

    @property
    def transport(self) -> asyncio.Transport:
        """The event loop's transport; fails before the connection is made."""
        assert self._transport is not None, "not connected"
        return self._transport

    def _end(self, how: How) -> None:
        if self.closed is None:
            self.closed = Closed(how, time.monotonic())
            self.bell.ring()

    async def _until_peer_left(self, deadline: float) -> None:
        """Ask the kernel, because an event loop does not look at a socket that it does not read."""
        while self.closed is None and self.paused and time.monotonic() < deadline:
            with self._socket() as sock:
                state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state in (TCP_CLOSE, TCP_CLOSE_WAIT):
                self._end(How.RST if state == TCP_CLOSE else How.FIN)
                return
            await asyncio.sleep(PEEK)

    @contextlib.contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        """Lend the real socket: neither asyncio's nor uvloop's stand-in can do all that is needed."""
        stand_in = self.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(stand_in.fileno())) as sock:
            yield sock
