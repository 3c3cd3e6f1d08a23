"""What a scripted upstream can be told to do: replies, and the steps they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from tests.support.http1 import BODILESS, Head, fields

Headers = Iterable[tuple[str, str]]
Framing = Literal["chunked", "length", "close", "raw"]
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Send:
    """Write body bytes in one write (one chunk of a chunked body) that the peer can read before the next one.

    `raw` puts them on the wire without framing.
    """

    data: bytes
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Like a `Send` for every `size` bytes.

    To cut the framing too, frame first: `Drip(chunk(data), raw=True)`. `gap` is in seconds, for a peer in another process.
    """

    data: bytes
    size: int = 1
    raw: bool = False
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Gate:
    """Wait until the test calls `upstream.open(name)`; `upstream.reached(name)` tells when we stand here."""

    name: str


@dataclass(frozen=True, slots=True)
class Informational:
    """Send a 1xx response; for `Reply.before`."""

    status: int
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Fin:
    """Send a FIN, whatever is missing, and watch until the peer has left too. On TLS `notify=False` omits the close_notify."""

    notify: bool = True


@dataclass(frozen=True, slots=True)
class Close:
    """Close both directions: a FIN, or a RST if the peer's bytes were left unread."""


@dataclass(frozen=True, slots=True)
class Rst:
    """Reset the connection."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Do nothing more until the peer leaves."""


Step = bytes | Send | Drip | Pause | Gate | Informational | Fin | Close | Rst | Hang


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Plain bytes in `body` are `Send`s; what is missing of the framing after the last step is added.

    `framing="close"` ends with a FIN, `"raw"` adds neither header nor end. `length` overrides the computed Content-Length.
    An answer that has no body (HEAD, 204, 304) sends its raw steps only. Steps from a generator serve one request.
    """

    status: int = 200
    headers: Headers = ()
    body: Iterable[Step] = ()
    framing: Framing = "chunked"
    reason: str | None = None
    version: str = "1.1"
    trailers: Headers = ()
    length: int | None = None
    before: Iterable[Step] = ()  # ahead of the head
    after: Iterable[Step] = ()  # behind the end, before the next request is looked at
    early: bool = False  # answer as soon as the request's head is in, and leave its body unread (not from a callable)
    head: bytes | None = None  # in place of everything the head would be made of

    def head_bytes(self, method: str) -> bytes:
        """Write the response head for a request with *method*."""
        if self.head is not None:
            return self.head
        reason = HTTPStatus(self.status).phrase if self.reason is None else self.reason
        line = f"HTTP/{self.version} {self.status} {reason}\r\n".encode("latin-1")
        return line + fields(self.headers) + fields(self._framing_headers()) + b"\r\n"

    def bodiless(self, method: str) -> bool:
        """Tell whether HTTP forbids a body here."""
        return method == "HEAD" or self.status in BODILESS

    def _framing_headers(self) -> list[tuple[str, str]]:
        if self.framing == "raw" or self.status in BODILESS:
            return []
        if self.framing == "chunked":
            return [("Transfer-Encoding", "chunked")]
        if self.framing == "close":
            return [("Connection", "close")]
        return [("Content-Length", str(self._body_length() if self.length is None else self.length))]

    def _body_length(self) -> int:
        assert isinstance(self.body, Sequence), "a body made on the way needs its length said"
        return sum(len(step) if isinstance(step, bytes) else len(step.data) for step in self.body if _is_body(step))


@dataclass(slots=True)
class RequestSeen:
    """One request as it came. `body` is whole when `complete` is true."""

    head: Head
    method: str
    target: bytes
    version: bytes
    connection: int  # index into `upstream.connections`
    fresh: bool  # the first one on its connection
    at: float  # when its head was in
    body: bytes = b""
    complete: bool = False

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and values as they came, in order."""
        return self.head.headers

    def header(self, name: str) -> str | None:
        """Return the only value of *name*, None without one; two are a failure."""
        return self.head.header(name)

    @property
    def last(self) -> bool:
        """Whether the peer asked for the connection's end after the answer."""
        return self.version == b"HTTP/1.0" or (self.header("connection") or "").lower() == "close"

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


Script = Reply | Callable[[RequestSeen], Reply]


def stream(*steps: Step, headers: Headers = (), framing: Framing = "chunked") -> Reply:
    """Answer with an event stream made of *steps*."""
    return Reply(headers=[("Content-Type", "text/event-stream"), *headers], body=steps, framing=framing)


def answer(content: Any, status: int = 200, headers: Headers = ()) -> Reply:
    """Answer with *content* as JSON, or as it is if it is bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status=status, headers=[("Content-Type", "application/json"), *headers], body=[body], framing="length")


def verbatim(*steps: Step) -> Reply:
    """Send these bytes and nothing else, neither head nor framing: `verbatim(Rst())`, `verbatim(b"HTTP/1.1 200 OK\\r\\n...")`."""
    return Reply(head=b"", body=steps, framing="raw")


def _is_body(step: Step) -> bool:
    return isinstance(step, bytes) or (isinstance(step, Send | Drip) and not step.raw)
