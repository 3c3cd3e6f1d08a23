"""One connection to a backend: HTTP/1.1, from bytes received to the sink in one call chain, and every end by its name.

For editors: `data_received` runs once per chunk of every stream. No task, no timer, no queue; what is rare goes elsewhere. Whole
chunks, framed as we would frame them ourselves, pass by the parser, which stands between two chunks before and after.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final, cast

import httptools

from proxy.errors import ProxyError, UpstreamClosed, UpstreamMalformed, UpstreamReset
from proxy.upstream.chunks import SMALL, SMALL_LINE, TakeChunk, content_of
from proxy.upstream.response import HEAD_LIMIT, BodyEnd, ResponseHead, ResponseReader, Sink, malformed
from proxy.upstream.sockets import closed_in_order, drop

EARLY_LIMIT: Final = 64 * 1024  # body bytes kept before somebody wants them; beyond it reading pauses
FRAMING_LIMIT: Final = 64 * 1024  # bytes without one of the body: chunk extensions, trailers
JOIN_LIMIT: Final = 64 * 1024  # a request body up to this size goes out in one write with its head

_COMPLETE: Final = BodyEnd.COMPLETE  # to name a member of an enumeration is a slow look-up


class UpstreamConnection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    Owned by the pool between exchanges, by an `UpstreamStream` during one. It knows what aiohttp's client hides: whether
    it was used before, whether a byte of an answer was seen, and whether it ended by FIN or by RST.
    """

    __slots__ = (
        "_body", "_early", "_early_size", "_end", "_failure", "_feed", "_framing", "_head", "_loop", "_on_idle_lost", "_open",
        "_poll", "_reader", "_reading", "_request_sent", "_sink", "_straight", "_take", "_write_waiter", "answered", "exchanges", "idle_since", "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, on_idle_lost: Callable[[UpstreamConnection], None]) -> None:
        self._loop = loop
        self._on_idle_lost = on_idle_lost
        self._reader = ResponseReader()
        self._feed = self._reader.feed
        self._body = self._reader.body
        self.transport: asyncio.Transport | None = None
        self.exchanges = 0
        self.idle_since = 0.0
        self.answered = False  # a byte came in answer to the current request
        self._open = False  # an exchange is on, and its end has not been seen
        self._reading = True
        self._request_sent = True
        self._head: asyncio.Future[ResponseHead] | None = None
        self._sink: Sink | None = None
        self._take: TakeChunk | None = None  # wants whole small chunks in the sink's place
        self._straight: TakeChunk | None = None  # gets them now, because the parser stands between two chunks
        self._early: list[bytes] = []
        self._early_size = 0
        self._framing = 0  # bytes received since the last one of the body
        self._end: BodyEnd | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._failure: ProxyError | None = None  # why no exchange can begin any more
        self._poll: select.poll | None = None  # asks the kernel about this socket; made when first needed

    # the exchange

    def send(self, head: bytes, body: bytes, *, expects_head: bool = False, whole: bool = True) -> asyncio.Future[ResponseHead]:
        """Write a request and return a future of the response head; unless *whole*, `write_more` and `end_request` follow.

        The future raises UpstreamClosed, UpstreamReset or UpstreamMalformed. Whoever gives it up must `abort` the connection.
        """
        self._reader.begin(expects_head=expects_head)
        self._end = None
        self._framing = 0
        self.answered = False
        self.exchanges += 1
        answer = self._head = self._loop.create_future()
        transport = self.transport
        if transport is None or transport.is_closing():
            answer.set_exception(self._failure or UpstreamClosed("closed before the request was sent"))
            return answer
        self._open = True
        self._request_sent = whole
        if len(body) <= JOIN_LIMIT:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return answer

    def write_more(self, data: bytes) -> asyncio.Future[None] | None:
        """Write a further piece of a request body; returns what to wait for when the upstream does not take it."""
        assert self.transport is not None
        self.transport.write(data)
        return self._write_waiter

    def end_request(self) -> None:
        """Note that the request's body is out; only then may another request follow."""
        self._request_sent = True

    def fail(self, error: Exception) -> None:
        """End the exchange because the request's body has failed: *error* is raised where the answer is awaited."""
        if self._head is not None and not self._head.done():
            self._refuse(error)
        elif self._open:
            self._conclude(BodyEnd.CUT)
        self._drop()

    def attach(self, sink: Sink) -> None:
        """Give the body to *sink*: first what came early, then each read as it comes."""
        self._sink = sink
        self.resume()  # first, because the sink may pause
        if self._early:
            early = b"".join(self._early)
            self._early, self._early_size = [], 0
            sink.upstream_data(early)
        if self._end is not None:
            self._tell_end(self._end)

    def pass_chunks(self, take: TakeChunk) -> None:
        """From here on give whole small chunks to *take*, as they are framed, and to the sink only what is none."""
        if self._open:
            self._take = take
            self._straight = self._straight and take

    def take_whole(self) -> bytes | None:
        """Take the body if all of it came with the head; None if it did not, and then nothing is taken."""
        if self._end is not _COMPLETE:
            return None
        early, self._early = self._early, []
        return early[0] if len(early) == 1 else b"".join(early)

    def pause(self) -> None:
        """Stop reading: the client does not keep up."""
        if self._reading and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and self.transport is not None:
            self._reading = True
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once and for good, with a RST if an exchange is on. No sink is called any more."""
        unfinished = (
            self._open or not self._request_sent or (self.transport is not None and self.transport.get_write_buffer_size() > 0)
        )
        self._open = False
        self._sink = self._take = self._straight = None
        head = self._head
        if head is not None and not head.cancel() and not head.cancelled():
            head.exception()  # whoever gave the exchange up need not hear why it failed
        self._drop(reset=unfinished)

    def to_idle(self, now: float) -> None:
        """Mark the connection as waiting in the pool, with nothing left of its last exchange."""
        self._sink = None
        self._head = None
        self._early_size = 0
        if self._early:
            self._early = []
        self.idle_since = now
        if not self._reading:
            self.resume()

    @property
    def open(self) -> bool:
        """Whether an exchange is on, and its end has not been seen."""
        return self._open

    @property
    def ended(self) -> bool:
        """Whether the whole response has arrived (or will never)."""
        return self._end is not None

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the request is out, the response was complete and clean, nothing came behind it."""
        transport = self.transport
        return (
            self._end is _COMPLETE
            and self._reader.keep_alive
            and self._request_sent
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    @property
    def unread(self) -> bool:
        """Whether bytes or an end have arrived that the event loop has not read yet; true for a closed connection."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        straight = self._straight
        if straight is not None:
            begin = data.find(b"\r\n", 0, SMALL_LINE) + 2
            size = len(data) - begin - 2
            if size in SMALL and data.startswith(b"%x\r\n" % size) and data.endswith(b"\r\n"):
                try:
                    straight(data, begin)
                except Exception as exc:  # noqa: BLE001 - our own fault must end this exchange, not the process
                    self._fault(exc)
                return
            content = content_of(data)
            if content:
                self._hand_over(content, data)
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        if not self._open:
            self._unasked()
            return
        self.answered = True
        error = None
        try:
            self._feed(data)
        except httptools.HttpParserError as exc:
            error = exc
        sink, body = self._sink, self._body
        if sink is None:
            self._unattended(len(data))
        elif body:
            piece = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            self._framing = 0
            self._hand_over(piece)
        else:
            self._count_framing(len(data))
        if error is not None or self._reader.complete:
            self._over(error)
        elif self._sink is not None:
            whole = self._reader.between_chunks and data.endswith(b"\r\n")  # else it stands in a chunk, or in a size line
            self._straight = (self._take or self._content_only) if whole else None

    def eof_received(self) -> bool:
        if self._open and self.transport is not None:
            self._interrupted(None, in_order=closed_in_order(self.transport))
        return False  # the transport closes itself; `connection_lost` follows, at once or when it has got rid of what we wrote

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._interrupted(exc, in_order=False)
        elif exc is not None and self._failure is None:
            self._failure = UpstreamReset("reset before the request was sent")
        self.transport = None
        self._reader.close()
        del self._feed
        self.resume_writing()
        if self._head is None:
            self._on_idle_lost(self)

    def pause_writing(self) -> None:
        self._write_waiter = self._loop.create_future()

    def resume_writing(self) -> None:
        waiter, self._write_waiter = self._write_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # helpers of `data_received`

    def _hand_over(self, content: bytes, framed: bytes = b"") -> None:
        assert self._sink is not None
        try:
            self._sink.upstream_data(content, framed)
        except Exception as exc:  # noqa: BLE001 - as above
            self._fault(exc)

    def _content_only(self, framed: bytes, begin: int) -> None:
        """Give a chunk to the sink, where nobody wants it as it is framed."""
        assert self._sink is not None
        self._sink.upstream_data(framed[begin:-2], framed)

    def _unattended(self, received: int) -> None:
        """Take a read that nobody is attached for yet: it is of the head, or of a body that came soon."""
        assert self._head is not None
        head = self._reader.head
        if not self._head.done():
            self._framing += received
            if self._framing > HEAD_LIMIT and (head is None or head.size > HEAD_LIMIT):
                self._malformed(UpstreamMalformed("the response head is too large"))
                return
            if head is None:
                return
            self._framing = 0
            self._head.set_result(head)
        elif not self._body:
            self._count_framing(received)
        if self._body:
            self._early += self._body
            self._early_size += sum(map(len, self._body))
            self._body.clear()
            self._framing = 0
            if self._early_size > EARLY_LIMIT:
                self.pause()

    def _count_framing(self, received: int) -> None:
        self._framing += received
        if self._framing > FRAMING_LIMIT:
            self._malformed(UpstreamMalformed("too many bytes around the body"))

    def _over(self, error: httptools.HttpParserError | None) -> None:
        """End the exchange, unless that has happened: the response is complete, or cannot be read any further."""
        if not self._open:
            return
        if self._reader.complete:
            if error is not None:  # bytes behind a complete response: it stands, the connection does not
                self._reader.keep_alive = False
            self._conclude(_COMPLETE)
        elif error is not None:
            self._malformed(malformed(error))

    def _malformed(self, failure: UpstreamMalformed) -> None:
        assert self._head is not None
        if self._head.done():
            self._conclude(BodyEnd.MALFORMED)
        else:
            self._refuse(failure)
        self._drop()

    def _unasked(self) -> None:
        """Take bytes behind a response, or on an idle connection: whatever they are, it is done for."""
        self._failure = UpstreamMalformed("bytes that nobody asked for")
        self._drop()

    # the end of an exchange

    def _interrupted(self, exc: Exception | None, *, in_order: bool) -> None:
        """End the exchange because the connection has: by an error, or by a FIN, which may have been *in_order*."""
        assert self._head is not None
        if not self._head.done():
            where = "in the middle of the response head" if self.answered else "without a byte of a response"
            failure = UpstreamClosed(f"closed {where}") if exc is None else UpstreamReset(f"reset {where}")
            failure.__cause__ = exc
            self._refuse(failure)
        elif exc is not None:
            self._conclude(BodyEnd.RESET)
        else:
            self._conclude(BodyEnd.CLOSED if in_order and self._reader.close_delimited else BodyEnd.CUT)

    def _refuse(self, failure: Exception) -> None:
        """End the exchange without a response head."""
        assert self._head is not None
        self._open = False
        self._head.set_exception(failure)

    def _conclude(self, end: BodyEnd) -> None:
        """End the exchange whose head was good; the sink hears of it, or will when it is attached."""
        self._open = False
        self._take = self._straight = None
        self._end = end
        if self._sink is not None:
            self._tell_end(end)

    def _tell_end(self, end: BodyEnd) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            sink.upstream_end(end)
        except Exception as exc:  # noqa: BLE001 - as above
            self._sink = sink
            self._fault(exc)

    def _fault(self, exc: Exception) -> None:
        """End the exchange because our own code failed on it; what else runs goes on."""
        self._report(exc)
        sink, self._sink = self._sink, None
        self._open = False
        self._take = self._straight = None
        self._end = BodyEnd.FAULT
        self._drop()
        if sink is None:
            return
        try:
            sink.upstream_end(BodyEnd.FAULT)
        except Exception as another:  # noqa: BLE001 - as above
            self._report(another)

    def _report(self, exc: Exception) -> None:
        self._loop.call_exception_handler({"message": "a sink failed on an upstream's bytes", "exception": exc})

    def _drop(self, *, reset: bool = True) -> None:
        if self.transport is not None:
            drop(self.transport, reset=reset)
