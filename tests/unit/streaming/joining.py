"""One stream between a client and its upstreams, all real but for the transports and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from proxy.dialects import CHAT
from proxy.dialects.base import Dialect, Framing, Keepalive, RequestView
from proxy.dialects.keepalives import Comment
from proxy.exchange import Exchange
from proxy.streaming import NEVER, Clocks, Plan, Stream
from proxy.tasks import Tasks
from proxy.upstream import OutboundRequest, Pool
from proxy.upstream.connection import UpstreamConnection
from tests.support.handclock import HandClock
from tests.support.http1 import chunk
from tests.support.transports import RecordingTransport, turns
from tests.unit.downstream.listening import Listener

T = TypeVar("T")

EVENT_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ID: Final = (b"X-Request-Id", b"r1")
EARLY: Final = ((b"Content-Type", b"text/event-stream"),)
HEADERS: Final = ((b"Content-Type", b"text/event-stream"), (b"X-From", b"upstream"))
KEEPALIVE: Final = b": keepalive\n\n"
FOR_EVER: Final = dict.fromkeys(
    ("commit_after", "patience", "attempt", "first", "whole", "idle", "content", "write_stall", "age"), NEVER
)


def clocks(**seconds: float) -> Clocks:
    """Return clocks of which only those named here ever run out, and which keep the client waiting for 10 s."""
    return Clocks(**{**FOR_EVER, "interval": 10.0, "drain": 0.0, **seconds})


class Wire:
    """The upstream's end of one connection."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self.transport = RecordingTransport(connection)
        self._connection = connection
        self.transport.connect()

    @property
    def closed(self) -> bool:
        """Whether the proxy has given the connection up."""
        return bool(self.transport.ended)

    def raw(self, data: bytes) -> None:
        """Send these bytes."""
        self._connection.data_received(data)

    def head(self, head: bytes = EVENT_STREAM) -> None:
        """Send a response head."""
        self.raw(head)

    def body(self, *pieces: bytes) -> None:
        """Send each piece as one chunk that is one read."""
        for piece in pieces:
            self.raw(chunk(piece))

    def end(self) -> None:
        """Send the last chunk."""
        self.raw(b"0\r\n\r\n")

    def lose(self, error: Exception | None = None) -> None:
        """End the connection, with a FIN or with *error*."""
        self.transport.lose(error)


class Joined:
    """A stream and everything that it joins. `upstreams` are its connections, one for each attempt that was dialed."""

    def __init__(self, clock: HandClock, stream: Stream, client: RecordingTransport) -> None:
        self.clock = clock
        self.client = client
        self.stream = stream
        self.downstream = stream.downstream
        self.exchange = stream.exchange
        self.upstreams: list[Wire] = []
        self.dialing: asyncio.Event | None = None  # set, it keeps every dial waiting
        self.pool = Pool(self, max_connections=9, connect_timeout=1)  # type: ignore[arg-type]  # only `dial` is asked for
        self._tasks = Tasks()

    @property
    def upstream(self) -> Wire:
        """The latest connection."""
        return self.upstreams[-1]

    @property
    def pieces(self) -> list[bytes]:
        """What the client was sent in each write: heads and chunk framing taken off, and the last chunk as it is."""
        return [_unframed(data) for data in self.client.written]

    @property
    def body(self) -> bytes:
        """Everything that the client was sent of the body."""
        return b"".join(piece for piece in self.pieces if piece != b"0\r\n\r\n")

    # What the handler does.

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let *work* go on by itself."""
        return self._tasks.spawn(work, name="handler")

    async def attempt(
        self, *, another: bool = False, framing: Framing = Framing.EVENTS, dialect: Dialect = CHAT
    ) -> asyncio.Task[None]:
        """Begin an attempt; the task ends with its first event. When this returns the request is sent."""

        async def work() -> None:
            self.stream.deadlines.begin_attempt(self.clock.now, another=another)
            upstream = await self.pool.open(OutboundRequest(b"GET / HTTP/1.1\r\n\r\n", b""), self.stream)
            await self.stream.first_event(upstream, dialect.observer(RequestView("m")), framing)

        task = self.spawn(work())
        await turns()
        return task

    async def first(self, *pieces: bytes, **how: Any) -> asyncio.Task[None]:
        """Begin an attempt whose head and first *pieces* arrive at once."""
        task = await self.attempt(**how)
        self.upstream.head()
        await turns()
        self.upstream.body(*pieces)
        await turns()
        return task

    async def live(self, *pieces: bytes, **how: Any) -> asyncio.Task[None]:
        """Begin an attempt, relay it from the first of the *pieces* on, and send the others; the task ends with the answer."""
        await (await self.first(*pieces[:1], **how))
        self.stream.go_live(200, HEADERS)
        task = self.spawn(self.stream.run())
        await turns()
        self.upstream.body(*pieces[1:])
        return task

    # What the event loop does.

    async def tick(self, after: float = 0.0) -> None:
        """Let so much time pass, and then the ticker come by."""
        self.clock.move(after)
        self.stream.tick(self.clock.now, self.clock.time())
        await turns()

    async def dial(self, protocol: Callable[[], UpstreamConnection], timeout: float) -> UpstreamConnection:
        """Connect to an upstream; it is the pool that asks."""
        del timeout
        if self.dialing is not None:
            await self.dialing.wait()
        connection = protocol()
        self.upstreams.append(Wire(connection))
        return connection

    async def close(self) -> None:
        self.stream.close()
        await self._tasks.close()
        self.pool.close()
        await turns()


class Rooms:
    """Makes streams, and leaves nothing behind."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self._listener = Listener()
        self._made: list[Joined] = []

    async def join(
        self,
        governed: Clocks | None = None,
        *,
        keepalive: Keepalive | None = Comment(),  # noqa: B008 - it holds no state
        framing: Framing = Framing.EVENTS,
        age: float = 0.0,
        leniency: float = 0.0,
    ) -> Joined:
        """Take a request from a client and make the stream of its answer, *age* seconds after its admission."""
        governed, now = governed or clocks(), self._clock.now
        client, downstream = await self._listener.downstream()
        exchange = Exchange("r1", now - age, self._clock.time() - age)
        stream = Stream(exchange, downstream, Plan(governed, keepalive, framing, EARLY), [ID], leniency)
        client.connection.exchanging = stream
        joined = Joined(self._clock, stream, client.transport)
        self._made.append(joined)
        return joined

    async def close(self) -> None:
        for joined in self._made:
            await joined.close()
        await self._listener.close()


@asynccontextmanager
async def rooms(clock: HandClock) -> AsyncIterator[Rooms]:
    """Open the rooms."""
    opened = Rooms(clock)
    try:
        yield opened
    finally:
        await opened.close()


def _unframed(data: bytes) -> bytes:
    if data.startswith(b"HTTP/"):
        data = data.partition(b"\r\n\r\n")[2]
    size, line_end, rest = data.partition(b"\r\n")
    if not line_end or size == b"0":
        return data
    assert int(size, 16) == len(rest) - 2
    return rest[:-2]
