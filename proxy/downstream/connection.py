"""Our side of a client's connection: aiohttp's server keeps it and closes it, and everything that goes through it is ours.

This is the one file that touches private attributes of aiohttp; each use is marked `aiohttp private:` with its reason, and
`tests/unit/downstream/test_connection.py` fails when an upgrade moves it. aiohttp's own way of serving a connection is not taken:

- it answers unreadable heads in plain text, with the offending bytes in it and in the error log;
- a head may trickle in for as long as an idle connection may live, because there is one deadline for both;
- a connection whose reading is paused does not notice that its client left;
- each request costs a task of its own, two more turns of the event loop, and objects that nobody needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from proxy.auth import Caller
from proxy.downstream.body import Body
from proxy.downstream.departure import DepartureWatch
from proxy.downstream.reader import PIPELINE_LIMIT, RequestReader
from proxy.downstream.request import Request, Unreadable
from proxy.downstream.response import CLOSED, Sent, reset
from proxy.errors import HeadersTimeout, InternalError, ProxyError
from proxy.headers import Heads

WRITE_HIGH: Final = 64 * 1024  # bytes in user space for one client before its upstream is paused
LINGERING: Final = 5.0  # seconds for which is read what nobody has wanted: the rest of a body, or of what is no request
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
        "_idle_for",
        "_parting",
        "_queue",
        "_reader",
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
        self._reader = RequestReader(self)
        self._queue: deque[Request] = deque()  # those that have been read and wait for their turn
        self._serving: Request | None = None
        self._drained: asyncio.Future[None] | None = None  # a client has to take what it has been given
        self._parting: asyncio.TimerHandle | None = None
        self._idle_for = self.keepalive_timeout  # seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.remote = str((self.peername or ("",))[0])
        self._await_head(seen=False)

    async def start(self) -> None:
        """Serve one request after another, in the connection's own task, which aiohttp cancels when the client leaves."""
        try:
            while await self._serve(await self._next_request()):
                self._await_next()
            self._hear_out()
        finally:
            if self.transport is not None and self._parting is None:
                self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        requests = self._reader.feed(data)
        if requests:
            self._queue += requests
            # aiohttp private: what `start` waits on between requests
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            if len(self._queue) >= PIPELINE_LIMIT:  # to pause reading would be to miss the client's departure
                self.abort()
        if self._queue or self._serving is not None:
            if self._head_since is not None:
                self._head_arrived()
        elif not self._seen:
            self._await_head(seen=True)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_arrived()
        self._departure.stop()
        if self._parting is not None:
            self._parting.cancel()
        if self.exchanging is not None:
            self.exchanging.client_gone()
        if self._serving is not None:
            self._serving.content.fail(ConnectionResetError("the client has left"))
        self._reader.close()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Take a FIN for leaving. In the middle of an answer at once: closing would first wait for the client to read."""
        if self.exchanging is not None:
            self.abort()

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

    def hold_back(self) -> None:
        """Read no further: so much of a body has come that nobody takes. The event loop would not notice that the client leaves."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._departure.start(self.transport.get_extra_info("socket").fileno())

    def go_on(self) -> None:
        """Read again."""
        self._departure.stop()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

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

    def _hear_out(self) -> None:
        """End our side first, where the client may still be sending what cannot be read (RFC 9112 9.6).

        Closing a socket on bytes that come, or wait in it, would destroy the answer on its way.
        """
        transport = self.transport
        if self._reader.dead and self._parting is None and transport is not None and not transport.is_closing():
            self._seen = True  # what comes now is no head
            with contextlib.suppress(OSError):  # it was reset a moment ago, which we are about to hear
                transport.write_eof()
            self._parting = self._loop.call_later(LINGERING, transport.close)

    async def _next_request(self) -> Request:
        if not self._queue:
            # aiohttp private: what it cancels when no request is wanted any more, and by which it knows an idle connection
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()

    async def _serve(self, request: Request) -> bool:
        """Serve one request; tells whether another may follow on this connection."""
        self._serving = request
        try:
            if isinstance(request, Unreadable):
                sent = self.listener.refuse(request.error, request)
            else:
                try:
                    sent = await self.listener.handler(request)
                except Exception as exc:
                    log.exception("request handler failed")
                    sent = self._failed(request, InternalError(f"unhandled {type(exc).__name__}"))
            if self.writing_paused:
                self._drained = self._loop.create_future()
                await self._drained
            # closing a socket with unread bytes in it would destroy the answer on its way
            read = request.whole is not None or request.content.ended or await self._discarded(request.content)
        finally:
            self._serving = None
        # aiohttp private: what `close` and `force_close` have set
        return read and sent.keep_alive and not self._close and not self._force_close

    def _failed(self, request: Request, error: InternalError) -> Sent:
        if not request.begun:
            return self.listener.refuse(error, request)
        if self.transport is not None:  # it cannot be replaced any more, and must not look finished
            self.transport.close()
        return CLOSED

    async def _discarded(self, body: Body) -> bool:
        """Read for a while what nobody has wanted; tells whether that was all of it."""
        try:
            async with asyncio.timeout(LINGERING):
                while not body.ended:
                    await body.readany()
        except Exception:  # noqa: BLE001 - too slow or broken, it comes to the same
            return False
        return True

    def _await_next(self) -> None:
        # aiohttp private: the timer that closes a connection which is idle for too long, and the time it looks at
        self._next_keepalive_close_time = self._loop.time() + self._idle_for
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
        self.refuse_raw = refuse_raw  # the same where there is no request to answer: the whole response, as bytes
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
