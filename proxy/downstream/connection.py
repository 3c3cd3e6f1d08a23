"""Our side of a client's connection: aiohttp's request handler, told to say what it otherwise keeps to itself.

This is the one file that touches private attributes of aiohttp; each use is marked `aiohttp private:` with its reason, and
`tests/unit/downstream/test_connection.py` fails when an upgrade moves it. Why not less:

- unreadable heads are answered by aiohttp in plain text, with the offending bytes in it and in the error log;
- a head may trickle in for as long as an idle connection may live, because aiohttp has one deadline for both;
- a connection whose reading is paused does not notice that its client left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import _ErrInfo

from proxy.downstream.departure import DepartureWatch
from proxy.downstream.response import BEGUN, reset
from proxy.errors import BadRequest, HeadersTimeout, HeadersTooLarge, InternalError, ProxyError

WRITE_HIGH: Final = 64 * 1024  # bytes in user space for one client before its upstream is paused

log = logging.getLogger("proxy.downstream")


class Exchanging(Protocol):
    """Whoever is answering on a connection at the moment."""

    def client_paused(self) -> None:
        """The client does not keep up with what is written."""

    def client_resumed(self) -> None:
        """The client has caught up."""

    def client_gone(self) -> None:
        """The client's FIN or RST has arrived."""


class ClientConnection(web.RequestHandler):
    """One client connection; serves one request at a time."""

    __slots__ = ("_departure", "_head_since", "_seen", "exchanging", "listener")

    def __init__(self, listener: PublicServer, **kwargs: Any) -> None:
        super().__init__(listener, **kwargs)
        self.listener = listener
        self.exchanging: Exchanging | None = None
        self._head_since: float | None = None
        self._seen = False  # whether any byte of the awaited head has come
        self._departure = DepartureWatch(self._loop, self.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._await_head(seen=False)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # before the first request `start` may not wait yet, because uvloop reads what came with the connection at once
        # aiohttp private: how many heads were parsed, and the future that `start` waits on between requests
        if self._request_count and (self._waiter is None or self._waiter.done()):
            self._head_arrived()
        elif data and (self._head_since is None or not self._seen):
            self._await_head(seen=True)
        # aiohttp private: so many pipelined requests that reading is paused; a departure would go unnoticed
        if self._buffer_paused:
            self.abort()
        # aiohttp private: what could not be read, queued behind the request whose body it breaks and who would wait in vain
        request, queue = self._current_request, self._messages
        if request is not None and queue and isinstance(queue[-1][0], _ErrInfo) and not request.content.is_eof():
            request.content.set_exception(BadRequest("The request body is not framed as it says."))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_arrived()
        self._departure.stop()
        if self.exchanging is not None:
            self.exchanging.client_gone()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Take a FIN for leaving. In the middle of an answer at once: closing would first wait for the client to read."""
        if self.exchanging is not None:
            self.abort()

    def pause_reading(self) -> None:
        super().pause_reading()
        if self.transport is not None and not self.transport.is_closing():
            self._departure.start(self.transport.get_extra_info("socket").fileno())

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._departure.stop()
        super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchanging is not None:
            self.exchanging.client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.exchanging is not None:
            self.exchanging.client_resumed()

    def abort(self) -> None:
        """Reset the connection, whatever waits in it."""
        if self.transport is not None:
            reset(self.transport)

    def expire_head(self, now: float, timeout: float) -> None:
        """Refuse the connection if the head it awaits is overdue; called by the ticker."""
        if self._head_since is None or now - self._head_since < timeout or self.transport is None:
            return
        if self._seen:
            self.transport.write(self.listener.refuse_raw(HeadersTimeout(), str((self.peername or ("",))[0])))
        self._head_arrived()
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what aiohttp could not read, or our own failure, in JSON and without a byte of the client's."""
        del message
        if BEGUN in request:
            raise ConnectionError("the response has begun and cannot be replaced")
        error: ProxyError
        if status == 400:
            error = (
                HeadersTooLarge()
                if isinstance(exc, LineTooLong)
                else BadRequest("The request is not valid HTTP/1.1, or has too many headers.")
            )
        else:
            error = InternalError(f"unhandled {type(exc).__name__}")
            log.error("request handler failed", exc_info=exc)
        return self.listener.refuse(error, request)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Keep aiohttp from logging what it could not read: such lines have held credentials."""

    def _await_head(self, *, seen: bool) -> None:
        if self._head_since is None or seen:
            self._head_since = time.monotonic()
        self._seen = seen
        self.listener.heads.add(self)

    def _head_arrived(self) -> None:
        if self._head_since is not None:
            self._head_since = None
            self._seen = False
            self.listener.heads.discard(self)


class PublicServer(web.Server):
    """The public listener's protocol factory. `heads` are the connections whose next request head is not complete."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        refuse: Callable[[ProxyError, web.BaseRequest], web.StreamResponse],
        refuse_raw: Callable[[ProxyError, str], bytes],
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._connection_options = kwargs
        self.refuse = refuse  # answers and records a request that never reached the handler
        self.refuse_raw = refuse_raw  # the same where aiohttp has no request to answer: the whole response, as bytes
        self.heads: set[ClientConnection] = set()

    def __call__(self) -> ClientConnection:
        # aiohttp private: the loop it was made in; its own factory builds its own class
        return ClientConnection(self, loop=self._loop, **self._connection_options)

    def expire_heads(self, now: float, timeout: float) -> None:
        """Refuse every connection whose head has been awaited for longer than *timeout* seconds."""
        for connection in tuple(self.heads):
            connection.expire_head(now, timeout)
