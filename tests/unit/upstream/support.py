"""What the tests of the upstream wire are made of: somebody who waits, somebody who takes a body, and connections to hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from proxy.exchange import Phase
from proxy.settings import ForwardProxy
from proxy.upstream import Addresses, BodyEnd, Dialer, Network, OutboundRequest, Pool, UpstreamStream
from proxy.upstream.connection import UpstreamConnection
from tests.support.upstream import HOST, Upstream
from tests.support.wire import WITHIN, Bell

T = TypeVar("T")
Complaints = list[dict[str, Any]]

GET: Final = b"GET / HTTP/1.1\r\nHost: upstream\r\n\r\n"
HEAD: Final = b"HEAD / HTTP/1.1\r\nHost: upstream\r\n\r\n"
ASK: Final = OutboundRequest(GET, b"")
OK: Final = b"HTTP/1.1 200 OK\r\n"
TWO: Final = OK + b"Content-Length: 2\r\n\r\nhi"


class Taker:
    """A sink that keeps what it gets, one entry for each read."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.end: BodyEnd | None = None
        self.bell = Bell()

    def __repr__(self) -> str:
        return f"<Taker {self.end} {self.body[-80:]!r}>"

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        assert self.end is None, "data behind the end"
        self.pieces.append(data)
        self.bell.ring()

    def upstream_end(self, end: BodyEnd) -> None:
        assert self.end is None, "a second end"
        self.end = end
        self.bell.ring()

    async def until_end(self, within: float = WITHIN) -> BodyEnd:
        """Wait for the end and return how it came."""
        await self.bell.until(lambda: self.end is not None, "the end of the body", within)
        assert self.end is not None
        return self.end

    async def until_body(self, body: bytes) -> None:
        """Wait until the body begins with *body*."""
        await self.bell.until(lambda: self.body.startswith(body), f"{body!r}")


class Patience:
    """A waiter without deadlines of its own; `expire` is one. It counts the dials."""

    def __init__(self) -> None:
        self.dials = 0
        self.dialing = 0
        self.phase: Phase | None = None  # what is being waited for
        self.bell = Bell()
        self._gate: asyncio.Future[None] | None = None

    async def wait(self, work: asyncio.Future[T], phase: Phase) -> T:
        self.phase = phase
        self.bell.ring()
        gate = self._gate = asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: None if gate.done() else gate.set_result(None))
        await gate
        return work.result()

    def expire(self, error: Exception) -> None:
        """End the waiting with *error*."""
        assert self._gate is not None
        self._gate.set_exception(error)

    def began_dialing(self) -> tuple[float, float]:
        self.dials += 1
        self.dialing += 1
        return 0.0, float("inf")

    def waited(self, began: float) -> None:
        self.dialing -= 1

    async def until(self, phase: Phase) -> None:
        """Return when *phase* is waited for."""
        await self.bell.until(lambda: self.phase is phase, phase.value)


@dataclass(frozen=True, slots=True)
class Taken:
    """One answer, taken to its end."""

    status: int
    body: bytes
    end: BodyEnd
    reused: bool


def dialer(
    port: int, *, host: str = HOST, tls: ssl.SSLContext | None = None, way: str | None = None, addresses: Addresses | None = None
) -> Dialer:
    """Return a dialer to *port*, through the forward proxy at the URL *way* if there is one."""
    network = Network(addresses or Addresses(asyncio.get_running_loop()), tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return Dialer(host, port, network, secure=tls is not None, way=None if way is None else ForwardProxy.parse(way))


@asynccontextmanager
async def pool_to(
    to: Upstream | Dialer, *, tls: ssl.SSLContext | None = None, max_connections: int = 8, timeout: float = WITHIN
) -> AsyncIterator[Pool]:
    """Lend a pool. At the end no exchange may hold a connection."""
    pool = Pool(
        dialer(to.port, tls=tls) if isinstance(to, Upstream) else to, max_connections=max_connections, connect_timeout=timeout
    )
    try:
        yield pool
        assert pool.in_use == 0, pool
    finally:
        pool.close()


async def take(stream: UpstreamStream) -> Taken:
    """Take an answer to its end and give the connection back."""
    taker = Taker()
    try:
        stream.attach(taker)
        end = await taker.until_end()
    finally:
        stream.close()
    return Taken(stream.head.status, taker.body, end, stream.reused)


async def exchange(pool: Pool, request: OutboundRequest = ASK, waiter: Patience | None = None) -> Taken:
    """Send *request* and take the whole answer."""
    return await take(await pool.open(request, waiter or Patience()))


@asynccontextmanager
async def connected(to: Upstream, tls: ssl.SSLContext | None = None) -> AsyncIterator[UpstreamConnection]:
    """Lend a fresh connection to *to*."""
    loop = asyncio.get_running_loop()
    made = UpstreamConnection(loop, lambda _: None)
    await loop.create_connection(lambda: made, HOST, to.port, ssl=tls, server_hostname=HOST if tls else None)
    try:
        yield made
    finally:
        made.abort()
        await until_lost(made)


async def until(ready: Callable[[], bool], within: float = WITHIN) -> None:
    """Wait for a change that rings no bell."""
    async with asyncio.timeout(within):
        while not ready():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


async def until_lost(connection: UpstreamConnection) -> None:
    """Wait until the event loop has let go of *connection*."""
    await until(lambda: connection.transport is None)
