"""One upstream's connections: opened when needed, kept only after a complete and clean answer, used by one exchange at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, NamedTuple, Protocol, TypeVar

from proxy.errors import UpstreamBusy, UpstreamClosed, UpstreamReset
from proxy.exchange import Phase
from proxy.upstream.connection import BodyEnd, ResponseHead, Sink, UpstreamConnection
from proxy.upstream.dial import Dialer

T = TypeVar("T")

IDLE_LIMIT: Final = 15.0  # below what providers' front ends allow, so that few reused connections turn out stale


class OutboundRequest(NamedTuple):
    """A request as it goes on the wire. `more` are the pieces of a body that is too large to keep; it is sent once."""

    head: bytes
    body: bytes
    expects_head: bool = False  # a HEAD request: the answer has no body whatever it says
    more: AsyncIterator[bytes] | None = None


class Waiter(Protocol):
    """Whoever waits for an answer: it knows the deadlines, and keeps account of the waiting."""

    async def wait(self, work: asyncio.Future[T], phase: Phase) -> T:
        """Wait for *work*, no longer than the deadlines allow."""

    def began_dialing(self) -> float:
        """Note that a connection is being opened; the dialer has its own deadline."""

    def dialed(self, began: float) -> None:
        """Note that the dialing has ended, one way or the other."""


class UpstreamStream:
    """One answer: head, body, and the connection under it. Whoever opened it must `close` it, also when cancelled."""

    __slots__ = ("_closed", "_connection", "_pool", "head")

    def __init__(self, pool: Pool, connection: UpstreamConnection, head: ResponseHead) -> None:
        self.head = head
        self._pool = pool
        self._connection = connection
        self._closed = False

    @property
    def reused(self) -> bool:
        """Whether the connection had carried an exchange before."""
        return self._connection.exchanges > 1

    @property
    def ended(self) -> bool:
        """Whether the whole answer has been received, though perhaps not yet been taken."""
        return self._connection.ended

    def attach(self, sink: Sink) -> None:
        """Give the body to *sink*, beginning with what has come already."""
        self._connection.attach(sink)

    def pause(self) -> None:
        """Stop reading from the upstream."""
        if not self._closed:
            self._connection.pause()

    def resume(self) -> None:
        """Read from the upstream again."""
        if not self._closed:
            self._connection.resume()

    def close(self) -> None:
        """Give the connection back if the answer is complete and clean, else close it at once. Idempotent."""
        if not self._closed:
            self._closed = True
            self._pool.give_back(self._connection)


class Pool:
    """The connections to one origin. `in_use` counts exchanges, not sockets: an idle connection holds no slot."""

    def __init__(self, dialer: Dialer, *, max_connections: int, connect_timeout: float) -> None:
        self._dialer = dialer
        self._max = max_connections
        self._connect_timeout = connect_timeout
        self._idle: deque[UpstreamConnection] = deque()
        self._loop = asyncio.get_running_loop()
        self._busy: set[UpstreamConnection] = set()
        self._dialing = 0

    def __repr__(self) -> str:
        return f"<Pool in_use={self.in_use} idle={self.idle}>"

    @property
    def in_use(self) -> int:
        """Exchanges that hold a connection or are about to."""
        return len(self._busy) + self._dialing

    @property
    def idle(self) -> int:
        """Connections that wait for the next exchange."""
        return len(self._idle)

    async def open(self, request: OutboundRequest, waiter: Waiter) -> UpstreamStream:
        """Send *request* and return as soon as the head of the final response is in.

        A pooled connection that turns out to be stale is replaced by a fresh one, once. Raises an UpstreamError.
        Cancelled, it closes the connection.
        """
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._exchange(connection, request, waiter)
            except (UpstreamClosed, UpstreamReset):
                if connection.answered or request.more is not None:
                    raise
        return await self._exchange(await self._dial(waiter), request, waiter)

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take a connection back from its exchange."""
        self._busy.discard(connection)
        if connection.reusable and not connection.lost:
            connection.to_idle(time.monotonic())
            connection.resume()
            self._idle.append(connection)
        else:
            connection.abort()

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long. Called by the ticker."""
        while self._idle and now - self._idle[0].idle_since > IDLE_LIMIT:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close every connection, also those in use."""
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()

    async def _exchange(self, connection: UpstreamConnection, request: OutboundRequest, waiter: Waiter) -> UpstreamStream:
        self._busy.add(connection)
        try:
            answer = connection.send(request.head, request.body, expects_head=request.expects_head)
            if request.more is not None:
                await self._upload(connection, request.more, answer, waiter)
            head = await waiter.wait(answer, Phase.HEADERS)
        except BaseException:
            self._busy.discard(connection)
            connection.abort()
            raise
        return UpstreamStream(self, connection, head)

    async def _upload(
        self, connection: UpstreamConnection, more: AsyncIterator[bytes], answer: asyncio.Future[ResponseHead], waiter: Waiter
    ) -> None:
        async for piece in more:
            if answer.done():
                return  # answered early (a refusal, mostly): the rest is not wanted (RFC 9112 9.5)
            room = connection.write_more(piece)
            if room is not None:
                await waiter.wait(room, Phase.HEADERS)

    async def _dial(self, waiter: Waiter) -> UpstreamConnection:
        if self.in_use >= self._max:
            raise UpstreamBusy(f"all {self._max} connections are in use")
        self._dialing += 1
        began = waiter.began_dialing()
        try:
            return await self._dialer.dial(self._new_connection, self._connect_timeout)
        finally:
            self._dialing -= 1
            waiter.dialed(began)

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self._loop, self._lost_idle)

    def _take_idle(self) -> UpstreamConnection | None:
        # the last one used is the one least likely to be stale
        while self._idle and self.in_use < self._max:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        return None

    def _lost_idle(self, connection: UpstreamConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


class BodyReader:
    """A sink that collects a whole body, up to a limit: for error answers, which are short."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.end: asyncio.Future[BodyEnd] = asyncio.get_running_loop().create_future()

    @property
    def body(self) -> bytes:
        """What has come so far."""
        return b"".join(self._pieces)

    def upstream_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._pieces.append(data)
        elif not self.end.done():
            self.end.set_result(BodyEnd.CUT)

    def upstream_end(self, end: BodyEnd) -> None:
        if not self.end.done():
            self.end.set_result(end)



    def give_up(self) -> None:
        """Be content with what has come."""
        if not self.end.done():
            self.end.set_result(BodyEnd.CUT)
