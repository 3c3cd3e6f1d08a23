"""What every client-facing API must be able to say: its request, its events, its errors, its keepalive."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from proxy.errors import ProxyError
from proxy.exchange import Usage
from proxy.sse.frames import Framing, Keepalive
from proxy.sse.observer import CONTENT, FAILED, NOTHING, PING, TERMINAL, Alike, Observer, Uncut

__all__ = [
    "CONTENT",
    "FAILED",
    "NOTHING",
    "PING",
    "TERMINAL",
    "Alike",
    "Answer",
    "Blind",
    "Dialect",
    "Framing",
    "Header",
    "Keepalive",
    "ModelPlace",
    "Observer",
    "RequestView",
]


Header = tuple[bytes, bytes]

_UNCUT: Final = Uncut()
_WHOLE: Final = Framing.WHOLE  # to name a member of an enumeration is a slow look-up


class ModelPlace(Protocol):
    """Knows where a request body names its model, or should."""

    @property
    def model(self) -> str | None:
        """The model that the body names now."""

    def with_model(self, model: str) -> bytes:
        """Return the body with *model* in that place and no other byte changed."""


@dataclass(slots=True)
class RequestView:
    """What the proxy itself needs to know of a request body. Everything else is passed on unread."""

    model: str
    stream: bool = False
    place: ModelPlace | None = None  # where the body names the model; None: it does not
    stateful: bool = False  # refers to state that one account holds; goes to the first target only
    values: Mapping[str, Any] = field(default_factory=dict)  # the members of a JSON body, for a translator or an observer


class Blind(Observer):
    """Takes every byte for content and finds nothing in it: encoded, binary and unknown bodies."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_UNCUT)

    def feed(self, data: bytes) -> int:
        return CONTENT

    def event(self, block: bytes) -> int:
        return CONTENT

    def complete(self, *, clean: bool) -> bool:
        return clean


class Answer(Blind):
    """Keeps a copy of a whole JSON answer to read its usage at the end; of a large one only its last bytes."""

    __slots__ = ("_begun", "_copy", "_dialect", "_size")
    CAP: Final = 64 * 1024
    TAIL: Final = 4096

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        self._copy: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, data: bytes) -> int:
        self._copy.append(data)
        self._size += len(data)
        if self._size > self.CAP:
            self._copy = [b"".join(self._copy)[-self.TAIL :]]
        # DeepSeek sends empty lines before the JSON while a request waits in its queue
        self._begun = self._begun or not data.isspace()
        return CONTENT if self._begun else NOTHING

    def complete(self, *, clean: bool) -> bool:
        if clean:
            self.usage = self._dialect.usage_of(b"".join(self._copy))
        self._copy.clear()
        return clean


class Dialect(abc.ABC):
    """One client-facing API. Instances hold no state of a request.

    `stream_framing` and `stream_type` are those of its streams where the proxy itself makes them: before an upstream has
    answered, and translated ones. `at_once`: they are opened before any upstream is asked. `json_streams`: a stream may be one
    JSON text. `id_header`: where its clients look for an error's request id, if that is not `X-Request-Id`. `reads_head`:
    more decides about a request than its body and the placeholders of its path.
    """

    name: str
    id_header = b""
    stream_framing = Framing.EVENTS
    stream_type = b"text/event-stream; charset=utf-8"
    at_once = False
    json_streams = False
    reads_head = False

    def asked_with(self, query: bytes) -> Dialect:
        """Return the form of this API that *query* asks for, where that decides how a stream is written."""
        del query
        return self

    @abc.abstractmethod
    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        """Read what the proxy needs of a body; *params* are the placeholders of the path, and for a dialect that
        `reads_head` also `method`, `query` (raw), `content-type` and `request_id` of the request.

        Raises BadRequest when the body cannot be understood.
        """

    @abc.abstractmethod
    def observer(self, view: RequestView) -> Observer:
        """Return a fresh observer for one upstream's event stream."""

    def observed(self, view: RequestView, media_type: bytes) -> tuple[Observer, Framing]:
        """Decide by its media type (lower case, no parameters) how an answer is cut into pieces, and who looks at it."""
        if media_type == b"text/event-stream":
            return self.observer(view), Framing.EVENTS
        if media_type == b"application/x-ndjson":
            return Blind(), Framing.LINES
        if media_type == b"application/json":
            return Answer(self), _WHOLE
        return Blind(), Framing.OPAQUE

    @abc.abstractmethod
    def keepalive(self) -> Keepalive | None:
        """Return the dialect's own frame (`keepalive_style: auto`), or None where nothing may be sent."""

    @abc.abstractmethod
    def usage_of(self, answer: bytes) -> Usage | None:
        """Read the usage of a JSON answer, whole or its end only; None when it says nothing, or is not JSON."""

    def usage_of_whole(self, answer: bytes) -> Usage | None:
        """Read the usage of a JSON answer that is all there; of a large one only the end is read, where it stands."""
        return self.usage_of(answer if len(answer) <= Answer.CAP else answer[-Answer.TAIL :])

    @abc.abstractmethod
    def error_body(self, error: ProxyError, request_id: str) -> bytes:
        """Return the body of an error response."""

    @abc.abstractmethod
    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        """Return the in-stream error, one whole event; *observer* knows how far the stream came."""

    def error_headers(self, error: ProxyError) -> tuple[Header, ...]:
        """Return the headers that an error response carries besides those of every dialect."""
        del error
        return ()

    def answer_event(self, body: bytes) -> bytes | None:
        """Return an upstream's JSON error body as an in-stream error, or None when it does not hold one."""
        del body
        return None
