"""The one scripted upstream: a real server that does, request by request, exactly what a test tells it, and remembers what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from proxy.tasks import Tasks
from tests.support.forward_proxy import ForwardProxy
from tests.support.http1 import BadMessage, Body, CutShort, Head, read_head, request_body
from tests.support.player import Connection, Player
from tests.support.steps import (
    DONE,
    Close,
    Drip,
    Fin,
    Gate,
    Hang,
    Informational,
    Pause,
    Reply,
    RequestSeen,
    Rst,
    Script,
    Send,
    answer,
    stream,
    verbatim,
)
from tests.support.wire import WITHIN, Bell, Closed, How, Piece

__all__ = [
    "DONE",
    "Close",
    "Closed",
    "Drip",
    "Fin",
    "ForwardProxy",
    "Gate",
    "Hang",
    "How",
    "Informational",
    "Pause",
    "Reply",
    "RequestSeen",
    "Rst",
    "Send",
    "Upstream",
    "answer",
    "closed_port",
    "silent_port",
    "stream",
    "verbatim",
]

HOST = "127.0.0.1"
NOT_SCRIPTED = Reply(status=599, reason="Not Scripted", framing="length")


class Upstream:
    """A server on 127.0.0.1.

        async with Upstream() as upstream:
            upstream.script(stream(b"data: 1\\n\\n", Gate("go"), DONE), answer({"error": "busy"}, 503), verbatim(Rst()))
            ...
            await upstream.reached("go")
            upstream.open("go")
            closed = await upstream.closed(0)

    A request for which nothing is scripted gets a 599 and fails the test at the end, as does a request that is not HTTP.
    With `reads=False` it accepts connections and reads nothing until `read()`.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0, reads: bool = True) -> None:
        self.port = port
        self.requests: list[RequestSeen] = []  # in the order of their heads
        self.connections: list[Connection] = []
        self.bell = Bell()
        self._tls = tls
        self._reads = asyncio.Event()
        if reads:
            self._reads.set()
        self._queue: deque[Script] = deque()
        self._always: Script | None = None
        self._gates: dict[str, asyncio.Event] = {}
        self._standing: dict[str, int] = {}  # how many have come to each gate
        self._faults: list[Exception] = []
        self._tasks = Tasks()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.accepted, self.bell), HOST, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
        if not self._faults:
            return
        if error is None:
            raise AssertionError("; ".join(map(str, self._faults))) from self._faults[0]
        error.add_note(f"the upstream had its own troubles: {self._faults}")

    async def stop(self) -> None:
        """Refuse new connections and drop the live ones. What was recorded stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._tasks.close()
        for connection in self.connections:
            await connection.dispose()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    # Telling it what to do.

    def script(self, *replies: Script, repeat_last: bool = False) -> None:
        """Queue *replies* for the next requests, one each; a callable gets the whole request and returns its reply."""
        self._queue.extend(replies)
        if repeat_last:
            self._always = replies[-1]

    def always(self, reply: Script) -> None:
        """Answer so whenever nothing is queued."""
        self._always = reply

    def open(self, name: str) -> None:
        """Let everyone through the gate *name*, now and later."""
        self._gate(name).set()

    def read(self) -> None:
        """Begin to read, after `reads=False`."""
        self._reads.set()
        for connection in self.connections:
            connection.resume()

    async def close_idle(self, count: int = 1, within: float = WITHIN) -> None:
        """Wait until *count* connections wait for a next request, and close them, as a server does at its idle limit."""
        await self.bell.until(lambda: len(self._idle()) >= count, f"{count} idle connections", within)
        for connection in self._idle():
            connection.close()
            await connection.until_lost()

    # Asking what happened.

    async def request(self, n: int = 0, within: float = WITHIN) -> RequestSeen:
        """Wait until request *n* (from 0) is there with its whole body, and return it."""
        await self.bell.until(lambda: len(self.requests) > n and self.requests[n].complete, f"request {n}", within)
        return self.requests[n]

    async def connected(self, n: int = 0, within: float = WITHIN) -> Connection:
        """Wait until connection *n* (from 0) has been accepted, and return it."""
        await self.bell.until(lambda: len(self.connections) > n, f"connection {n}", within)
        return self.connections[n]

    async def closed(self, n: int = 0, within: float = WITHIN) -> Closed:
        """Wait until connection *n* (from 0) has ended, and tell by whom, how and when. TLS tells nothing before its handshake."""
        deadline = time.monotonic() + within
        connection = await self.connected(n, within)
        return await connection.until_closed(deadline - time.monotonic())

    async def reached(self, name: str, times: int = 1, within: float = WITHIN) -> None:
        """Wait until replies have come to the gate *name* so many times."""
        await self.bell.until(lambda: self._standing.get(name, 0) >= times, f"gate {name!r}", within)

    @property
    def open_connections(self) -> int:
        """How many connections have not ended."""
        return sum(connection.closed is None for connection in self.connections)

    # Inside.

    def accepted(self, connection: Connection) -> None:
        """Serve a connection that was just made."""
        connection.index = len(self.connections)
        self.connections.append(connection)
        if not self._reads.is_set():
            asyncio.get_running_loop().call_soon(connection.pause)  # not yet: uvloop begins to read after `connection_made`
        connection.serving = self._tasks.spawn(self._serve(connection), name=f"upstream connection {connection.index}")
        self.bell.ring()

    async def _serve(self, connection: Connection) -> None:
        await self._reads.wait()
        try:
            while (head := await read_head(connection, within=None)) is not None:
                request = self._see(head, connection)
                if not await self._respond(request, request_body(head), connection):
                    return
        except CutShort:
            return  # the peer may leave whenever it wants
        except Exception as error:  # of the peer under test or of the test's own callable; told at the end
            self._faults.append(error)
            connection.reset()

    def _see(self, head: Head, connection: Connection) -> RequestSeen:
        try:
            method, target, version = head.start.split(b" ")
        except ValueError:
            raise BadMessage(f"not a request line: {head.start!r}") from None
        fresh = connection.requests == 0
        request = RequestSeen(head, method.decode("latin-1"), target, version, connection.index, fresh, time.monotonic())
        connection.requests += 1
        connection.idle = False
        self.requests.append(request)
        self.bell.ring()
        return request

    async def _respond(self, request: RequestSeen, body: Body, connection: Connection) -> bool:
        """Play one reply; False when the connection has had its last."""
        early = self._next_is_early()
        if early:
            connection.pause()
        elif not await self._read_body(request, body, connection):
            return False
        reply = self._next_reply(request)
        if not await Player(connection, reply, request.method, self._pass_gate).play():
            return False
        if early:
            connection.resume()
            if not await self._read_body(request, body, connection):
                return False
        last = reply.framing == "close" or request.last
        if last:
            connection.fin()
        connection.idle = not last
        self.bell.ring()
        return not last

    async def _read_body(self, request: RequestSeen, body: Body, connection: Connection) -> bool:
        """Read to the end of the body; False when the peer leaves before."""
        while not body.complete:
            piece = await connection.take(within=None)
            if piece is None:
                return False
            request.body += body.feed(piece.data)
            connection.untake(Piece(piece.at, body.rest))
        request.complete = True
        self.bell.ring()
        return True

    def _next_is_early(self) -> bool:
        script = self._queue[0] if self._queue else self._always
        return isinstance(script, Reply) and script.early

    def _next_reply(self, request: RequestSeen) -> Reply:
        script = self._queue.popleft() if self._queue else self._always
        if script is None:
            number = self.requests.index(request)
            self._faults.append(AssertionError(f"nothing is scripted for request {number}, {request.head.start!r}"))
            return NOT_SCRIPTED
        return script if isinstance(script, Reply) else script(request)

    def _idle(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.idle and connection.closed is None]

    async def _pass_gate(self, name: str) -> None:
        self._standing[name] = self._standing.get(name, 0) + 1
        self.bell.ring()
        await self._gate(name).wait()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Lend a port of 127.0.0.1 that refuses every connection and that nobody else can get meanwhile."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Lend a port of 127.0.0.1 on which a dial is never answered: its backlog is full, so Linux drops every SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
