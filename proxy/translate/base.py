"""What a translator from one API into another must be able to do, with a request and with what comes back.

    Translator.request()     the client's request → the request that the target is asked, and the way back
    Back.events()            one upstream's event stream → the client's events, read by read
    Back.whole()             a whole answer → the client's
    Back.error()             an error answer → the client's

For editors: each read of the upstream's becomes its target events in the same call. A translator holds back nothing that it
could say already, and says nothing that the upstream has not said: no invented token, no invented end.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from proxy.exchange import Usage

Header = tuple[bytes, bytes]


Cost = Callable[[Usage], float | None]


def no_cost(usage: Usage) -> float | None:
    """Know no price."""
    del usage
    return None


def with_cost(told: dict[str, Any], usage: Usage, cost: Cost) -> dict[str, Any]:
    """Return an API's usage object with what the answer cost, where that is known; in US dollars, under `cost_usd`."""
    dollars = cost(usage)
    return told if dollars is None else {**told, "cost_usd": dollars}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A client's request, as a translator gets it.

    `values` are the body's members. `request_id` is unique: what the other API wants an id for is named after it. `now` is
    the Unix second that answers are dated with. `drop_params`: leave out what the target cannot honour instead of refusing.
    `cost` is what an answer costs in US dollars by the configured prices; None where that is not known.
    """

    values: Mapping[str, Any]
    model: str  # the target's name for it
    stream: bool
    request_id: str
    now: int
    drop_params: bool = False
    cost: Cost = no_cost


class EventTranslator(abc.ABC):
    """Turns one upstream's stream into the client's. `usage` is what the upstream has said so far, complete at the end."""

    __slots__ = ("usage",)

    def __init__(self) -> None:
        self.usage: Usage | None = None

    @abc.abstractmethod
    def feed(self, data: bytes) -> bytes:
        """Return what the bytes of one read are in the client's API; perhaps nothing, always whole events."""

    @abc.abstractmethod
    def end(self, *, clean: bool) -> bytes:
        """Return what is left to say now that the body has ended; *clean*: its framing ended as announced.

        A terminal event may come from here only if the upstream has said that its answer is complete.
        """

    @property
    def unfinished(self) -> bool:
        """Whether the upstream's own last event is missing in what ended well as far as the client's API can tell."""
        return False


class Back(abc.ABC):
    """The way back of one request's answers; one for each attempt.

    `same_api`: only the events of its streams are others, their heads and all other answers pass as they are.
    """

    __slots__ = ()
    same_api: ClassVar[bool] = False

    @abc.abstractmethod
    def events(self) -> EventTranslator:
        """Return a fresh translator for an event stream."""

    @abc.abstractmethod
    def whole(self, body: bytes) -> bytes:
        """Return a whole answer in the client's API. Raises UpstreamMalformed for one that cannot be understood."""

    @abc.abstractmethod
    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return status and body of an error answer, as the client's API has it; *body* may be anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A request in the target's API. `path` is where that API has it; `headers` replace the client's own."""

    path: bytes
    body: bytes
    back: Back
    query: bytes = b""
    headers: tuple[Header, ...] = ()


class Translator(abc.ABC):
    """One pair of APIs. Holds no state of a request.

    `names` says what the source calls a parameter that the target calls otherwise, for the errors of whoever reads it there.
    """

    source: str
    target: str
    names: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def request(self, source: Source) -> Translated:
        """Translate a request.

        Raises Untranslatable, which names the parameter, for what the target cannot honour (unless it may be dropped), and
        BadRequest for what would be wrong in any API.
        """
