"""What may be put into a body while nothing else comes, by how that body is cut into pieces."""

from __future__ import annotations

import abc
import enum
from typing import Final

from proxy.sse.observer import Observer

SPACE: Final = b" "  # white space before a JSON text; before an NDJSON line, where a blank line makes Ollama's client fail


class Framing(enum.Enum):
    """How a body is cut into pieces between which something may be put."""

    EVENTS = "events"  # text/event-stream
    FRAMES = "frames"  # application/vnd.amazon.eventstream: binary events; only an error may come between two of them
    LINES = "lines"  # application/x-ndjson
    WHOLE = "whole"  # one JSON text: white space may come before it, nothing after it has begun
    OPAQUE = "opaque"  # binary, encoded or unknown: nothing may ever be put in

    @property
    def of_events(self) -> bool:
        """Whether the body is made of events: its first one is waited for, and between two of them an error can be told."""
        return self in (Framing.EVENTS, Framing.FRAMES)


class Keepalive(abc.ABC):
    """Makes the frames of one event stream."""

    __slots__ = ()

    @abc.abstractmethod
    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        """Return one frame.

        *observer* knows how far the stream came; None: no event of it has reached the client. *id_seen*: some event had an
        `id` field. *wall* is seconds since the epoch.
        """

    def opening(self, wall: float) -> bytes:
        """Return the frame that is the first sign of life, before anything of an upstream's."""
        return self.frame(None, id_seen=False, wall=wall)

    def with_text(self, text: str) -> Keepalive:
        """Return the same frames with *text* in their comments, where they have any."""
        del text
        return self
