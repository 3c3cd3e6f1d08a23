"""One connection to a backend: HTTP/1.1 over httptools, from bytes received to the sink in one call chain.

httptools is told neither HEAD nor the end of the connection (RFC 9112 6.3). So the answer to a HEAD ends at its head, and
a body without length ends when the connection does; both leave the connection unfit for another exchange.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast

import httptools

from proxy.errors import ProxyError, UpstreamClosed, UpstreamMalformed, UpstreamReset

HEAD_LIMIT: Final = 64 * 1024  # bytes of a response head, interim responses included
EARLY_LIMIT: Final = 64 * 1024  # body bytes kept before somebody wants them; beyond it reading pauses


class BodyEnd(enum.Enum):
    """How a response body ended."""

    COMPLETE = "complete"  # as its framing announced
    CLOSED = "closed"  # it had no length, and the peer closed in good order (FIN): as complete as it can be told
    CUT = "cut"  # FIN before the announced end
    RESET = "reset"  # RST, or another failure of the connection
    MALFORMED = "malformed"  # the framing itself is broken
    FAULT = "fault"  # our own code failed on a byte of it


class Sink(Protocol):
    """Whoever takes a response body. Both are called from the event loop's read callback and must not block."""

    def upstream_data(self, data: bytes) -> None:
        """Take the body bytes of one read of the socket."""

    def upstream_end(self, end: BodyEnd) -> None:
        """Take note that no byte will follow; called once."""


