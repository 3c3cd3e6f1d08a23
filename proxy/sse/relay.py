"""Decides which bytes of which attempt go to the client, and when a keepalive frame may go between them.

    hold()      before the first event of an attempt is complete: held, or only comments passed on
    release()   the first event is good: everything held goes out, and from now on
    forward()   each chunk goes out as it came; only three bytes of it are remembered, or nothing: pass_events()
    frame()     a keepalive, if one is due and the stream stands between two events

No clock, no socket, no callback: `now` comes in, bytes come out. The caller writes what it is given, at once and in order.

For editors: nothing may be appended to half an event, and no byte of an upstream may be changed, dropped (but for one
leading BOM after frames of our own) or kept back once released.
"""

from __future__ import annotations

import enum
from typing import Final

from proxy.sse import boundary
from proxy.sse.events import is_comment, parse
from proxy.sse.frames import SPACE, Framing, Keepalive
from proxy.sse.observer import FAILED, NOTHING, PING, TERMINAL, Observer

HOLD_LIMIT: Final = 16 * 1024


class Held(enum.Enum):
    """What became of an attempt's bytes while its first event was awaited."""

    WAITING = "waiting"  # not a whole event yet
    READY = "ready"  # the first event is there, or more than the hold may keep: release it
    FAILED = "failed"  # the first event is an error: this attempt is no answer
    CROWDED = "crowded"  # more comments than the hold may keep: they can only go out if the response is committed


