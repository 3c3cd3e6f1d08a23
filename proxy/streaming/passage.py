"""Takes whole chunks straight from an upstream to a client, and counts them.

What a chunk costs while other streams' chunks wait is what all of them wait for, and most of that is the memory which it
touches. So a chunk that is like those before it is written, and its time and size are remembered; what follows from that for
the relay, the sums and the clocks is worked out by `look`, for many at once: before anybody asks for it, and at least once in
each period of the ticker.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.dialects.base import CONTENT
from proxy.downstream import Downstream
from proxy.exchange import Progress
from proxy.sse.observer import Alike
from proxy.sse.relay import Relay


class Passage:
    """The way of a live answer's bytes to the client. Small, because each chunk touches it."""

    __slots__ = ("_alike", "_around", "_bytes", "_clock", "_downstream", "_progress", "_relay", "_times", "_write")

    def __init__(self, relay: Relay, downstream: Downstream, progress: Progress, clock: Callable[[], float]) -> None:
        self._relay = relay
        self._downstream = downstream
        self._progress = progress
        self._clock = clock
        self._write: Callable[[bytes], None] | None = downstream.direct
        self._alike: Alike = _unknown  # tells which chunks the observer need not see; asked for when it has seen one
        self._times: list[float] = []  # when chunks went that it did not see, since the last look
        self._bytes = 0  # of these chunks
        self._around = 0  # of these, what stands before their content

    @property
    def direct(self) -> bool:
        """Whether `chunk` may be called at all: the client's body is in chunks, too."""
        return self._write is not None

    def chunk(self, framed: bytes, begin: int) -> None:
        """Hand one whole chunk on as it is framed; its content begins at *begin* and ends before the last line end. The hot path."""
        self._write(framed)  # type: ignore[misc]  # it is `direct`
        if self._alike(framed, begin):
            self._times.append(self._clock())
            self._bytes += len(framed)
            self._around += begin
        else:
            self.look()
            self._downstream.taken += len(framed)
            self._note(framed[begin:-2], self._clock())

    def content(self, data: bytes, framed: bytes) -> None:
        """Hand bytes on that did not come as one small chunk: *framed* if they came in chunks like ours."""
        self.look()
        self._downstream.write(data, framed)
        self._note(data, self._clock())

    def part(self) -> None:
        """Write and count nothing any more: the client has left, and only what the observer sees is wanted."""
        self.look()
        self._write = _nowhere
        self._progress = Progress()

    def look(self) -> None:
        """Draw the sum of what has passed since the last time."""
        times, progress = self._times, self._progress
        if not times:
            return
        self._downstream.taken += self._bytes
        progress.chunks += len(times)
        progress.bytes_out += self._bytes - self._around - 2 * len(times)
        progress.heard_at = times[-1]
        progress.content(*times)
        self._relay.pass_events(times[-1])
        self._times = []
        self._bytes = self._around = 0

    def _note(self, data: bytes, now: float) -> None:
        """Count *data*, which went to the client at *now*, and have the observer see it."""
        progress, relay = self._progress, self._relay
        progress.chunks += 1
        progress.bytes_out += len(data)
        progress.heard_at = now
        if relay.forward(data, now) & CONTENT:
            progress.content(now)
        self._alike = (relay.observer and relay.observer.alike) or _unknown


def _unknown(framed: bytes, begin: int) -> bool:
    del framed, begin
    return False


def _nowhere(framed: bytes) -> None:
    del framed
