"""What one stream looked like from here: values only, on which verdicts are given."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

AT_ONCE: Final = 0.5  # seconds behind its head in which an answer has ended at once


class Arrival(NamedTuple):
    """One event. Both times are in seconds: `at` since the request, `sent` since the server began to answer."""

    at: float
    sent: float | None = None  # None: its server does not say


class Piece(NamedTuple):
    """Bytes of the body that came together."""

    at: float
    size: int


class End(enum.StrEnum):
    """How a stream ended."""

    DONE = "done"  # with the event that says so
    CLEAN = "clean"  # its framing was complete
    BROKEN = "broken"  # the connection ended in the middle
    SILENT = "silent"  # nothing came any more, for longer than we wait
    ENDLESS = "endless"  # it would have gone on; we stopped reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer, from its head to its end. Times are in seconds since the request."""

    status: int
    version: str  # of HTTP
    headers: Mapping[str, str]  # by lower-case name; several of one name are joined
    headers_at: float
    ended_at: float
    end: End
    connected_at: float | None = None
    tls: str | None = None  # its version
    h2: bool | None = None  # whether a browser would be offered HTTP/2
    arrivals: tuple[Arrival, ...] = ()
    pieces: tuple[Piece, ...] = ()
    expected: int | None = None  # events that were asked for; None: unknown
    told: Mapping[str, Any] = field(default_factory=dict)  # what the first event says of the request as it arrived
    keepalives: int = 0

    @property
    def first_at(self) -> float | None:
        """When the first event came."""
        return self.arrivals[0].at if self.arrivals else None

    @property
    def encoding(self) -> str:
        """The content encoding; empty: none."""
        coding = self.headers.get("content-encoding", "").lower()
        return "" if coding == "identity" else coding

    @property
    def empty(self) -> bool:
        """Whether it ended at once, without an event."""
        return not self.arrivals and self.ended_at - self.headers_at < AT_ONCE

    @property
    def complete(self) -> bool:
        """Whether all of it came."""
        if self.expected is None:
            return bool(self.arrivals) and self.end in (End.DONE, End.CLEAN, End.ENDLESS)
        return self.end is End.DONE and len(self.arrivals) >= self.expected


def gaps(arrivals: tuple[Arrival, ...]) -> list[float]:
    """Return the seconds between each event and the one before it."""
    return [later.at - earlier.at for earlier, later in pairwise(arrivals)]


def delays(arrivals: tuple[Arrival, ...]) -> list[float]:
    """Return how much later than the quickest of them each event came, counted from when it was sent.

    What all have in common, the way and the difference of two clocks, is left out. Empty where the server does not say when.
    """
    ways = [arrival.at - arrival.sent for arrival in arrivals if arrival.sent is not None]
    return [way - min(ways) for way in ways]
