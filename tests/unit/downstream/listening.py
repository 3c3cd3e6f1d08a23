"""The public listener without sockets: real connections, real requests, and a transport that writes down what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from proxy.downstream import ClientConnection, Downstream, PublicServer, Request, Sent
from proxy.errors import ProxyError
from tests.support.transports import RecordingTransport, turns

GET = b"GET / HTTP/1.1\r\nHost: p\r\n\r\n"


class Client:
    """One client's connection. Its requests wait in `requests` until the test answers them."""

    def __init__(self, server: PublicServer) -> None:
        self.connection: ClientConnection = server()
        self.transport = RecordingTransport(self.connection)
        self.transport.connect()

    async def send(self, data: bytes) -> None:
        """Let these bytes arrive, and everything happen that follows."""
        if not self.transport.ended:
            self.connection.data_received(data)
        await turns(8)


class Listener:
    """A `PublicServer` whose handler waits for the test."""

    def __init__(self, **options: Any) -> None:
        self.requests: list[Request] = []
        self.refused: list[tuple[ProxyError, str]] = []
        self.failure: Exception | None = None  # raised by the handler in place of an answer
        self._answers: list[asyncio.Future[Sent]] = []
        self._clients: list[Client] = []
        self.server = PublicServer(
            self._serve,
            refuse=self._refuse,
            refuse_raw=self._refuse_raw,
            access_log=None,
            **{"keepalive_timeout": 650.0, **options},
        )

    async def connect(self) -> Client:
        """Accept a connection."""
        client = Client(self.server)
        self._clients.append(client)
        await turns()
        return client

    async def downstream(self, head: bytes = GET, *, closing: bool = False) -> tuple[Client, Downstream]:
        """Accept a connection, take a request from it, and return the response to be."""
        client = await self.connect()
        await client.send(head)
        return client, Downstream(self.requests[-1], closing=closing)

    async def answer(self, response: Sent) -> None:
        """Let the handler of the oldest unanswered request return *response*."""
        self._answers.pop(0).set_result(response)
        await turns(8)

    async def close(self) -> None:
        """Drop every connection."""
        for client in self._clients:
            client.transport.abort()
        await turns(8)

    async def _serve(self, request: Request) -> Sent:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return await answer

    def _refuse(self, error: ProxyError, request: Request) -> Sent:
        self.refused.append((error, request.connection.remote))
        return Downstream(request, closing=True).answer(error.status, (), error.code.encode())

    def _refuse_raw(self, error: ProxyError, remote: str) -> bytes:
        self.refused.append((error, remote))
        return b"refused: %b" % error.code.encode()


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Listener]:
    """Open a listener."""
    listener = Listener(**options)
    try:
        yield listener
    finally:
        await listener.close()
