"""What governs the wait for one answer, and the watch over a client that does not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.dialects.base import Framing, Keepalive
from proxy.downstream import Headers

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The durations that govern one request, in seconds; `NEVER` where one does not apply."""

    commit_after: float
    patience: float  # how long a client that has had nothing may be kept waiting by an upstream's Retry-After
    interval: float  # of silence towards the client before a keepalive
    attempt: float  # one attempt, to its first content, while another target is left
    first: float  # all attempts together, to the first content
    whole: float  # all attempts together, to the last byte
    idle: float  # after the first content: no byte at all
    content: float  # after the first content: bytes, but no content
    write_stall: float
    age: float
    drain: float  # how long to read on after the client has left, to learn the usage; 0: not at all


@dataclass(frozen=True, slots=True)
class Plan:
    """How one kind of request is waited for. `early_headers` are those of a response that no upstream has answered yet."""

    clocks: Clocks
    keepalive: Keepalive | None
    framing: Framing
    early_headers: Headers


class WriteStall:
    """Measures for how long a client has taken nothing of what waits for it."""

    __slots__ = ("_since", "_taken")

    def __init__(self, now: float) -> None:
        self._since = now
        self._taken = 0

    def seconds(self, written: int, pending: int, now: float) -> float:
        """Return how long it has taken nothing: *written* bytes were handed over so far, *pending* of them still wait."""
        taken = written - pending
        if not pending or taken != self._taken:
            self._taken = taken
            self._since = now
        return now - self._since