class ResponseHead(NamedTuple):
    """Status and headers of a final response, as received."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class _Parts:
    """What httptools calls back into. Body bytes go straight into a list, without a Python frame of their own."""

    __slots__ = ("on_body", "on_header", "on_headers_complete", "on_message_begin", "on_message_complete")

    def __init__(self, connection: UpstreamConnection, body: Callable[[bytes], None]) -> None:
        self.on_body = body
        self.on_message_begin = connection.on_message_begin
        self.on_header = connection.on_header
        self.on_headers_complete = connection.on_headers_complete
        self.on_message_complete = connection.on_message_complete


class UpstreamConnection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    Owned by the pool between exchanges, by an `UpstreamStream` during one. It knows what aiohttp's client hides: whether
    it was used before, whether a byte of an answer was seen, and whether it ended by FIN or by RST.
    """

    __slots__ = (
        "_bodiless", "_body", "_close_delimited", "_early", "_end", "_expects_head", "_failure", "_head", "_head_bytes", "_headers",
        "_loop", "_on_idle_lost", "_parser", "_reading", "_sink", "_trailers", "_write_waiter", "answered", "exchanges", "idle_since",
        "lost", "reusable", "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, on_idle_lost: Callable[[UpstreamConnection], None]) -> None:
        self._loop = loop
        self._on_idle_lost = on_idle_lost
        self.transport: asyncio.Transport | None = None
        self.exchanges = 0
        self.idle_since = 0.0
        self.lost = False
        self.reusable = False
        self.answered = False
        self._reading = True
        self._body: list[bytes] = []
        self._head: asyncio.Future[ResponseHead] | None = None
        self._sink: Sink | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._failure: ProxyError | None = None
        self._reset_exchange(expects_head=False)

    def _reset_exchange(self, *, expects_head: bool) -> None:
        self._parser = httptools.HttpResponseParser(_Parts(self, self._body.append))
        self._body.clear()
        self._early: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._expects_head = expects_head
        self._bodiless = False
        self._close_delimited = False
        self._trailers = False
        self._end: BodyEnd | None = None
        self.answered = False
        self.reusable = False

    # the exchange

    def send(self, head: bytes, body: bytes, *, expects_head: bool) -> asyncio.Future[ResponseHead]:
        """Write a whole request and return a future of the response head.

        The future raises UpstreamClosed, UpstreamReset or UpstreamMalformed. Whoever gives it up must `abort` the connection.
        """
        self._reset_exchange(expects_head=expects_head)
        self.exchanges += 1
        self._head = self._loop.create_future()
        if self.lost or self.transport is None or self.transport.is_closing():
            self._head.set_exception(self._failure or UpstreamClosed("the pooled connection was closed"))
            return self._head
        if len(body) <= 65536:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        return self._head

    def write_more(self, data: bytes) -> asyncio.Future[None] | None:
        """Write a further piece of a request body; returns what to wait for when the upstream does not take it."""
        if self.lost or self.transport is None:
            return None  # the answer, or the reason why there is none, comes through the head's future
        self.transport.write(data)
        return self._write_waiter

    def attach(self, sink: Sink) -> None:
        """Give the body to *sink*: first what came early, then each read as it comes."""
        self._sink = sink
        early, self._early = self._early, []
        if early:
            sink.upstream_data(b"".join(early))
        if self._end is not None:
            self._finish()
        else:
            self.resume()

    def pause(self) -> None:
        """Stop reading: the client does not keep up."""
        if self._reading and not self.lost and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and not self.lost and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once and for good. No sink is called any more."""
        self._sink = None
        self.reusable = False
        self._forget_head()
        if self.transport is not None:
            self.transport.abort()

    @property
    def ended(self) -> bool:
        """Whether the whole response has arrived (or will never)."""
        return self._end is not None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._end is not None or self._head is None:
            self._unexpected()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self.reusable = False
            if not self.ended:
                self._malformed(exc)
                return
            # bytes behind a complete answer: the answer stands, the connection does not
        if not self._head.done():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                self._malformed(None)
            return
        body = self._body
        if body:
            piece = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            if not self._bodiless:
                self._deliver(piece)
        if self.ended:
            self._finish()

    def eof_received(self) -> bool:
        return False  # the transport closes itself; connection_lost(None) follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.reusable = False
        self.transport = None
        self.resume_writing()
        head = self._head
        if head is None:
            self._on_idle_lost(self)
        elif not head.done():
            head.set_exception(self._lost_before_head(exc))
        elif self._end is None:
            if exc is not None:
                self._end = BodyEnd.RESET
            else:
                self._end = BodyEnd.CLOSED if self._close_delimited else BodyEnd.CUT
            self._finish()

    def pause_writing(self) -> None:
        self._write_waiter = self._loop.create_future()

    def resume_writing(self) -> None:
        waiter, self._write_waiter = self._write_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # httptools

    def on_message_begin(self) -> None:
        if self._end is not None:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._trailers:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._trailers = True  # whatever httptools calls a header from now on is one
        names = {name.lower() for name, _ in self._headers}
        self._bodiless = self._expects_head or status in (204, 304)
        self._close_delimited = not self._bodiless and b"content-length" not in names and b"transfer-encoding" not in names
        if self._head is not None and not self._head.done():
            self._head.set_result(ResponseHead(status, tuple(self._headers)))
        if self._expects_head:
            self._end = BodyEnd.COMPLETE

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200 or self._end is not None:
            return
        self._end = BodyEnd.COMPLETE
        self.reusable = not self._close_delimited and self._parser.should_keep_alive()

    # helpers

    def _deliver(self, piece: bytes) -> None:
        sink = self._sink
        if sink is None:
            self._early.append(piece)
            if sum(map(len, self._early)) > EARLY_LIMIT:
                self.pause()
            return
        try:
            sink.upstream_data(piece)
        except Exception as exc:  # noqa: BLE001 - our own fault must end this exchange, not the process
            self._fault(exc)

    def _finish(self) -> None:
        """Tell the sink, once somebody listens; until then the end waits with the early bytes."""
        if self._sink is None or self._end is None:
            return
        sink, self._sink = self._sink, None
        try:
            sink.upstream_end(self._end)
        except Exception as exc:  # noqa: BLE001
            self._fault(exc)

    def _fault(self, exc: Exception) -> None:
        self._loop.call_exception_handler({"message": "a sink failed on an upstream's bytes", "exception": exc})
        sink, self._sink = self._sink, None
        self._end = BodyEnd.FAULT
        if sink is not None:
            sink.upstream_end(BodyEnd.FAULT)
        if self.transport is not None:
            self.transport.abort()

    def _malformed(self, exc: Exception | None) -> None:
        body = b"".join(self._body)
        self._body.clear()
        if self._head is not None and not self._head.done():
            failure = UpstreamMalformed("the response head is too large" if exc is None else f"not HTTP: {type(exc).__name__}")
            failure.__cause__ = exc
            self._head.set_exception(failure)
        elif self._end is None:
            if body and not self._bodiless:
                self._deliver(body)
            self._end = BodyEnd.MALFORMED
            self._finish()
        if self.transport is not None:
            self.transport.abort()

    def _unexpected(self) -> None:
        """Bytes after the end, or while idle: whatever they are, this connection is done for."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def _lost_before_head(self, exc: Exception | None) -> ProxyError:
        where = "in the middle of the response head" if self.answered else "without a byte of an answer"
        failure: ProxyError = UpstreamClosed(f"closed {where}") if exc is None else UpstreamReset(f"reset {where}")
        failure.__cause__ = exc
        return failure

    def _forget_head(self) -> None:
        head = self._head
        if head is not None and not head.cancel() and not head.cancelled():
            head.exception()  # whoever gave the exchange up need not hear why it failed

    def to_idle(self, now: float) -> None:
        """Mark the connection as waiting in the pool."""
        self._sink = None
        self._head = None
        self.idle_since = now


