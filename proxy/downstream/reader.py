"""Reads the requests on one connection, one after another: heads within limits, and the bytes of bodies.

httptools takes what follows an offer to switch protocols (RFC 9110 7.8) for bytes of the other protocol, the offer's own body
included. Nobody here switches, so a new parser reads on, which is told how that body is framed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import httptools

from proxy.downstream.known_head import KnownHead, known_head
from proxy.downstream.request import Fields, Request, Unreadable
from proxy.errors import BadRequest, HeadersTooLarge, ProxyError
from proxy.headers import validate_fields

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection

LINE_LIMIT: Final = 16 * 1024  # bytes of a request target, and of a header field
FIELDS_LIMIT: Final = 128  # header fields of a request
HEAD_LIMIT: Final = 256 * 1024  # bytes of reads that bring no end of a head
FRAMING_LIMIT: Final = 64 * 1024  # bytes of reads within a body that bring none of it: chunk extensions, trailers
PIPELINE_LIMIT: Final = 32  # requests that may wait in line on one connection

_OWS: Final = b" \t"  # RFC 9110 5.6.3; llhttp leaves it behind a value
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0), "0.9": (0, 9), "2.0": (2, 0)}  # what llhttp lets through
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_UNREADABLE: Final = "The request is not valid HTTP/1.1, or has too many headers."
_BROKEN: Final = "The request body is not framed as it says."


class RequestReader:
    """One parser for all requests of a connection. What it cannot read is the last thing that it gives."""

    __slots__ = (
        "_asked", "_begins", "_begun", "_connection", "_headers", "_known", "_left", "_messages", "_parser", "_pieces", "_request", "_since",
        "_switching", "_target", "dead", "on_body",
    )  # fmt: skip

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # without a Python frame of its own
        self._parser = httptools.HttpRequestParser(self)
        self._messages: list[Request] = []
        self._request: Request | None = None  # whose body is being read
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._since = 0  # bytes since the last request, or since the last one of a body
        self._switching = False  # the request has been read that offers to switch protocols, and its body is still to come
        self._begun = False  # the parser is within a message
        self._begins = b""  # what is being read, if a message begins with it
        self._asked = False  # a request has been read
        # from the second one on: many connections carry one request only, and to remember it costs as much as to read it
        self._known: KnownHead | None = None
        self._left = 0  # bytes to come of a body whose head was recognised; the parser does not see them
        self.dead = False  # nothing is read any more, whatever comes

    def feed(self, data: bytes) -> Sequence[Request]:
        """Read *data*, and return the requests whose heads it completes. Their bodies come as they come."""
        if self.dead:
            return ()
        known = self._known
        if self._left:
            data = self._read_body(data)
        elif known is not None and not self._begun:
            request = known.again(data, self._connection)
            if request is not None:
                self._since = 0
                if known.body_end == len(data):  # as it nearly always is
                    return (request,)
                data = self._split(known, request, data)
        if data:
            self._read(data)
        messages = self._messages
        if messages:
            self._messages = []
        return messages

    def close(self) -> None:
        """Let go of the parser, which refers back to here: then no garbage collector is needed."""
        self.dead = True
        self._parser = httptools.HttpRequestParser(None)

    # httptools

    def on_message_begin(self) -> None:
        self._begun = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > LINE_LIMIT:
            raise HeadersTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) > LINE_LIMIT:
            raise HeadersTooLarge
        self._headers.append((name, value.rstrip(_OWS)))
        if len(self._headers) > FIELDS_LIMIT:
            raise BadRequest(_UNREADABLE)

    def on_headers_complete(self) -> None:
        target, self._target = self._target, b""
        headers, self._headers = tuple(self._headers), []
        if self._request is not None:
            return  # it is only a new parser, which has been told how the body is framed
        if len(self._messages) >= PIPELINE_LIMIT:
            raise BadRequest(_UNREADABLE)
        parser = self._parser
        version = _VERSIONS[parser.get_http_version()]
        validate_fields(version, headers)
        method = parser.get_method().decode()
        if method == "CONNECT":
            raise BadRequest("No tunnels are opened here.")
        request = self._request = Request(self._connection, method, target, version, headers)
        request.keep_alive = parser.should_keep_alive() and (version >= (1, 1) or not _closes(headers))
        self._switching = parser.should_upgrade()
        self._messages.append(request)
        self._since = 0
        self._known = known_head(self._begins, request) if self._begins and self._asked else None
        self._asked = True
        self._begins = b""

    def on_message_complete(self) -> None:
        request, pieces = self._request, self._pieces
        if request is None or self._switching:
            return
        if self._headers:
            self._drop_trailers(request)
        self._request = None
        self._since = 0
        self._begun = False
        request.complete(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        pieces.clear()

    # helpers

    def _split(self, known: KnownHead, request: Request, data: bytes) -> bytes:
        """Take a request that does not end with *data*; returns what is of the next one."""
        self._messages.append(request)
        self._left = max(known.body_end - len(data), 0)
        if self._left:
            self._request = request
            if known.body_at < len(data):
                request.content.feed(data[known.body_at :])
        return data[known.body_end :]

    def _read_body(self, data: bytes) -> bytes:
        """Read on in a body of known length; returns what is left of *data*."""
        request, left = self._request, self._left
        assert request is not None
        self._left = max(left - len(data), 0)
        if self._left:
            request.content.feed(data)
            return b""
        self._request = None
        request.complete(data[:left])
        return data[left:]

    def _read(self, data: bytes) -> None:
        """Read *data* with the parser."""
        self._since += len(data)
        self._begins = b"" if self._begun else data
        try:
            self._parse(data)
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            self._give_up(cause if isinstance(cause, ProxyError) else BadRequest(_UNREADABLE))
        else:
            if self._request is not None:
                self._read_on(self._request)
            elif self._since > HEAD_LIMIT:
                self._give_up(HeadersTooLarge())

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            self._stay()

    def _stay(self) -> None:
        """Go on with HTTP/1.1: with a parser that is in the middle of the request that offered something else."""
        assert self._request is not None
        self._switching = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % _framing(self._request.raw_headers))

    def _read_on(self, request: Request) -> None:
        """Hand over what has come of a body that is not complete."""
        pieces = self._pieces
        if pieces:
            request.content.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            pieces.clear()
            self._since = 0
        elif self._since > FRAMING_LIMIT:
            self._give_up(BadRequest(_BROKEN))

    def _drop_trailers(self, request: Request) -> None:
        """Take no notice of trailers, but refuse one that says again what the head has said (RFC 9110 6.5.1)."""
        trailers, self._headers = self._headers, []
        validate_fields(request.version, (*request.raw_headers, *trailers))

    def _give_up(self, error: ProxyError) -> None:
        """Read no more. Whoever reads the body that is broken hears of it; what nobody has got yet is answered with *error*."""
        self.dead = True
        broken, self._request = self._request, None
        messages = self._messages
        if broken is not None and not messages:
            broken.content.fail(BadRequest(_BROKEN))
            return
        if broken is not None:
            messages.pop()
        messages.append(Unreadable(self._connection, error))


def _closes(headers: Fields) -> bool:
    """Tell whether `close` is among the options of a connection (RFC 9112 9.6), which llhttp overlooks beside HTTP/1.0's `keep-alive`."""
    return any(name.lower() == b"connection" and b"close" in map(_bare, value.split(b",")) for name, value in headers)


def _bare(option: bytes) -> bytes:
    return option.strip(_OWS).lower()


def _framing(headers: Fields) -> bytes:
    """Return the lines of a head that say where its body ends."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0].lower() in _FRAMING])
