"""One request as the handler holds it: its raw head, its body within limits, and what must be given back at its end."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from proxy.auth import Principal
from proxy.dialects.base import RequestView
from proxy.downstream import Downstream, Request
from proxy.errors import BadRequest, BodiesFull, BodyTimeout, BodyTooLarge
from proxy.exchange import Exchange
from proxy.handler.surface import Match
from proxy.headers import Heads, Noted
from proxy.router import Route
from proxy.settings import Limits, Price
from proxy.streaming import Stream

if TYPE_CHECKING:
    from proxy.handler.runtime import Runtime

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Bodies:
    """The memory that request bodies take, in one process."""

    __slots__ = ("_limit", "used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Take *size* bytes. Raises BodiesFull; then nothing is taken."""
        if self.used + size > self._limit:
            raise BodiesFull(f"{self.used} bytes of request bodies are in memory", retry_after=1)
        self.used += size

    def give_back(self, size: int) -> None:
        """Give *size* bytes back."""
        self.used -= size


class Call:
    """One request on its way through the street. Owned by the handler, which closes it in its `finally`."""

    # The defaults stand on the class: one call is made for each request, and many go no further than a few of these.
    head: Noted = MappingProxyType({})  # those of the headers that the proxy itself acts on
    heads: Heads | None = None  # the connection's memory, where the head is the one that it had before
    path = b""
    query = b""
    body = b""
    more: AsyncGenerator[bytes, None] | None = None
    match: Match  # what it asks for
    view = RequestView("")  # what its body says of that
    route: Route | None = None  # None: a named upstream is asked, by a path of its own
    principal: Principal | None = None
    slot = ""  # the subject whose slot it holds
    stream: Stream | None = None
    price: Price | None = None
    _bodies: Bodies | None = None
    _held = 0

    def __init__(self, request: Request, exchange: Exchange, downstream: Downstream, runtime: Runtime) -> None:
        self.request = request
        self.exchange = exchange
        self.downstream = downstream
        self.runtime = runtime
        self.method = request.method.encode("ascii", "replace")
        self.headers = request.raw_headers
        self.dialect = runtime.fallback_dialect
        self.response_headers: list[tuple[bytes, bytes]] = []  # the proxy's own, on every answer

    def __repr__(self) -> str:
        return f"<Call {self.exchange.request_id} {self.exchange.phase.value}>"

    @property
    def declared_length(self) -> int | None:
        """The request's Content-Length."""
        lengths = self.head.get(b"content-length")
        return None if lengths is None else int(lengths[0])

    def header(self, name: bytes) -> str | None:
        """Return the first value of a header that is noted."""
        values = self.head.get(name)
        return None if values is None else values[0].decode("utf-8", "surrogateescape")

    def head_params(self) -> dict[str, str]:
        """Return what some dialects want to know of a request besides its body and the placeholders of its path."""
        return {
            "method": self.request.method,
            "query": self.query[1:].decode("latin-1"),
            "content-type": self.header(b"content-type") or "",
            "request_id": self.exchange.request_id,
        }

    async def read_body(self, limits: Limits, bodies: Bodies) -> None:
        """Read the body whole, under limit and deadline.

        Raises BodyTooLarge, BodyTimeout or BodiesFull before anything was sent upstream. The memory counts until `free`.
        """
        if self.take_body(limits, bodies):
            return
        self._continue()
        began = time.monotonic()
        try:
            async with asyncio.timeout(limits.body_timeout):
                self.body = await self._collect(limits.body)
        except TimeoutError as exc:
            raise BodyTimeout(f"no complete body within {limits.body_timeout:g}s") from exc
        except BadRequest:
            self.downstream.closing = True  # nobody knows where such a body ends
            raise
        finally:
            self.exchange.waited += time.monotonic() - began
        self._took_body()

    def take_body(self, limits: Limits, bodies: Bodies) -> bool:
        """Take the body if all of it is here, as it nearly always is; tells whether it was. Raises as `read_body` does."""
        self._bodies = bodies
        body = self.request.whole
        if body is None:
            declared = self.declared_length or 0
            if declared > limits.body:
                raise BodyTooLarge(f"declared {declared} bytes")
            self._take(declared - self._held)
            if not self.request.content.ended:
                return False
            body = self.request.content.read_nowait()
        if len(body) > limits.body:
            raise BodyTooLarge(f"more than {limits.body} bytes")
        self.body = body
        self._took_body()
        return True

    async def stream_body(self, limits: Limits, bodies: Bodies, keep: int) -> None:
        """Read at most *keep* bytes; a larger body goes on in `more`, is sent once and never kept."""
        declared = self.declared_length
        if declared is not None and declared <= keep:
            await self.read_body(limits, bodies)
            return
        if not self.request.has_body:
            return
        if declared is not None and declared > limits.body:
            raise BodyTooLarge(f"declared {declared} bytes")
        self._continue()
        self.more = self._pieces(limits)

    def free(self) -> None:
        """Forget the body: it will not be sent again."""
        self.body = b""
        if self._bodies is not None:
            self._bodies.give_back(self._held)
            self._held = 0

    def _took_body(self) -> None:
        size = self.exchange.bytes_in = len(self.body)
        if size != self._held:
            self._take(size - self._held)

    def _take(self, size: int) -> None:
        if size > 0 and self._bodies is not None:
            self._bodies.take(size)
            self._held += size

    def _continue(self) -> None:
        # RFC 9110 10.1.1: only now, after authentication and the length check, is the body wanted
        if b"expect" in self.head and self.request.version >= (1, 1) and self.request.connection.transport is not None:
            self.request.connection.transport.write(CONTINUE)

    async def _collect(self, limit: int) -> bytes:
        body = io.BytesIO()  # an object for each piece would be twenty times the size of a body that drips
        size = 0
        while piece := await self.request.content.readany():
            size += body.write(piece)
            if size > limit:
                raise BodyTooLarge(f"more than {limit} bytes")
            self._take(size - self._held)
        return body.getvalue()

    async def _pieces(self, limits: Limits) -> AsyncGenerator[bytes, None]:
        size = 0
        while True:
            try:
                async with asyncio.timeout(limits.body_timeout):
                    piece = await self.request.content.readany()
            except TimeoutError as exc:
                raise BodyTimeout(f"no byte of the body for {limits.body_timeout:g}s") from exc
            if self.stream is not None:
                self.stream.deadlines.upload_moved(time.monotonic())
            if not piece:
                return
            size += len(piece)
            self.exchange.bytes_in = size
            if size > limits.body:
                raise BodyTooLarge(f"more than {limits.body} bytes")
            yield piece
