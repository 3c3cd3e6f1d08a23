"""What an observer of a stream must be able to say, in flags that cost nothing to make."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from proxy.exchange import Usage
from proxy.sse.events import Splitter

# What an observer saw in a chunk, or-ed together. Plain ints: they are made once per relayed chunk.
NOTHING: Final = 0
CONTENT: Final = 1  # something a model produced: text, reasoning, a tool call's delta
TERMINAL: Final = 2  # the event that says: the answer is complete
FAILED: Final = 4  # an error told in the stream
PING: Final = 8  # the upstream's own keepalive: it neither starts nor continues an answer

Alike = Callable[[bytes, int], bool]  # of a whole chunk in its framing, and where its content begins


class Cutter(Protocol):
    """Cuts a stream into whole events, in bounded memory."""

    held: bytearray  # of an unfinished event; empty: the next byte begins one
    lost: int  # events that were too large to look into
    id_seen: bool  # an event had an `id` field

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the events that *data* completes."""


class Uncut:
    """Cuts nothing, for bodies that are no events; its state never changes."""

    __slots__ = ("held", "id_seen", "lost")

    def __init__(self) -> None:
        self.held = bytearray()
        self.lost = 0
        self.id_seen = False

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Find no event."""
        del data
        return ()


class Observer(abc.ABC):
    """Looks at a copy of one upstream's stream. Whatever it does, the client's bytes are the upstream's.

    `usage`, `error` and `terminal` may be read at any time; memory is bounded by the splitter's cap.
    """

    __slots__ = ("error", "midway", "splitter", "terminal", "usage")

    def __init__(self, splitter: Cutter | None = None) -> None:
        self.splitter: Cutter = Splitter() if splitter is None else splitter
        self.midway = False  # a part of an event is held, so that the next byte does not begin one
        self.terminal = False
        self.error: str | None = None
        self.usage: Usage | None = None

    @property
    def alike(self) -> Alike | None:
        """What tells whether the next chunk is one whole event of content, of which nothing else is to be learnt; None: who knows.

        Such a chunk, which ends in LF LF or in CRLF CRLF, need not be fed. Good for the chunks up to the next that is.
        """
        return None

    def feed(self, data: bytes) -> int:
        """Look at the next bytes and return what they held, as or-ed flags."""
        seen = NOTHING
        for block in self.blocks(data):
            seen |= self.event(block)
        return seen

    def blocks(self, data: bytes) -> Sequence[bytes]:
        """Return the whole events that *data* completes, each to be given to `event`."""
        blocks = self.splitter.feed(data)
        self.midway = bool(self.splitter.held)
        return blocks

    @abc.abstractmethod
    def event(self, block: bytes) -> int:
        """Look at one whole event block. Notes `terminal`, `error` and `usage`."""

    @property
    def garbled(self) -> bool:
        """Whether bytes came that are no event of this kind of stream, so that nothing behind them can be read."""
        return False

    def complete(self, *, clean: bool) -> bool:
        """Tell whether a stream that ends now is a finished answer; *clean*: its framing ended as announced."""
        del clean  # most APIs have a last event, which says it whatever happens to the connection afterwards
        return self.terminal and self.error is None
