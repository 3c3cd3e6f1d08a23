"""Opens connections: names to addresses, happy eyeballs (RFC 8305), the way out through a forward proxy, TLS.

All of it together is bounded by the upstream's `connect_timeout`. Foreign errors become ours here.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohappyeyeballs

from proxy.errors import UpstreamConnectFailed, UpstreamDnsFailed, UpstreamTlsFailed
from proxy.settings import ForwardProxy

ADDRESS_TTL: Final = 30.0
PROXY_HEAD_LIMIT: Final = 16 * 1024
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))

P = TypeVar("P", bound=asyncio.Protocol)


class Addresses:
    """A cache of resolved names that serves the last good answer while the resolver fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int], tuple[float, list[aiohappyeyeballs.AddrInfoType]]] = {}

    async def resolve(self, host: str, port: int) -> list[aiohappyeyeballs.AddrInfoType]:
        """Return the addresses of *host*. Raises UpstreamDnsFailed when none was ever known."""
        known = self._known.get((host, port))
        if known is not None and time.monotonic() - known[0] < ADDRESS_TTL:
            return known[1]
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except OSError as exc:
            if known is not None:
                return known[1]
            raise UpstreamDnsFailed(f"cannot resolve {host}: {exc.strerror or exc}") from exc
        self._known[host, port] = (time.monotonic(), list(found))
        return list(found)


@dataclass(frozen=True, slots=True)
class Network:
    """What all upstreams of a process dial with."""

    addresses: Addresses
    tls: ssl.SSLContext


class Dialer:
    """Dials one upstream. Shared state is only the address cache and the TLS context, both given."""

    def __init__(self, host: str, port: int, network: Network, *, secure: bool, way: ForwardProxy | None) -> None:
        self._host = host
        self._port = port
        self._tls = network.tls if secure else None
        self._way = way
        self._addresses = network.addresses

    async def dial(self, protocol: Callable[[], P], timeout: float) -> P:
        """Connect within *timeout* seconds and return the protocol, its transport made.

        Raises UpstreamDnsFailed, UpstreamConnectFailed or UpstreamTlsFailed. Cancelled, it leaves no socket behind.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._dial(protocol)
        except TimeoutError as exc:
            raise UpstreamConnectFailed(f"no connection to {self._host}:{self._port} within {timeout:g}s") from exc

    async def _dial(self, protocol: Callable[[], P]) -> P:
        sock = await self._connect()
        try:
            if self._way is not None and self._tls is not None:
                await self._tunnel(sock, self._way)
            _, made = await asyncio.get_running_loop().create_connection(
                protocol, sock=sock, ssl=self._tls, server_hostname=self._host if self._tls is not None else None
            )
        except (ssl.SSLError, ssl.CertificateError) as exc:
            sock.close()
            raise UpstreamTlsFailed(f"TLS with {self._host}: {getattr(exc, 'verify_message', '') or exc.reason or exc}") from exc
        except OSError as exc:
            sock.close()
            raise UpstreamTlsFailed(f"TLS with {self._host}: {exc.strerror or exc}") from exc
        except BaseException:
            sock.close()
            raise
        return made

    async def _connect(self) -> socket.socket:
        host, port = (self._way.host, self._way.port) if self._way is not None else (self._host, self._port)
        addresses = await self._addresses.resolve(host, port)
        try:
            sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=0.25, interleave=1)
        except OSError as exc:
            raise UpstreamConnectFailed(f"cannot connect to {host}:{port}: {exc.strerror or exc}") from exc
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that vanished is noticed in about a minute
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return sock

    async def _tunnel(self, sock: socket.socket, way: ForwardProxy) -> None:
        """Ask the forward proxy for a tunnel (RFC 9110 9.3.6) and read its answer, not a byte more."""
        loop = asyncio.get_running_loop()
        target = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        authorization = proxy_authorization(way)
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        head = b""
        try:
            await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            while not head.endswith(b"\r\n\r\n"):
                # byte by byte: what follows the head belongs to the tunnel
                data = await loop.sock_recv(sock, 1)
                head += data
                if not data or len(head) > PROXY_HEAD_LIMIT:
                    raise UpstreamConnectFailed("the forward proxy closed the connection or sent no HTTP")
        except OSError as exc:
            raise UpstreamConnectFailed(f"the forward proxy failed: {exc.strerror or exc}") from exc
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            told = b"".join(status)[:3].decode("ascii", "replace")
            raise UpstreamConnectFailed(f"the forward proxy refused the tunnel with status {told}")


def proxy_authorization(way: ForwardProxy) -> str:
    """Return the value of Proxy-Authorization (Basic, RFC 7617), or nothing without a user name."""
    if not way.username:
        return ""
    return "Basic " + base64.b64encode(f"{way.username}:{way.password or ''}".encode()).decode("ascii")
