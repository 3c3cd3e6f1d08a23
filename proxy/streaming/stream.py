"""Joins one relay, one upstream stream at a time, and one client.

An upstream byte takes this way, in one call chain: `UpstreamConnection.data_received` → `Passage.chunk` → the
client's transport; what is no small chunk, or comes before the answer is live, through `Stream.upstream_data`. The handler's
task sleeps meanwhile; it is woken for the first event and for the end. Whatever is due by the clock happens in `tick`.

This is the only place that knows that a stream has exactly one reader.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, TypeVar

from proxy.dialects.base import CONTENT, Framing, Observer
from proxy.downstream import Downstream, Headers
from proxy.errors import ClientStalled, Expired, ProxyError, UpstreamError, UpstreamErrorEvent, UpstreamTruncated
from proxy.exchange import Exchange, Phase, Usage
from proxy.headers import Header
from proxy.sse.relay import Held, Relay
from proxy.streaming.clocks import NEVER, Plan, WriteStall
from proxy.streaming.deadlines import Deadlines
from proxy.streaming.endings import CLEAN, broken, failure_of, told
from proxy.streaming.passage import Passage
from proxy.streaming.translation import translated
from proxy.translate import Back, EventTranslator
from proxy.upstream import BodyEnd, UpstreamStream

T = TypeVar("T")

_STREAMING: Final = Phase.STREAMING  # to name a member of an enumeration is a slow look-up
AFTER_END: Final = 2.0  # seconds that an upstream may keep its connection open behind a finished answer
HOLD_PAUSE: Final = 64 * 1024  # held bytes at which reading pauses until the response is committed


class Stream:
    """One client's answer in the making. The handler owns it and must `close` it, also when cancelled."""

    __slots__ = (
        "_as_is", "_clock", "_closed", "_commit_at", "_detached_until", "_done", "_end", "_first", "_headers", "_held_content", "_leniency", "_passage",
        "_paused_at", "_plan", "_relay", "_stall", "_translator", "_waiting", "deadlines", "downstream", "exchange", "failure", "progress", "upstream",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, downstream: Downstream, plan: Plan, headers: list[Header], leniency: float) -> None:
        """*headers* are the proxy's own; a keepalive may go *leniency* seconds before it is due."""
        self.exchange = exchange
        self.progress = exchange.progress
        self.downstream = downstream
        self._plan = plan
        self._headers = headers
        self._leniency = leniency
        self._clock = time.monotonic
        now = self._clock()
        self.deadlines = Deadlines(plan.clocks, now, exchange.started)
        self._commit_at = now + plan.clocks.commit_after
        self._relay: Relay | None = None
        self._waiting: asyncio.Future[Any] | None = None  # what the handler's task sleeps on, where a deadline may wake it
        self._first: asyncio.Future[None] | None = None  # the current attempt's first event
        self._done: asyncio.Future[None] | None = None  # the end of the answer, once it is live
        self.upstream: UpstreamStream | None = None  # the current attempt's; closed here and nowhere else
        self._translator: EventTranslator | None = None  # of the current attempt, where its target speaks another API
        self._end: BodyEnd | None = None  # how the current attempt's body ended
        self._closed = self._held_content = False
        self._as_is = False  # the current attempt's bytes are the client's
        self._passage: Passage | None = None  # of a live answer: from then on chunks pass straight through
        self._paused_at: float | None = None
        self._detached_until: float | None = None
        self.failure: ProxyError | None = None  # why a deadline ended it; the handler may be cancelled before it hears of it
        self._stall: WriteStall | None = None

    def __repr__(self) -> str:
        return f"<Stream {self.exchange.request_id} {self.exchange.phase.value} live={self._passage is not None} committed={self.downstream.committed}>"

    # ---- the handler's side

    @property
    def relay(self) -> Relay:
        """What decides byte by byte, and has seen all that went out; made when first asked for: most whole answers need none."""
        if self._relay is None:
            plan = self._plan
            self._relay = Relay(plan.keepalive, plan.framing, plan.clocks.interval - self._leniency, self.deadlines.started)
        if self._passage is not None:
            self._passage.look()
        return self._relay

    @property
    def commit_at(self) -> float | None:
        """Until when an upstream's Retry-After may be waited out; None once the response is committed: then there is time."""
        return None if self.downstream.committed else self.deadlines.patience_until

    @property
    def detached(self) -> bool:
        """Whether the client has left and the upstream is read on, to learn the usage."""
        return self._detached_until is not None

    @property
    def ended_clean(self) -> bool:
        """Whether the upstream's whole body is here and its framing ended as announced, whatever its events said."""
        return self._end in CLEAN

    async def wait(self, work: asyncio.Future[T], phase: Phase) -> T:
        """Wait for *work*, but no longer than the deadlines allow: then UpstreamTimeout. *work* gets that error set."""
        if self.failure is not None:
            raise self.failure  # it came while there was nothing to wake
        self.exchange.phase = phase
        began = self._clock()
        self._waiting = work
        try:
            return await work
        finally:
            self._waiting = None
            self.waited(began)

    def began_dialing(self) -> tuple[float, float]:
        """Note that a connection is being opened; returns when that has begun, and when its time is over."""
        self.exchange.phase = Phase.CONNECTING
        return self._clock(), self.deadlines.attempt_until

    def waited(self, began: float) -> None:
        """Count a wait for the upstream that has ended, as far as the client had nothing yet."""
        exchange = self.exchange
        until = self._clock() if exchange.committed is None else exchange.committed
        if until > began:
            exchange.waited += until - began

    async def first_event(self, upstream: UpstreamStream, observer: Observer, framing: Framing, back: Back | None = None) -> None:
        """Take *upstream* over and return when its first event is complete: the response may be committed.

        *back* translates its answer; *observer* and *framing* are then of what comes out. Raises UpstreamErrorEvent when
        that event is an error: the upstream stays, and the caller either drops it or relays it as it is. Raises another
        UpstreamError when no event will come. *upstream* is closed by `close`.
        """
        self.upstream, self._end, self._held_content = upstream, None, False
        self.relay.begin(observer, framing)
        self.deadlines.byte_at = self._clock()
        self._first = asyncio.get_running_loop().create_future()
        sink, self._translator = (self, None) if back is None else translated(self, back, framing)
        self._as_is = sink is self
        upstream.attach(sink)
        if self._paused_at is not None:
            upstream.pause()
        if self._first.done() and self._first.exception() is None:
            return  # it came with the head: no need to sleep
        await self.wait(self._first, Phase.FIRST_TOKEN)

    def go_live(self, status: int = 0, headers: Headers = (), *, length: int | None = None) -> None:
        """Send what is held, behind the head unless that is out already. From here on chunks pass straight through."""
        now = self._clock()
        self._forgive()
        self._done = asyncio.get_running_loop().create_future()
        data = self.relay.release(now)
        if length is not None:
            self.relay.framing = Framing.OPAQUE  # nothing may be put into a body whose length is told
        self.progress.count(data)
        if self.downstream.committed:
            if data:
                self.downstream.write(data)
        else:
            self.downstream.begin(status, headers, length=length, data=data)
            self.exchange.committed = now
        if self._held_content:
            self.progress.content(now)
        self._passage = Passage(self.relay, self.downstream, self.progress, self._clock)
        if self._as_is and self._passage.direct and self.upstream is not None:
            self.upstream.pass_chunks(self._passage.chunk)

    async def run(self) -> None:
        """Relay until the end. Raises the ProxyError of an end that was not good."""
        assert self.upstream is not None
        assert self._done is not None
        if self._end is not None:
            self._finish(self._end)
        elif self._paused_at is None:
            self.upstream.resume()
        # shielded where the upstream may be read on: a handler that is cancelled takes with it what it waits for
        await (asyncio.shield(self._done) if self._plan.clocks.drain else self._done)

    def note_whole(self, body: bytes, usage: Usage | None) -> None:
        """Note an answer whose *body* came whole, with its head: it goes out without passing through here."""
        exchange, now = self.exchange, self._clock()
        exchange.usage = usage
        self._relay = None  # it is not an earlier attempt's usage that counts
        exchange.committed, exchange.whole = now, True
        self.progress.count(body)
        self.progress.content(now)

    def drop_attempt(self) -> None:
        """Close the current upstream, if there is one: another attempt follows, unless the answer has been ended; then raises why."""
        self._close_upstream()
        if self._relay is not None:
            self._relay.ended = False
        self._forgive()

    def close(self) -> None:
        """End it for good: the upstream is given back or closed, the exchange's sums are complete. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self.upstream is not None:
            self._close_upstream()
        if self._done is not None:
            self._done.cancel()
        now = self._clock()
        self.account(now)
        exchange = self.exchange
        observer = self._relay.observer if self._relay is not None else None
        if observer is not None:
            exchange.usage = observer.usage if self._translator is None else self._translator.usage
            exchange.observer_skips = observer.splitter.lost
        if exchange.client_gone_at is not None and exchange.upstream_closed_at is None:
            exchange.upstream_closed_at = now

    async def drained(self) -> None:
        """Wait until a detached stream has ended, well or badly."""
        await asyncio.gather(*(() if self._done is None else (self._done,)), return_exceptions=True)

    # ---- the upstream's side

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        """Hand *data* to the client, or hold it back until the answer is live."""
        if self._passage is None:
            self._hold(data)
        else:
            self._passage.content(data, framed)

    def upstream_heard(self) -> None:
        """Note that something came of which the client gets nothing, because it is translated."""
        self.deadlines.byte_at = self._clock()

    def upstream_end(self, end: BodyEnd) -> None:
        """Take note that the upstream's body has ended."""
        self._end = end
        if self._done is not None:
            self._finish(end)
        elif self._first is not None and not self._first.done():
            if end in CLEAN and not self.relay.framing.of_events:
                self._first.set_result(None)
            else:
                self._first.set_exception(broken(end))

    # ---- the client's side

    def client_paused(self) -> None:
        """Stop reading from the upstream; its clocks stand still meanwhile."""
        self._paused_at = self._clock()
        if self.upstream is not None:
            self.upstream.pause()

    def client_resumed(self) -> None:
        """Read from the upstream again."""
        self.account(self._clock())
        self._paused_at = None
        if self.upstream is not None:
            self.upstream.resume()

    def client_gone(self) -> None:
        """Close the upstream now, or read on for a while where the settings want the usage."""
        now = self._clock()
        self.exchange.client_gone_at = self.exchange.client_gone_at or now
        drain = self._plan.clocks.drain
        if self._passage is not None and drain and self._done is not None and not self._done.done():
            self._detached_until = now + drain
            self._passage.part()
            self.client_resumed()
        else:
            self._close_upstream()

    # ---- the clock's side

    def tick(self, now: float, wall: float) -> None:
        """Do what is due: commit, keepalive, and every deadline."""
        if self._detached_until is not None:
            self.account(now)
            if now >= self._detached_until:
                self.fail(UpstreamTruncated("the client had left; not read to the end"))
            return
        if self.downstream.gone or (self._done is not None and self._done.done()):
            return  # it is over, and the handler's task about to hear of it
        self.account(now)
        relay = self.relay
        if not self.downstream.committed:
            if now >= self._commit_at and (self.upstream is None or relay.framing is self._plan.framing):
                self._commit_early(now, wall)
        elif not self._client_stalled(now):
            self._keepalive(b"" if relay.ended else relay.frame(now, wall))
        if now >= self.deadlines.expires:
            self.fail(Expired())
        elif self._passage is not None and relay.ended and now - self.deadlines.byte_at > AFTER_END:
            self.upstream_end(BodyEnd.COMPLETE)
        elif self._paused_at is None:
            missed = self.deadlines.missed(now, has_content=self.progress.first_token is not None, live=self._passage is not None)
            if missed is not None:
                self.fail(missed)

    def fail(self, error: ProxyError) -> None:
        """End the answer with *error*, or the attempt, where it can still be replaced. What its events have told comes first."""
        observer = None if self._passage is None else self.relay.observer
        if observer is not None and (self.relay.ended or observer.error) and not isinstance(error, ClientStalled):
            self.upstream_end(BodyEnd.COMPLETE if self.relay.ended else BodyEnd.CUT)
            return
        self.failure = self.failure or error
        waker: asyncio.Future[Any] | None = self._done if self._done is not None else self._waiting
        if waker is not None and not waker.done():
            waker.set_exception(error)
            if self._done is not None:
                self._close_upstream()

    def account(self, now: float) -> None:
        """Bring phase, last bytes and the sums of waiting (whose fault it was, the client's or the upstream's) up to *now*."""
        exchange = self.exchange
        now = exchange.ended or now  # what comes behind the end is nobody's wait
        if self._passage is not None:
            self._passage.look()
        self.deadlines.catch_up(self.progress)
        if self.progress.first_token is not None:
            exchange.phase = _STREAMING
        if self._paused_at is not None:
            pause = max(0.0, now - self._paused_at)
            self._paused_at = now
            exchange.backpressure_seconds += pause
            self.deadlines.shift(pause)
        silence = now - self.deadlines.started - exchange.backpressure_seconds
        exchange.silence_seconds = silence if silence > 0 else 0.0

    # ---- helpers

    def _forgive(self) -> None:
        """Forget what an attempt's clock has said, and stop it: it did not end the answer. Raises what did, if nobody has heard of it."""
        self.deadlines.settle()
        if self.failure is not None and not isinstance(self.failure, UpstreamError):
            raise self.failure
        self.failure = None

    def _close_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()
            if self.exchange.client_gone_at is not None and self.exchange.upstream_closed_at is None:
                self.exchange.upstream_closed_at = self._clock()

    def _commit_early(self, now: float, wall: float) -> None:
        """Send the 200, a first keepalive, and the comments of the current attempt, although none has succeeded yet."""
        self._commit_at = NEVER
        self.relay.framing = self._plan.framing  # an attempt that has ended may have left its own
        frame = self.relay.first_frame(now, wall)
        comments = b"" if self.upstream is None else self.relay.comments()
        self.progress.count(comments)
        self.downstream.begin(200, [*self._plan.early_headers, *self._headers], data=frame + comments)
        if self.upstream is not None and self._paused_at is None:
            self.upstream.resume()  # the hold may have been too full to read on
        self.exchange.committed, self.exchange.committed_early = now, True
        self.exchange.status = 200
        self.exchange.keepalives_before += bool(frame)

    def _hold(self, data: bytes) -> None:
        """Take bytes that do not go straight through, because the first event is awaited."""
        now = self.deadlines.byte_at = self._clock()
        verdict, out, seen = self.relay.hold(data, committed=self.downstream.committed)
        self._held_content = self._held_content or bool(seen & CONTENT)
        if out:
            self.progress.count(out)
            self.downstream.write(out)
        if self.relay.held > HOLD_PAUSE and self.upstream is not None:
            self.upstream.pause()
        if verdict is Held.CROWDED and self._commit_at != NEVER:
            self._commit_at = now  # only comments so far, and too many to keep: the next tick lets them out
        elif self._first is None or self._first.done():
            return
        elif verdict in (Held.READY, Held.CROWDED):  # what is never committed early goes out under the upstream's own head
            self._first.set_result(None)
        elif verdict is Held.FAILED:
            assert self.relay.observer is not None
            self._first.set_exception(told(self.relay.observer) or UpstreamErrorEvent())

    def _finish(self, end: BodyEnd) -> None:
        observer = self.relay.observer
        if self._done is None or self._done.done() or observer is None:
            return
        failure = failure_of(observer, end)
        if failure is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(failure)

    def _client_stalled(self, now: float) -> bool:
        """Tell whether bytes wait for the client; give it up when it has taken none for `write_stall`."""
        pending, limit = self.downstream.pending, self._plan.clocks.write_stall
        if self._stall is None:
            self._stall = WriteStall(self.deadlines.started)
        if self._stall.seconds(self.downstream.taken, pending, now) >= limit:
            self.fail(ClientStalled(f"took no byte for {limit:g}s"))
            self.downstream.abort()
        return pending > 0

    def _keepalive(self, frame: bytes) -> None:
        if frame:
            self.downstream.write(frame)
            self.exchange.keepalives_before += self.progress.first_token is None
            self.exchange.keepalives_after += self.progress.first_token is not None
