"""Requests as the handler holds them: read by the real listener from a recording transport, under a real configuration."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from proxy.auth import Principal, TicketStore
from proxy.dialects.base import Framing, RequestView
from proxy.downstream import Downstream, Request
from proxy.exchange import Exchange
from proxy.handler import Runtime, build
from proxy.handler.call import Call
from proxy.headers import noted
from proxy.settings import Settings
from proxy.streaming import Plan, Stream
from proxy.upstream import Addresses, Network
from tests.support.house import settings
from tests.unit.downstream.listening import GET, Client, Listener, listening
from tests.unit.streaming.joining import EARLY, clocks

ID: Final = b"X-Request-Id", b"r1"


def principal(*models: str, expires_at: float | None = None) -> Principal:
    """Return a caller who may use these models, or all."""
    return Principal(subject="ann", method="api_key", models=models or None, max_streams=9, expires_at=expires_at)


def runtime(configured: Settings | None = None, simulators: dict[str, str] | None = None) -> Runtime:
    """Build a runtime that nobody has started."""
    network = Network(
        Addresses(asyncio.get_running_loop()), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )  # none that has to read certificates
    return build(configured or settings(), simulators or {}, network, TicketStore())


class Asked:
    """One call, and the client's end of its connection."""

    def __init__(self, client: Client, call: Call) -> None:
        self.client = client
        self.call = call

    @property
    def sent(self) -> bytes:
        """Everything that the client was sent."""
        return self.client.transport.sent

    @property
    def head(self) -> list[bytes]:
        """The lines of the response's head."""
        return self.sent.partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def body(self) -> bytes:
        """What follows the response's head, with its framing."""
        return self.sent.partition(b"\r\n\r\n")[2]

    def stream(self, *pieces: bytes, framing: Framing = Framing.EVENTS, release: bool = True, **seconds: float) -> None:
        """Let the call have a stream, through which an upstream's *pieces* have gone, or in which they are held.

        Of its clocks only those named in *seconds* run.
        """
        call, now = self.call, time.monotonic()
        call.stream = Stream(call.exchange, call.downstream, Plan(clocks(**seconds), None, framing, EARLY), [], 0.0)
        if not pieces:
            return
        relay = call.stream.relay
        relay.begin(call.dialect.observer(RequestView("m")), framing)
        relay.hold(b"".join(pieces), committed=False)
        if release:
            relay.release(now)


@asynccontextmanager
async def asked(request: bytes = GET, under: Runtime | None = None) -> AsyncIterator[Asked]:
    """Let a client send *request*, and hold the call that is made of it. Its path and query are set as the handler does."""
    async with calls(under) as ask:
        yield await ask(request)


@asynccontextmanager
async def calls(under: Runtime | None = None) -> AsyncIterator[Callable[[bytes], Any]]:
    """Lend a function that makes calls of requests, each on a connection of its own."""
    async with listening(auto_decompress=False) as listener:

        async def ask(request: bytes) -> Asked:
            return await _ask(listener, request, under)

        yield ask


async def _ask(listener: Listener, request: bytes, under: Runtime | None) -> Asked:
    client = await listener.connect()
    await client.send(request)
    call = call_of(listener.requests[-1], under or runtime())
    return Asked(client, call)


def call_of(request: Request, under: Runtime) -> Call:
    """Make a call of *request*, with the proxy's own headers and an id."""
    call = Call(request, Exchange("r1", time.monotonic(), time.time()), Downstream(request), under)
    path, mark, query = request.target.partition(b"?")
    call.path, call.query = path, mark + query
    call.head = noted(request.raw_headers)
    call.response_headers.append(ID)
    return call