class Relay:
    """One client's stream, fed by one attempt after another. See the file's head for the order of calls."""

    __slots__ = (
        "_first", "_frames", "_fresh", "_held", "_id_seen", "_interval", "_passing", "_passive", "_sent", "_sent_at", "_started", "_tail",
        "ended", "framing", "observer",
    )  # fmt: skip

    def __init__(self, keepalive: Keepalive | None, framing: Framing, interval: float, now: float) -> None:
        """*framing* is that of the response as long as no attempt has answered; *interval* that of keepalives, in seconds."""
        self._frames = keepalive
        self._interval = interval
        self._sent_at: float | None = now  # None: something went out since the last look at the clock
        self._sent = False  # whether the client has had anything at all
        self._tail = boundary.START
        self._id_seen = False  # in what was taken out of the hold; from then on the observer's splitter knows
        self.framing = framing
        self._held = bytearray()
        self._passive = 0  # bytes at the start of the hold that are whole comments or pings
        self._passing = True  # nothing but comments and pings has come from the current attempt
        self._first: int | None = None  # what the observer saw in the current attempt's first event
        self._started = False
        self._fresh = True  # nothing of the current attempt has been taken out of the hold
        self.ended = False  # the current attempt's last event was seen
        self.observer: Observer | None = None

    def __repr__(self) -> str:
        return f"<Relay {self.framing.value} started={self._started} held={len(self._held)} between_events={self.between_events}>"

    @property
    def started(self) -> bool:
        """Whether any event of an upstream's answer has been released; after that no other attempt may follow."""
        return self._started

    @property
    def between_events(self) -> bool:
        """Whether something may be put into the stream at this moment."""
        if self.framing is Framing.EVENTS:
            return boundary.between_events(self._tail)
        if self.framing is Framing.FRAMES:
            return self._between_frames
        if self.framing is Framing.LINES:
            return boundary.between_lines(self._tail)
        return self.framing is Framing.WHOLE and not self._started

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._held)

    def begin(self, observer: Observer, framing: Framing) -> None:
        """Start over with another attempt's answer; what an earlier one left in the hold is forgotten."""
        self.observer = observer
        self.framing = framing
        self._held.clear()
        self._passive = 0
        self._passing = True
        self._first = None
        self._fresh = True
        self.ended = False

    def hold(self, data: bytes, *, committed: bool) -> tuple[Held, bytes, int]:
        """Keep *data* until the first event is complete.

        Returns the verdict, the bytes that may go out already (whole comments, once the response is committed), and
        what the observer saw. The verdict on a first event stays, whatever follows it.
        """
        assert self.observer is not None
        self._held += data
        if not self.framing.of_events:
            seen = self.observer.feed(data)
            return (Held.FAILED if seen & FAILED else Held.READY), b"", seen
        seen = self._look(self.observer, data)
        self.ended = self.ended or bool(seen & TERMINAL)
        if self._first is not None:
            return (Held.FAILED if self._first & FAILED else Held.READY), b"", seen
        out = self.comments() if committed else b""
        if len(self._held) - self._passive > HOLD_LIMIT:
            return Held.READY, out, seen
        return (Held.CROWDED if len(self._held) > HOLD_LIMIT else Held.WAITING), out, seen

    def comments(self) -> bytes:
        """Return the comments held so far; they may go out as soon as the response is committed, and decide nothing."""
        return self._take(self._passive) if self._passive else b""

    def release(self, now: float) -> bytes:
        """Return everything held. From here on the attempt's bytes pass through `forward`."""
        self._started = bool(self._held)
        out = self._take(len(self._held))
        self._sent_at = now
        return out

    def forward(self, data: bytes, now: float) -> int:
        """Note *data* as sent to the client and return what the observer saw in it."""
        assert self.observer is not None
        self._sent_at = now
        self._tail = boundary.advance(self._tail, data)
        seen = self.observer.feed(data)
        self.ended = self.ended or bool(seen & TERMINAL)
        return seen

    def pass_events(self, now: float) -> None:
        """Note whole events as sent to the client, the last of them at *now*; the observer need not see them."""
        self._sent_at = now
        self._tail = boundary.START

    def frame(self, now: float, wall: float) -> bytes:
        """Return a keepalive if one is due and allowed here, else nothing. *wall* is seconds since the epoch."""
        if self._sent_at is None:
            self._sent_at = now
        if now - self._sent_at < self._interval or self._over or not self.between_events or self.framing is Framing.FRAMES:
            return b""
        return self.first_frame(now, wall)

    def first_frame(self, now: float, wall: float) -> bytes:
        """Return the keepalive that an early commit sends at once."""
        if self._frames is None:
            return b""
        self._sent_at = now
        opening, self._sent = not self._sent, True
        if self.framing is not Framing.EVENTS:
            return SPACE
        if opening:
            return self._frames.opening(wall)
        observer = self.observer if self._started else None
        id_seen = self._id_seen or (observer is not None and observer.splitter.id_seen)
        return self._frames.frame(observer, id_seen=id_seen, wall=wall)

    @property
    def _between_frames(self) -> bool:
        observer = self.observer
        return observer is not None and not observer.splitter.held and not observer.garbled

    @property
    def _over(self) -> bool:
        return self._started and self.observer is not None and self.observer.terminal

    def _look(self, observer: Observer, data: bytes) -> int:
        """Show *data* to the observer block by block, and judge the blocks up to the first event; return all it saw."""
        seen = NOTHING
        for block in observer.blocks(data):
            flags = observer.event(block)
            seen |= flags
            if self._first is None:
                self._judge(block, flags)
        return seen

    def _judge(self, block: bytes, flags: int) -> None:
        if flags & PING or is_comment(block):
            if self._passing:
                mark = len(boundary.BOM) if not self._passive and self._held.startswith(boundary.BOM) else 0
                self._passive += mark + len(block)
        elif self.framing is Framing.FRAMES or parse(block) is not None:
            self._first = flags
        else:
            self._passing = False  # an id or a retry: no event yet, but it would outlive this attempt in the client

    def _take(self, size: int) -> bytes:
        """Take the first *size* bytes out of the hold, to be sent to the client now."""
        out = bytes(self._held[:size])
        del self._held[:size]
        self._passive = 0
        if self._fresh and self._sent:
            # a BOM counts only as the very first bytes of a stream; after a frame of ours it would spoil the first field
            out = out.removeprefix(boundary.BOM)
        self._fresh = False
        self._sent = True
        self._sent_at = None
        self._id_seen = self._id_seen or (self.observer is not None and self.observer.splitter.id_seen)
        self._tail = boundary.advance(self._tail, out)
        return out
