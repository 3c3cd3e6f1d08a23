"""One upstream's connections: opened when needed, kept only after a complete and clean answer, used by one exchange at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, TypeVar

from proxy.errors import UpstreamBusy, UpstreamClosed, UpstreamReset, UpstreamWayRefused
from proxy.exchange import Phase
from proxy.tasks import Tasks
from proxy.upstream.chunks import TakeChunk
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.dial import Dialer
from proxy.upstream.response import BodyEnd, ResponseHead, Sink

T = TypeVar("T")
Upload = asyncio.Task[None]

_HEADERS: Final = Phase.HEADERS  # to name a member of an enumeration is a slow look-up
IDLE_LIMIT: Final = 15.0  # below what providers' front ends allow, so that few reused connections turn out stale


@dataclass(slots=True, eq=False)
class OutboundRequest:
    """A request as it goes on the wire. `more` are the pieces of a body that is too large to keep; it is sent once."""

    head: bytes
    body: bytes
    expects_head: bool = False  # a HEAD request: the answer has no body whatever it says
    more: AsyncGenerator[bytes, None] | None = None


class Waiter(Protocol):
    """Whoever waits for an answer: it knows the deadlines, and keeps account of the waiting."""

    async def wait(self, work: asyncio.Future[T], phase: Phase) -> T:
        """Wait for *work*, no longer than the deadlines allow."""

    def began_dialing(self) -> tuple[float, float]:
        """Note that a connection is being opened; returns when that has begun, and until when it is waited for at most."""

    def waited(self, began: float) -> None:
        """Note that it has ended, one way or the other."""


class UpstreamStream:
    """One answer: head, body, and the connection under it. Whoever opened it must `close` it, also when cancelled."""

    __slots__ = ("_closed", "_connection", "_pool", "_upload", "head", "reused")

    def __init__(self, pool: Pool, connection: UpstreamConnection, head: ResponseHead, upload: Upload | None = None) -> None:
        """*upload* is what still sends the request's body: it ends with the answer."""
        self.head = head
        self.reused = connection.exchanges > 1  # the connection had carried an exchange before
        self._pool = pool
        self._connection = connection
        self._upload = upload
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether the whole answer has been received, though perhaps not yet been taken."""
        return self._closed or self._connection.ended

    def take_whole(self) -> bytes | None:
        """Take the body if all of it came with the head; None if it did not, and then nothing is taken."""
        return self._connection.take_whole()

    def attach(self, sink: Sink) -> None:
        """Give the body to *sink*, beginning with what has come already."""
        self._connection.attach(sink)

    def pass_chunks(self, take: TakeChunk) -> None:
        """Give whole small chunks to *take* from here on, as they are framed; to the sink only what is none."""
        if not self._closed:
            self._connection.pass_chunks(take)

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
            if self._upload is not None:
                self._upload.cancel()
            self._pool.give_back(self._connection)


class Pool:
    """The connections to one origin. `in_use` counts exchanges, not sockets: an idle connection holds no slot."""

    def __init__(self, dialer: Dialer | None, *, max_connections: int, connect_timeout: float) -> None:
        self.dialer = dialer  # None: where to is not known yet, and nothing may be opened
        self._max = max_connections
        self._connect_timeout = connect_timeout
        self._idle: deque[UpstreamConnection] = deque()
        self._loop = asyncio.get_running_loop()
        self._busy: set[UpstreamConnection] = set()
        self._dialing = 0
        self._uploads = Tasks()

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

        A pooled connection that turns out to be stale is replaced by a fresh one, once. Raises an UpstreamError, or what
        `request.more` raises. Cancelled, it closes the connection.
        """
        more = request.more
        idle = self._take_idle() if more is None else None  # a body that is sent once is not put at risk
        while True:
            connection = idle or await self._dial(waiter)
            upload: Upload | None = None
            self._busy.add(connection)
            try:
                answer = connection.send(request.head, request.body, expects_head=request.expects_head, whole=more is None)
                if more is not None:
                    upload = self._uploads.spawn(_upload(connection, more), name="upload")
                return self._answered(connection, await waiter.wait(answer, _HEADERS), upload)
            except BaseException as exc:
                self._give_up(connection, upload)
                if idle is None or connection.answered or not isinstance(exc, (UpstreamClosed, UpstreamReset)):
                    raise
            idle = None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take a connection back from its exchange."""
        self._busy.discard(connection)
        if connection.reusable and len(self._idle) < self._max:
            connection.to_idle(time.monotonic())
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

    def _give_up(self, connection: UpstreamConnection, upload: Upload | None) -> None:
        if upload is not None:
            upload.cancel()
        self._busy.discard(connection)
        connection.abort()

    def _answered(self, connection: UpstreamConnection, head: ResponseHead, upload: Upload | None) -> UpstreamStream:
        if head.status == 407:
            _refuse_way_out()
        if upload is not None and head.status >= 300:
            upload.cancel()  # a refusal: the rest is not wanted (RFC 9112 9.5)
        return UpstreamStream(self, connection, head, upload)

    async def _dial(self, waiter: Waiter) -> UpstreamConnection:
        if self.in_use >= self._max:
            raise UpstreamBusy(f"all {self._max} connections are in use")
        assert self.dialer is not None
        self._dialing += 1
        began, until = waiter.began_dialing()
        try:
            return await self.dialer.dial(self._new_connection, min(self._connect_timeout, until - began))
        finally:
            self._dialing -= 1
            waiter.waited(began)

    def _new_connection(self) -> UpstreamConnection:
        return UpstreamConnection(self._loop, self._lost_idle)

    def _take_idle(self) -> UpstreamConnection | None:
        # the last one used is the one least likely to be stale
        while self._idle and len(self._busy) + self._dialing < self._max:
            connection = self._idle.pop()
            if not connection.unread:  # half a microsecond, and no unasked response is ever taken for another tenant's answer
                return connection
            connection.abort()
        return None

    def _lost_idle(self, connection: UpstreamConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


def _refuse_way_out() -> NoReturn:
    """Raise UpstreamWayRefused: a 407 is never a backend's word (RFC 9110 15.5.8)."""
    raise UpstreamWayRefused("the forward proxy refused the request with status 407")


async def _upload(connection: UpstreamConnection, more: AsyncGenerator[bytes, None]) -> None:
    """Send the rest of a request's body, until the exchange is over. What goes wrong with it ends the exchange."""
    try:
        async with contextlib.aclosing(more):
            async for piece in more:
                await _let_answer_in(connection)
                if not connection.open:
                    return
                room = connection.write_more(piece)
                if room is not None:
                    await room
    except Exception as exc:  # noqa: BLE001 - raised again where the answer is awaited
        connection.fail(exc)
    else:
        connection.end_request()


async def _let_answer_in(connection: UpstreamConnection) -> None:
    """Have the event loop read first what has arrived: writing against the RST behind an early answer would destroy it."""
    if connection.unread:
        await asyncio.sleep(0)  # to the next round of the loop, which polls the socket
        await asyncio.sleep(0)  # and past the read


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

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._pieces.append(data)
        else:
            self.give_up()

    def upstream_end(self, end: BodyEnd) -> None:
        if not self.end.done():
            self.end.set_result(end)

    def give_up(self) -> None:
        """Be content with what has come."""
        if not self.end.done():
            self.end.set_result(BodyEnd.CUT)
