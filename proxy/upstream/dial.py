"""Opens connections: names to addresses, happy eyeballs (RFC 8305), the way out through a forward proxy, TLS.

All of it together is bounded by the upstream's `connect_timeout`. Foreign errors become ours here.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohappyeyeballs

from proxy.errors import UpstreamConnectFailed, UpstreamDnsFailed, UpstreamError, UpstreamTlsFailed
from proxy.settings import ForwardProxy

ADDRESS_TTL: Final = 30.0
RESOLVER_PATIENCE: Final = 1.0  # seconds that a resolver gets where an older answer is at hand
HEAD_START: Final = 0.25  # seconds that an address has before the next one is tried beside it (RFC 8305 5)
PROXY_HEAD_LIMIT: Final = 8 * 1024
_HOST_AND_PORT: Final = 2  # items of an IPv4 socket address; IPv6 has a flow and a scope as well
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))

P = TypeVar("P", bound=asyncio.Protocol)
Found = Sequence[aiohappyeyeballs.AddrInfoType]


class Addresses:
    """A cache of resolved names that serves the last good answer while the resolver fails or hangs.

    A name is asked for once at a time, however many wait for it: the threads that ask are few.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, ttl: float = ADDRESS_TTL) -> None:
        self._loop = loop
        self._ttl = ttl
        self._known: dict[tuple[str, int], tuple[float, Found]] = {}
        self._asking: dict[tuple[str, int], asyncio.Future[Found]] = {}

    async def resolve(self, host: str, port: int) -> Found:
        """Return the addresses of *host*. Raises UpstreamDnsFailed when none was ever known."""
        known = self._known.get((host, port))
        if known is not None and time.monotonic() - known[0] < self._ttl:
            return known[1]
        asking = self._asking.get((host, port)) or self._ask(host, port)
        await asyncio.wait((asking,), timeout=None if known is None else RESOLVER_PATIENCE)  # leaves *asking* to the others
        error = asking.exception() if asking.done() else None
        if asking.done() and error is None:
            return asking.result()
        if known is not None:
            return known[1]
        raise UpstreamDnsFailed(f"cannot resolve {host}: {_words(error)}") from error

    def _ask(self, host: str, port: int) -> asyncio.Future[Found]:
        asking = self._loop.run_in_executor(None, _look_up, host, port)
        self._asking[host, port] = asking
        asking.add_done_callback(lambda done: self._answered((host, port), done))
        return asking

    def _answered(self, name: tuple[str, int], asking: asyncio.Future[Found]) -> None:
        del self._asking[name]
        if not asking.cancelled() and asking.exception() is None:
            self._known[name] = (time.monotonic(), asking.result())


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
        host, port = (self._way.host, self._way.port) if self._way is not None else (self._host, self._port)
        failing: type[UpstreamError] = UpstreamDnsFailed
        waiting_for = f"cannot resolve {host}: no answer"
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses.resolve(host, port)
                failing, waiting_for = UpstreamConnectFailed, f"cannot connect to {host}:{port}: no answer"
                if self._tls is None and _is_alone(addresses):
                    return await _connect_plain(addresses[0], f"{host}:{port}", protocol)
                sock = await _connect(addresses, f"{host}:{port}")
                if self._way is not None and self._tls is not None:
                    waiting_for = "no tunnel from the forward proxy"
                    await self._tunnel(sock, self._way)
                waiting_for = f"no TLS handshake with {self._host}"
                return await self._attach(sock, protocol)
        except BaseException as exc:
            if sock is not None:
                sock.close()
            if isinstance(exc, TimeoutError):
                raise failing(f"{waiting_for} within {timeout:g}s") from exc
            raise

    async def _attach(self, sock: socket.socket, protocol: Callable[[], P]) -> P:
        """Put *protocol* on the socket, and TLS between them if wanted."""
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        try:
            _, made = await loop.create_connection(protocol, sock=sock, ssl=self._tls, server_hostname=name)
        except ssl.SSLError as exc:
            words = getattr(exc, "verify_message", "") or exc.reason or exc
            raise UpstreamTlsFailed(f"TLS with {self._host}: {words}") from exc
        except OSError as exc:
            raise UpstreamConnectFailed(f"the TLS handshake with {self._host} broke off: {_words(exc)}") from exc
        finally:
            if not isinstance(loop, asyncio.BaseEventLoop):
                # uvloop closes the descriptor itself. After a reset at the first moment it forgets to tell the socket, which
                # would then close it once more: by now perhaps somebody else's
                sock.detach()
        return made

    async def _tunnel(self, sock: socket.socket, way: ForwardProxy) -> None:
        """Ask the forward proxy for a tunnel (RFC 9110 9.3.6). Nothing may follow its answer: in TLS it is we who speak first."""
        loop = asyncio.get_running_loop()
        target = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        authorization = proxy_authorization(way)
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        head = b""
        try:
            await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            while b"\r\n\r\n" not in head:
                data = await loop.sock_recv(sock, 4096)
                head += data
                if not data or len(head) > PROXY_HEAD_LIMIT:
                    raise UpstreamConnectFailed("the forward proxy closed the connection or sent no HTTP")
        except OSError as exc:
            raise UpstreamConnectFailed(f"the forward proxy failed: {_words(exc)}") from exc
        status = _status(head)
        if not 200 <= status < 300:
            raise UpstreamConnectFailed(f"the forward proxy refused the tunnel with status {status}")
        if not head.endswith(b"\r\n\r\n"):
            raise UpstreamConnectFailed("the forward proxy sent bytes that nobody asked for")


