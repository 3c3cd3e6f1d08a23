"""What every client-facing API must be able to say: its request, its events, its errors, its keepalive."""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from proxy.errors import ProxyError
from proxy.exchange import Usage
from proxy.sse.events import Splitter

# What an observer saw in a chunk, or-ed together. Plain ints: they are made once per relayed chunk.
NOTHING: Final = 0
CONTENT: Final = 1  # something a model produced: text, reasoning, a tool call's delta
TERMINAL: Final = 2  # the event that says: the answer is complete
FAILED: Final = 4  # an error told in the stream
PING: Final = 8  # the upstream's own keepalive: it neither starts nor continues an answer


class Framing(enum.Enum):
    """How a body is cut into pieces between which something may be put."""

    EVENTS = "events"  # text/event-stream
    LINES = "lines"  # application/x-ndjson
    WHOLE = "whole"  # one JSON text: white space may come before it, nothing after it has begun
    OPAQUE = "opaque"  # binary, encoded or unknown: nothing may ever be put in


class ModelPlace(Protocol):
    """Knows where a request body names its model."""

    def with_model(self, model: str) -> bytes:
        """Return the body with *model* in that place and no other byte changed."""


class RequestView(NamedTuple):
    """What the proxy itself needs to know of a request body. Everything else is passed on unread."""

    model: str
    stream: bool = False
    place: ModelPlace | None = None  # where the body names the model; None: it does not
    stateful: bool = False  # refers to state that one account holds; goes to the first target only
    choices: int = 1


class Observer(abc.ABC):
    """Looks at a copy of one upstream's stream. Whatever it does, the client's bytes are the upstream's.

    `usage`, `error` and `terminal` may be read at any time; memory is bounded by the splitter's cap.
    """

    __slots__ = ("error", "splitter", "terminal", "usage")

    def __init__(self) -> None:
        self.splitter = Splitter()
        self.terminal = False
        self.error: str | None = None
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> int:
        """Look at the next bytes and return what they held, as or-ed flags."""
        seen = NOTHING
        for block in self.splitter.feed(data):
            seen |= self.event(block)
        return seen

    @abc.abstractmethod
    def event(self, block: bytes) -> int:
        """Look at one whole event block. Notes `terminal`, `error` and `usage`."""

    def complete(self, *, clean: bool) -> bool:
        """Tell whether a stream that ends now is a finished answer; *clean*: its framing ended as announced."""
        del clean  # most APIs have a last event, which says it whatever happens to the connection afterwards
        return self.terminal and self.error is None


class Blind(Observer):
    """Takes every byte for content and finds nothing in it: encoded, binary and unknown bodies."""

    __slots__ = ()

    def feed(self, data: bytes) -> int:
        return CONTENT

    def event(self, block: bytes) -> int:
        return CONTENT

    def complete(self, *, clean: bool) -> bool:
        return clean


class Answer(Blind):
    """Keeps a copy of a whole JSON answer, up to a cap, to read its usage at the end."""

    __slots__ = ("_copy", "_dialect", "_size")
    CAP: Final = 256 * 1024

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        self._copy: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> int:
        self._size += len(data)
        if self._size <= self.CAP:
            self._copy.append(data)
        return CONTENT

    def complete(self, *, clean: bool) -> bool:
        if clean and self._size <= self.CAP:
            self.usage = self._dialect.usage_of(b"".join(self._copy))
        self._copy.clear()
        return clean


class Keepalive(abc.ABC):
    """Makes the frames of one stream."""

    __slots__ = ()
    watches_ids = False  # whether the frame depends on an `id` field having been seen

    @abc.abstractmethod
    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        """Return one frame; *wall* is seconds since the epoch."""


class Dialect(abc.ABC):
    """One client-facing API. Instances hold no state of a request."""

    name: str

    @abc.abstractmethod
    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        """Read what the proxy needs of a body; *params* are the placeholders of the path.

        Raises BadRequest when the body cannot be understood.
        """

    @abc.abstractmethod
    def observer(self, view: RequestView) -> Observer:
        """Return a fresh observer for one upstream's event stream."""

    @abc.abstractmethod
    def keepalive(self) -> Keepalive | None:
        """Return the dialect's own frame (`keepalive_style: auto`), or None where nothing may be sent."""

    @abc.abstractmethod
    def usage_of(self, answer: bytes) -> Usage | None:
        """Read the usage of a whole JSON answer; None when it says nothing, or is not JSON."""

    @abc.abstractmethod
    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        """Return the body of an error response."""

    @abc.abstractmethod
    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        """Return the in-stream error, one whole event; *observer* knows how far the stream came."""

    def answer_event(self, body: bytes) -> bytes | None:
        """Return an upstream's JSON error body as an in-stream error, or None when it does not hold one."""
        del body
        return None
