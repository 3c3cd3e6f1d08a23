"""Decides from the clocks of one request when its upstream has had its time. Times are the monotonic clock's."""

from __future__ import annotations

from proxy.errors import ProxyError, UpstreamStalled, UpstreamTimeout
from proxy.exchange import Progress
from proxy.streaming.clocks import NEVER, Clocks


class Deadlines:
    """When an upstream must have sent what. They stand still while the client is what holds things up."""

    __slots__ = ("_attempt_until", "_clocks", "_first_until", "_whole_until", "byte_at", "content_at", "expires", "started")

    def __init__(self, clocks: Clocks, now: float, since: float) -> None:
        self._clocks = clocks
        self.started = now
        self.expires = since + clocks.age  # whatever happens, counted from the request's beginning
        self.byte_at = now  # the last byte of whatever kind
        self.content_at = now  # the last content
        self._first_until = now + clocks.first
        self._whole_until = now + clocks.whole
        self._attempt_until = NEVER

    @property
    def answer_until(self) -> float:
        """When all attempts together must have produced content, or the whole answer where that is what counts."""
        return min(self._first_until, self._whole_until)

    @property
    def attempt_until(self) -> float:
        """When the attempt that is under way must have produced content."""
        return min(self._attempt_until, self.answer_until)

    @property
    def patience_until(self) -> float:
        """Until when an upstream's Retry-After may be waited out before anything is committed."""
        return self.started + self._clocks.patience

    def begin_attempt(self, now: float, *, another: bool) -> None:
        """Start an attempt's clock; *another*: a further target is left, so this one may not use up all the time."""
        self._attempt_until = now + self._clocks.attempt if another else NEVER

    def settle(self) -> None:
        """Stop the attempt's clock: it has failed, or no other can follow any more."""
        self._attempt_until = NEVER

    def upload_moved(self, now: float) -> None:
        """Start the upstream's clock anew: so far it was the client's body that was waited for."""
        self._first_until = now + self._clocks.first

    def catch_up(self, progress: Progress) -> None:
        """Take note of what has come since the last look: the hot path writes it elsewhere."""
        if progress.last_content > self.content_at:
            self.content_at = progress.last_content
        if progress.heard_at > self.byte_at:
            self.byte_at = progress.heard_at

    def shift(self, pause: float) -> None:
        """Move everything by the *pause* that the client's side took."""
        self.byte_at += pause
        self.content_at += pause
        self._attempt_until += pause
        self._first_until += pause
        self._whole_until += pause

    def missed(self, now: float, *, has_content: bool, live: bool) -> ProxyError | None:
        """Return the deadline that is missed at *now*, if any; *live*: the answer is being relayed."""
        if now >= self._whole_until:
            return UpstreamTimeout("no complete answer in time")
        if not has_content:
            late = now >= self._first_until or now >= self._attempt_until
            return UpstreamTimeout("no first content in time") if late else None
        if live and now - self.byte_at >= self._clocks.idle:
            return UpstreamStalled(f"no byte for {self._clocks.idle:g}s")
        if live and now - self.content_at >= self._clocks.content:
            return UpstreamStalled(f"no content for {self._clocks.content:g}s")
        return None
