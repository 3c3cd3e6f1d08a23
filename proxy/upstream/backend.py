"""One configured upstream at work: what it is, how a request to it reads on the wire, and its connections."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proxy import settings
from proxy.headers import Header, Heads, Inbound, Outbound, header_lines
from proxy.providers.base import Provider
from proxy.retry import Budget
from proxy.upstream.bedrock import BedrockSigner, signer_of
from proxy.upstream.dial import Dialer, Network, proxy_authorization
from proxy.upstream.pool import OutboundRequest, Pool


@dataclass(slots=True)
class Outgoing:
    """A request before it is an upstream's: *target* byte for byte, *headers* as the client sent them.

    With *more*, *body* is only its beginning; *length* is the whole length where the client declared it. *heads* may know
    the headers.
    """

    method: bytes
    target: bytes
    headers: Sequence[Header]
    request_id: str
    body: bytes = b""
    more: AsyncGenerator[bytes, None] | None = None
    length: int | None = None
    heads: Heads | None = None


class Rules(NamedTuple):
    """What all upstreams of one configuration have in common; *token_cookie* may hold a client's credential."""

    retry: settings.Retry = settings.Retry()
    token_cookie: str | None = None


class Backend:
    """One upstream. Owns its pool, its retry budget, and what signs its requests, where something does.

    Without an *origin* it is the signer that finds one; until it is ready nothing can be sent.
    """

    def __init__(
        self,
        name: str,
        config: settings.Upstream,
        origin: settings.Origin | None,
        provider: Provider,
        *,
        rules: Rules,
        network: Network,
    ) -> None:
        self.name = name
        self.provider = provider
        self.budget = Budget(rules.retry)
        self.passthrough = tuple(prefix.encode() for prefix in config.passthrough)
        self.signer = signer_of(name, config)
        self.pool = Pool(None, max_connections=config.max_connections, connect_timeout=config.connect_timeout)
        credential = provider.credential(config.api_key.get_secret_value())
        configured = tuple((key.encode(), value.encode()) for key, value in config.headers.items())
        ours = ((b"Accept-Encoding", b"identity"), *credential, *configured)
        own = {pair[0].lower(): pair for pair in ours}  # the last one wins
        self._own = tuple(own.values())
        self._headers = header_lines(self._own)
        self._defaults = tuple(pair for pair in provider.defaults if pair[0] not in own)
        self.outbound = Outbound(
            own,
            transparent=config.transparent,
            simulator=config.kind == "simulator",
            token_cookie=None if rules.token_cookie is None else rules.token_cookie.encode(),
        )
        self.inbound = Inbound(transparent=config.transparent)
        self.transparent = config.transparent
        self._network = network
        self._way = config.proxy
        self._origin = origin
        self._host = b""
        self._prefix = b""  # of the request target: absolute-form towards a forward proxy without a tunnel (RFC 9112 3.2.2)
        if origin is not None:
            self._settle(origin)

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.pool!r}>"

    def start(self) -> None:
        """Begin what loads in the background."""
        if self.signer is not None:
            self.signer.start(self._found)

    def sweep(self, now: float) -> None:
        """Do what is due by the clock. Called by the ticker."""
        self.pool.sweep(now)
        if self.signer is not None:
            self.signer.sweep()

    async def close(self) -> None:
        """Close every connection and end what runs in the background."""
        self.pool.close()
        if self.signer is not None:
            await self.signer.close()

    def request(self, out: Outgoing) -> OutboundRequest:
        """Return *out* as it goes on the wire: hop-by-hop headers and credentials stripped first, our own added after."""
        framing = b""
        if out.more is not None:
            framing = b"Content-Length: %d\r\n" % out.length if out.length is not None else b"Transfer-Encoding: chunked\r\n"
        elif out.body or out.method in (b"POST", b"PUT", b"PATCH"):
            framing = b"Content-Length: %d\r\n" % len(out.body)
        lines = self._lines(out) if self.signer is None else self._signed(self.signer, out)
        head = b"".join((
            out.method, b" ", self._prefix, out.target, b" HTTP/1.1\r\n",
            lines, b"X-Request-Id: ", out.request_id.encode(), b"\r\n", framing, b"\r\n",
        ))  # fmt: skip
        expects_head = out.method == b"HEAD"
        if out.more is not None and out.length is None:
            return OutboundRequest(head, _chunk(out.body), expects_head, _chunked(out.more))
        return OutboundRequest(head, out.body, expects_head, out.more)

    def _lines(self, out: Outgoing) -> bytes:
        """Return the lines of what passes, between those that are ours; of a head that is known they need not be made anew."""
        heads = out.heads
        if heads is not None and heads.passed_by is self:
            return heads.lines
        kept = self._completed(out.headers) if self._defaults else self.outbound.lines(out.headers)
        lines = self._host + kept + self._headers
        if heads is not None:
            heads.passed_by, heads.lines = self, lines
        return lines

    def _completed(self, headers: Sequence[Header]) -> bytes:
        """Return the lines of what passes, and of those defaults whose names are not among it."""
        kept = self.outbound.forwardable(headers)
        names = {name.lower() for name, _ in kept}
        return header_lines([*kept, *(pair for pair in self._defaults if pair[0] not in names)])

    def _signed(self, signer: BedrockSigner, out: Outgoing) -> bytes:
        """Return the lines of what passes and of what authenticates it, between those that are ours."""
        assert self._origin is not None  # the signer is ready, so it has found one
        kept = self.outbound.forwardable(out.headers)
        url = f"{self._origin.scheme}://{self._origin.authority}{out.target.decode('ascii')}"
        made = signer.headers(out.method, url, (*kept, *self._own), out.body if out.more is None else None)
        return self._host + header_lines([*kept, *made]) + self._headers

    def _found(self, origin: settings.Origin) -> None:
        """Take note of where the upstream is, if its configuration did not say."""
        if self._origin is None:
            self._settle(origin)

    def _settle(self, origin: settings.Origin) -> None:
        self._origin = origin
        secure = origin.scheme == "https"
        self.pool.dialer = Dialer(origin.host, origin.port, self._network, secure=secure, way=self._way)
        authority = origin.authority.encode()
        self._host = b"Host: " + authority + b"\r\n"
        if self._way is not None and not secure:
            self._prefix = b"http://" + authority
            authorization = proxy_authorization(self._way)
            if authorization:
                self._headers += b"Proxy-Authorization: " + authorization.encode() + b"\r\n"


def _chunk(data: bytes) -> bytes:
    # an empty chunk would be the last one
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


async def _chunked(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            yield _chunk(piece)
    yield b"0\r\n\r\n"
