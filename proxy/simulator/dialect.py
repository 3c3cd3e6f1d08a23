"""What a dialect of the simulated backend owes the server: routes, answers as events or whole, and its words for failures."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.errors import Kind, ModelNotFound, ProxyError
from proxy.simulator.reply import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, its body read whole.

    `born` is the Unix second that answers are dated with and `seed` varies their words: both stay the same as long as a
    simulator lives, so that equal requests get equal bytes.
    """

    method: str
    path: str
    parameters: Mapping[str, str]  # the route's {names}
    body: bytes
    born: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that the backend reports; each dialect has its own shape and words for it."""

    status: int
    kind: Kind
    message: str
    code: str | None = None
    param: str | None = None

    @classmethod
    def of(cls, error: ProxyError) -> Failure:
        """Return what the client is told about *error*."""
        code = error.code if isinstance(error, ModelNotFound) else None
        return cls(status=error.status, kind=error.kind, message=error.public, code=code, param=getattr(error, "param", None))


class Part(enum.Enum):
    """What an event is to a scenario."""

    FRAME = "frame"  # around the content
    TOKEN = "token"  # noqa: S105 - content; it takes time to come
    END = "end"  # this and what follows say that the answer is complete


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream, as bytes of the wire."""

    bytes: bytes
    part: Part


class Stream(Protocol):
    """An answer in events."""

    @property
    def content_type(self) -> str:
        """The media type of the stream."""

    @property
    def idle(self) -> bytes:
        """What this backend sends while it has nothing to say."""

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the whole answer, event by event."""

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the event that ends a stream of *sent* events with *failure*."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one JSON body, which took so many tokens to make."""

    body: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was understood: the model it names and the ways to answer it."""

    model: str
    whole: Callable[[Shape], Whole]
    stream: Stream | None = None  # None: no stream was asked for


@dataclass(frozen=True, slots=True)
class Dialect:
    """What every answer of one API has in common."""

    failure: Callable[[Failure], bytes]  # the body of an error answer
    headers: Callable[[int], dict[str, str]]  # of every answer, given the milliseconds it took to begin


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `{name}` in the path matches one segment; `read` raises a RequestError for what it refuses."""

    method: str
    path: str
    dialect: Dialect
    read: Callable[[Call], Answer]
