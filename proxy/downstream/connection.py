"""Our side of a client's connection: aiohttp's request handler, told to say what it otherwise keeps to itself.

This is the one file that touches private attributes of aiohttp; each use is marked `aiohttp private:` with its reason, and
`tests/unit/downstream/test_connection.py` fails when an upgrade moves it. Why not less:

- unreadable heads are answered by aiohttp in plain text, with the offending bytes in it and in the error log;
- a head may trickle in for as long as an idle connection may live, because aiohttp has one deadline for both;
- a connection whose reading is paused does not notice that its client left;
- each request would cost a task of its own, two more turns of the event loop, and objects that nobody needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR, _ErrInfo

from proxy.auth import Caller
from proxy.downstream.departure import DepartureWatch
from proxy.downstream.request import Request
from proxy.downstream.response import CLOSED, Sent, reset
from proxy.errors import BadRequest, HeadersTimeout, HeadersTooLarge, InternalError, ProxyError
from proxy.headers import Heads

WRITE_HIGH: Final = 64 * 1024  # bytes in user space for one client before its upstream is paused
LINGERING: Final = 5.0  # seconds for which the rest of a body is read that nobody has wanted
PARTING: Final = 0.25  # seconds between a last word and the end of the connection

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

    __slots__ = (
        "_departure",
        "_drained",
        "_head_since",
        "_parting",
        "_seen",
        "_serving",
        "caller",
        "exchanging",
        "heads",
        "listener",
        "remote",
    )

    def __init__(self, listener: PublicServer, **kwargs: Any) -> None:
        super().__init__(listener, **kwargs)
        self.listener = listener
        self.exchanging: Exchanging | None = None
        self.caller = Caller()
        self.heads = Heads()
        self.remote = ""  # the peer's address
        self._head_since: float | None = None
        self._seen = False  # whether any byte of the awaited head has come
        self._departure = DepartureWatch(self._loop, self.abort)
        self._serving: Request | None = None
        self._drained: asyncio.Future[None] | None = None  # a client has to take what it has been given
        self._parting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.remote = str((self.peername or ("",))[0])
        self._await_head(seen=False)

    async def start(self) -> None:
        """Serve one request after another, in the connection's own task, which aiohttp cancels when the client leaves."""
        try:
            while await self._serve(*await self._next_message()):
                self._await_next()
        finally:
            if self.transport is not None and self._parting is None:
                self.transport.close()

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
        request, queue = self._serving, self._messages
        if request is not None and queue and isinstance(queue[-1][0], _ErrInfo) and not request.content.is_eof():
            request.content.set_exception(BadRequest("The request body is not framed as it says."))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_arrived()
        self._departure.stop()
        if self._parting is not None:
            self._parting.cancel()
        if self.exchanging is not None:
            self.exchanging.client_gone()
        if self._serving is not None:
            self._serving.content.set_exception(ConnectionResetError("the client has left"))
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
        # aiohttp private: whether reading is paused at all; its body reader asks each time, and the parser would be run for it
        if self._reading_paused:
            self._departure.stop()
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchanging is not None:
            self.exchanging.client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.exchanging is not None:
            self.exchanging.client_resumed()

    def abort(self) -> None:
        """Reset the connection, whatever waits in it."""
        if self.transport is not None:
            reset(self.transport)

    def part(self) -> None:
        """Close the connection in a moment, unless the client does so first.

        A browser that sees a body break off throws away what the page has not taken yet: the last words, if they came just before.
        """
        if self.transport is not None and self._parting is None:
            self._parting = self._loop.call_later(PARTING, self.transport.close)

    def expire_head(self, now: float, timeout: float) -> None:
        """Refuse the connection if the head it awaits is overdue; called by the ticker."""
        if self._head_since is None or now - self._head_since < timeout or self.transport is None:
            return
        if self._seen:
            self.transport.write(self.listener.refuse_raw(HeadersTimeout(), self.remote))
        self._head_arrived()
        self.force_close()

    async def _next_message(self) -> tuple[RawRequestMessage | _ErrInfo, StreamReader]:
        if not self._messages:  # aiohttp private: where it queues requests
            # aiohttp private: what it wakes when a request comes, and cancels when none is wanted any more
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()  # aiohttp private: as above
        if self._parser is not None:
            self._parser.message_consumed()  # aiohttp private: it stops at so many that nobody has taken
        return message

    async def _serve(self, message: RawRequestMessage | _ErrInfo, body: StreamReader) -> bool:
        """Serve one request; tells whether another may follow on this connection."""
        request = self._serving = Request(message if isinstance(message, RawRequestMessage) else ERROR, body, self)
        try:
            sent = self._refuse(request, message) if isinstance(message, _ErrInfo) else await self._answer(request)
            # aiohttp private: the client had asked for another protocol, and there is nothing in line before it
            if self._upgraded and not self._messages:
                self._stay()
            if self.writing_paused:
                self._drained = self._loop.create_future()
                await self._drained
            # closing a socket with unread bytes in it would destroy the answer on its way
            read = body.is_eof() or await self._discarded(body)
        finally:
            self._serving = None
        # aiohttp private: what `close` and `force_close` have set
        return read and sent.keep_alive and not self._close and not self._force_close

    async def _answer(self, request: Request) -> Sent:
        try:
            return await self.listener.handler(request)
        except Exception as exc:
            log.exception("request handler failed")
            # a response that has begun cannot be replaced any more
            return CLOSED if request.begun else self.listener.refuse(InternalError(f"unhandled {type(exc).__name__}"), request)

    def _refuse(self, request: Request, unread: _ErrInfo) -> Sent:
        """Answer what aiohttp could not read, in JSON and without a byte of the client's."""
        if isinstance(unread.exc, LineTooLong):
            return self.listener.refuse(HeadersTooLarge(), request)
        return self.listener.refuse(BadRequest("The request is not valid HTTP/1.1, or has too many headers."), request)

    def _stay(self) -> None:
        """Go on with HTTP/1.1, as nobody switches to another protocol, and read what came behind."""
        # aiohttp private: what is to read what follows
        if self._parser is not None:
            self._parser.set_upgraded(False)  # aiohttp private: as above
        self._upgraded = False
        tail, self._message_tail = self._message_tail, b""  # aiohttp private: what follows
        if tail:
            self.data_received(tail)

    async def _discarded(self, body: StreamReader) -> bool:
        """Read for a while what nobody has wanted; tells whether that was all of it."""
        try:
            async with asyncio.timeout(LINGERING):
                while not body.is_eof():
                    await body.readany()
        except Exception:  # noqa: BLE001 - too slow or broken, it comes to the same
            return False
        return True

    def _await_next(self) -> None:
        # aiohttp private: the timer that closes a connection which is idle for too long, and the time it looks at
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        if self._keepalive_handle is None:
            # aiohttp private: as above
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

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
        handler: Callable[[Request], Awaitable[Sent]],
        *,
        refuse: Callable[[ProxyError, Request], Sent],
        refuse_raw: Callable[[ProxyError, str], bytes],
        **kwargs: Any,
    ) -> None:
        super().__init__(_unused, handler_cancellation=True)
        self.handler = handler
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


async def _unused(request: web.BaseRequest) -> web.StreamResponse:
    """Stand where aiohttp wants a handler of its own sort of requests; no connection makes any."""
    raise NotImplementedError
