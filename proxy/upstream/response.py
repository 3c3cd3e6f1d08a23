"""Reads the responses on one connection, one after another: heads within limits, the bytes of bodies, and how they are framed.

httptools is told neither HEAD nor the end of the connection (RFC 9112 6.3). So the answer to a HEAD is over at its head,
and a body without length is never complete in here; neither leaves the connection fit for another exchange.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import httptools

from proxy.errors import UpstreamMalformed

HEAD_LIMIT: Final = 64 * 1024  # bytes of a response head, interim responses included
FIELDS_LIMIT: Final = 256  # header fields of a response

_OWS: Final = b" \t"  # RFC 9110 5.6.3
_FIELD_OVERHEAD: Final = len(b": \r\n")


@dataclass(slots=True)
class ResponseHead:
    """Status and headers of a final response, as received; `fields` has them by lower-case name, the last of each."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    fields: Mapping[bytes, bytes]

    @property
    def size(self) -> int:
        """Bytes that the headers take on the wire."""
        return sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in self.headers)


class BodyEnd(enum.Enum):
    """How a response body ended."""

    COMPLETE = "complete"  # as its framing announced
    CLOSED = "closed"  # it had no length, and the peer closed in good order (FIN): as complete as it can be told
    CUT = "cut"  # FIN before the announced end, or over TLS without a close_notify; or the request's body broke off
    RESET = "reset"  # RST, or another failure of the connection
    MALFORMED = "malformed"  # the framing itself is broken
    FAULT = "fault"  # our own code failed on a byte of it


class Sink(Protocol):
    """Whoever takes a response body. Both are called from the event loop's read callback and must not block."""

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        """Take the body bytes of one read of the socket; *framed* is the chunks that they came in, if these read as we would write them."""

    def upstream_end(self, end: BodyEnd) -> None:
        """Take note that no byte will follow; called once."""


class ResponseReader:
    """One parser for all responses of a connection.

    `feed` takes bytes and raises httptools.HttpParserError: what is `complete` by then stands, else see `malformed`.
    `body` collects the body's pieces, without a Python frame of its own; whoever takes them clears it.
    """

    __slots__ = (
        "_expects_head", "_fields", "_headers", "_parser", "between_chunks", "body", "close_delimited", "complete", "feed", "head", "keep_alive",
        "on_body",
    )  # fmt: skip

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.on_body = self.body.append
        self._parser = httptools.HttpResponseParser(self)
        self.feed: Callable[[bytes], None] = self._parser.feed_data
        self.begin(expects_head=False)

    def begin(self, *, expects_head: bool) -> None:
        """Expect the response to a further request. With *expects_head* it has no body, whatever it says."""
        self.head: ResponseHead | None = None
        self.complete = False
        self.close_delimited = False  # nothing but the end of the connection ends the body
        self.between_chunks = False  # behind a whole chunk, unless the next one's size has begun
        self.keep_alive = False  # complete, and the connection is fit for another exchange
        self._expects_head = expects_head
        self._headers: list[tuple[bytes, bytes]] = []
        self._fields: dict[bytes, bytes] = {}

    def close(self) -> None:
        """Let go of the parser, which refers back to here: then no garbage collector is needed."""
        del self._parser, self.feed

    # httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise UpstreamMalformed("a second response to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        value = value.rstrip(_OWS)  # llhttp leaves it there
        self._headers.append((name, value))
        self._fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, fields = self._headers, self._fields
        self._headers, self._fields = [], {}  # of what follows an interim response; trailers stay there and are never looked at
        if status < 200:
            _check_interim(status)
            return
        if len(headers) > FIELDS_LIMIT:
            raise UpstreamMalformed("too many header fields in the response")
        if not self._expects_head and status not in (204, 304):
            if b"transfer-encoding" in fields:
                _check_coding(headers)
            else:
                self.close_delimited = b"content-length" not in fields
        self.head = ResponseHead(status, tuple(headers), fields)
        if self._expects_head:
            self.complete = True
            raise _Over

    def on_chunk_header(self) -> None:
        self.between_chunks = False

    def on_chunk_complete(self) -> None:
        self.between_chunks = True

    def on_message_complete(self) -> None:
        if self.head is None:
            if self.body:
                raise UpstreamMalformed("an interim response with a body")
            return
        self.complete = True
        # what HTTP/1.0 calls keep-alive is not worth a risk (RFC 9112 9.3, and 6.1 for its chunks)
        self.keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"


class _Over(Exception):
    """Stops the parser: what follows belongs to no response."""


def malformed(error: httptools.HttpParserError) -> UpstreamMalformed:
    """Return what an error of the parser means. Its own words are constants, never bytes of the peer's."""
    cause = error.__context__
    return cause if isinstance(cause, UpstreamMalformed) else UpstreamMalformed(f"not HTTP/1.1: {error}")


def _check_interim(status: int) -> None:
    if status == 101:
        raise UpstreamMalformed("a switch to another protocol that nobody asked for")
    if status < 100:
        raise UpstreamMalformed(f"status {status}")


def _check_coding(headers: list[tuple[bytes, bytes]]) -> None:
    """Raise UpstreamMalformed for a coding that nobody asked for (RFC 9112 6.1)."""
    codings = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    if codings != [b"chunked"]:
        raise UpstreamMalformed("a transfer coding that nobody asked for")