def proxy_authorization(way: ForwardProxy) -> str:
    """Return the value of Proxy-Authorization (Basic, RFC 7617), or nothing without a user name."""
    if not way.username:
        return ""
    return "Basic " + base64.b64encode(f"{way.username}:{way.password or ''}".encode()).decode("ascii")


def _look_up(host: str, port: int) -> Found:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


def _is_alone(addresses: Found) -> bool:
    """Tell whether there is one address only, and one that its host and port say all of."""
    return len(addresses) == 1 and len(addresses[0][4]) == _HOST_AND_PORT


async def _connect_plain(address: aiohappyeyeballs.AddrInfoType, where: str, protocol: Callable[[], P]) -> P:
    """Connect where nothing is to be chosen, and nothing stands between the socket and *protocol*: the event loop does that in one."""
    family, kind, number, _, (host, port) = address
    try:
        transport, made = await asyncio.get_running_loop().create_connection(protocol, host, port, family=family)
        # what uvloop gives out makes a socket of its own for each call
        sock = socket.socket(family, kind, number, fileno=transport.get_extra_info("socket").fileno())
    except OSError as exc:  # refused, or reset in the same moment
        raise UpstreamConnectFailed(f"cannot connect to {where}: {_words(exc)}") from exc
    try:
        _keep_alive(sock)
    finally:
        sock.detach()  # it is the event loop's to close
    return made


async def _connect(addresses: Found, where: str) -> socket.socket:
    try:
        sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=HEAD_START, interleave=1)
    except OSError as exc:
        raise UpstreamConnectFailed(f"cannot connect to {where}: {_words(exc)}") from exc
    _keep_alive(sock)
    return sock


def _keep_alive(sock: socket.socket) -> None:
    """Have the kernel notice in about a minute that the peer has vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _status(head: bytes) -> int:
    """Return the status of an HTTP/1 response head, 0 if it is none."""
    version, _, rest = head.partition(b" ")
    return int(rest[:3]) if version.startswith(b"HTTP/1.") and rest[:3].isdigit() else 0


def _words(error: BaseException | None) -> str:
    """Say in words what the system reports; asyncio's own texts leave the reason out."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
