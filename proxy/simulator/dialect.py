"""What a dialect of the simulated backend owes the server: routes, answers as events or whole, and its words for failures."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from proxy.errors import Kind, ModelNotFound, ProxyError
from proxy.simulator.reply import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, its body read whole.

    `born` is the Unix second that answers are dated with and `seed` varies their words: both stay the same as long as a
    simulator lives, so that equal requests get equal bytes. `id` is hexadecimal and every request's own.
    """

    method: str
    path: str
    parameters: Mapping[str, str]  # the route's {names}
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    id: str
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
    retry_after: float | None = None  # seconds

    @classmethod
    def of(cls, error: ProxyError) -> Failure:
        """Return what the client is told about *error*."""
        code = error.code if isinstance(error, ModelNotFound) else None
        return cls(status=error.status, kind=error.kind, message=error.public, code=code, param=getattr(error, "param", None))


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: its JSON body, and headers besides those that every answer has."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


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
        """What this backend sends while it has nothing to say; empty: nothing."""

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the whole answer, event by event."""

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the event that ends a stream of *sent* events with *failure*."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one JSON body, which took so many tokens to make, and headers of its own."""

    body: bytes
    tokens: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was understood: the model it names and the ways to answer it."""

    model: str
    whole: Callable[[Shape], Whole]
    stream: Stream | None = None  # None: no stream was asked for


@dataclass(frozen=True, slots=True)
class Dialect:
    """What every answer of one API has in common."""

    refuse: Callable[[Failure, str], Refusal]  # given the request's id
    headers: Callable[[str, int], dict[str, str]]  # of every answer, given the request's id and the milliseconds it took to begin


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `{name}` in the path matches one segment; `read` raises a RequestError for what it refuses."""

    method: str
    path: str
    dialect: Dialect
    read: Callable[[Call], Answer]


def retry_after(failure: Failure) -> dict[str, str]:
    """Return the header that says when to come back, if *failure* says so."""
    return {} if failure.retry_after is None else {"Retry-After": f"{failure.retry_after:g}"}
