"""A front that does nothing but TLS: what its clients send goes on in the clear, and whoever ends one side ends the other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, cast

from proxy.tasks import Tasks

HOST: Final = "127.0.0.1"
Begin = Callable[["_Side"], None]


class TlsFront:
    """Listens on 127.0.0.1 with *tls* and passes everything on to *host* and *port*. Use it as a context manager."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._to = host, port
        self._tls = tls
        self._tasks = Tasks()
        self._sides: list[_Side] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"https://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._side(self._begin), HOST, 0, ssl=self._tls)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        await self._tasks.close()
        for side in self._sides:
            side.abort()
        await asyncio.gather(*(side.lost for side in self._sides))

    def _side(self, begin: Begin | None = None) -> _Side:
        side = _Side(begin)
        self._sides.append(side)
        return side

    def _begin(self, client: _Side) -> None:
        self._tasks.spawn(self._connect(client), name="to the proxy")

    async def _connect(self, client: _Side) -> None:
        _, proxy = await asyncio.get_running_loop().create_connection(self._side, *self._to)
        client.join(proxy)
        proxy.join(client)


class _Side(asyncio.Protocol):
    """One of the two connections. What comes before the other one is there is kept."""

    def __init__(self, begin: Begin | None) -> None:
        self._begin = begin
        self._early: list[bytes] = []
        self._other: _Side | None = None
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def join(self, other: _Side) -> None:
        """Pass on to *other* from now on."""
        self._other = other
        for data in self._early:
            other.write(data)

    def write(self, data: bytes) -> None:
        """Send *data*."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Close when all is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
        elif not self.lost.done():
            self.lost.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._begin is not None:
            self._begin(self)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        if self._other is not None:
            self._other.close()
