"""An HTTP proxy for the way out, as a company has one: CONNECT tunnels and absolute-form requests, with or without a password."""

from __future__ import annotations

import asyncio
import base64
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from proxy.tasks import Tasks
from tests.support.http1 import Body, Head, fields, read_head, request_body
from tests.support.wire import WITHIN, Bell, How, Piece, Wire

HOST: Final = "127.0.0.1"
FOREVER: Final = None  # seconds to wait for a read


class _Side(Wire):
    """A peer's connection, served as soon as it is made."""

    def __init__(self, proxy: ForwardProxy) -> None:
        super().__init__()
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.accepted(self)


class ForwardProxy:
    """A forward proxy on 127.0.0.1 that counts what goes through it. Use it as `async with ForwardProxy() as way_out`.

    With *credentials* ("user:password") everything else gets a 407; with *refuse* every request gets that status.
    """

    def __init__(self, *, credentials: str | None = None, refuse: int | None = None) -> None:
        self.port = 0
        self.heads: list[Head] = []  # of every request that came to the proxy itself
        self.tunnels = 0  # CONNECTs granted
        self.forwarded = 0  # absolute-form requests passed on
        self.open_tunnels = 0
        self.bell = Bell()
        self._expected = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
        self._refuse = refuse
        self._tasks = Tasks()
        self._wires: list[Wire] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Side(self), HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        await self._tasks.close()
        for wire in self._wires:
            await wire.dispose()

    def url(self, credentials: str | None = None) -> str:
        """Return the address for a `proxy:` setting, with *credentials* in it if given."""
        return f"http://{credentials + '@' if credentials else ''}{HOST}:{self.port}"

    async def all_closed(self, within: float = WITHIN) -> None:
        """Wait until no tunnel is open."""
        await self.bell.until(lambda: self.open_tunnels == 0, "the end of all tunnels", within)

    def accepted(self, client: Wire) -> None:
        """Serve a connection that was just made."""
        self._wires.append(client)
        self._tasks.spawn(self._serve(client), name="forward proxy connection")

    async def _serve(self, client: Wire) -> None:
        head = await read_head(client, FOREVER)
        if head is None:
            return
        self.heads.append(head)
        refusal = self._refusal(head)
        if refusal is not None:
            await client.write(refusal)
            client.fin()
        elif head.start.startswith(b"CONNECT "):
            await self._tunnel(client, head)
        else:
            await self._forward(client, head)

    def _refusal(self, head: Head) -> bytes | None:
        if self._expected is not None and head.header("proxy-authorization") != self._expected:
            challenge = b'Proxy-Authenticate: Basic realm="way out"\r\nContent-Length: 0\r\n\r\n'
            return b"HTTP/1.1 407 Proxy Authentication Required\r\n" + challenge
        if self._refuse is not None:
            return b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % self._refuse
        return None

    async def _tunnel(self, client: Wire, head: Head) -> None:
        host, _, port = head.start.split(b" ")[1].decode("latin-1").rpartition(":")
        target = await self._dial(host, int(port), client)
        if target is None:
            return
        await client.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        self.tunnels += 1
        self.open_tunnels += 1
        try:
            back = self._tasks.spawn(_copy(target, client), name="forward proxy tunnel")
            await _copy(client, target)
            await back
        finally:
            self.open_tunnels -= 1
            self.bell.ring()

    async def _forward(self, client: Wire, head: Head) -> None:
        """Pass on every request of this connection, all of which go to the host of the first."""
        where = urlsplit(head.start.split(b" ")[1].decode("latin-1"))
        target = await self._dial(where.hostname or "", where.port or 80, client)
        if target is None:
            return
        self._tasks.spawn(_copy(target, client), name="forward proxy response")
        following: Head | None = head
        while following is not None:
            self.forwarded += 1
            await target.write(_origin_form(following))
            await _copy_body(client, target, request_body(following))
            following = await read_head(client, FOREVER)
            if following is not None:
                self.heads.append(following)
        target.close()

    async def _dial(self, host: str, port: int, client: Wire) -> Wire | None:
        """Connect to a target; None, after a 502 to the client, when that fails."""
        loop = asyncio.get_running_loop()
        try:
            _, target = await loop.create_connection(Wire, host, port)
        except OSError:
            await client.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            client.fin()
            return None
        self._wires.append(target)
        return target


def _origin_form(head: Head) -> bytes:
    """Write the head anew for the target: its path only, without what was meant for the proxy."""
    method, url, version = head.start.split(b" ")
    where = urlsplit(url.decode("latin-1"))
    path = url.decode("latin-1").split(where.netloc, 1)[1] or "/"
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers if n.lower() != b"proxy-authorization"]
    return method + b" " + path.encode("latin-1") + b" " + version + b"\r\n" + fields(headers) + b"\r\n"


async def _copy(source: Wire, sink: Wire) -> None:
    """Pass on every byte, and then the end, in the same way."""
    while (piece := await source.take(FOREVER)) is not None:
        await sink.write(piece.data)
    if source.closed is not None and source.closed.how is How.RST:
        sink.reset()
    else:
        sink.close()


async def _copy_body(source: Wire, sink: Wire, body: Body) -> None:
    while not body.complete and (piece := await source.take(FOREVER)) is not None:
        body.feed(piece.data)
        rest = body.rest
        await sink.write(piece.data[: len(piece.data) - len(rest)])
        source.untake(Piece(piece.at, rest))
