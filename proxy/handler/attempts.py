"""One request's attempts: each candidate in order, then again with backoff, until one answers or none may be tried.

Everything here happens before the first event of an answer is relayed; from then on an answer can only end, well or badly.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.dialects.base import Framing
from proxy.downstream import Sent
from proxy.errors import (
    ProxyError,
    Untranslatable,
    UpstreamBusy,
    UpstreamCredentials,
    UpstreamError,
    UpstreamErrorEvent,
    UpstreamRefused,
)
from proxy.exchange import OK, Attempt, Phase
from proxy.handler.answers import cut
from proxy.handler.asking import question
from proxy.handler.call import Call
from proxy.handler.fitting import JSON, media_type_of, observer_of, require_fitting
from proxy.headers import ResponseHead as Delivered
from proxy.headers import header_lines, stream_headers
from proxy.health import Permit, Verdict, verdict_of
from proxy.retry import Decision, GiveUp, Position, Situation, parse_retry_after
from proxy.router import Target
from proxy.streaming import Stream
from proxy.translate import Back
from proxy.upstream import Backend, BedrockSigner, BodyEnd, BodyReader, Outgoing, UpstreamStream

FIRST: Final = Position()
ERROR_BODY_LIMIT: Final = 256 * 1024
ERROR_BODY_WAIT: Final = 10.0  # seconds for the body of an error answer whose head is in

_WHOLE: Final = Framing.WHOLE  # to name a member of an enumeration is a slow look-up
_SUCCESS: Final = Verdict.SUCCESS
_SHOULD_NOT_RETRY: Final = (b"X-Should-Retry", b"false")


@dataclass(frozen=True, slots=True)
class Refused:
    """An upstream's error answer, kept to be passed on if it was the last."""

    status: int
    head: Delivered
    body: bytes


class Attempts:
    """The attempts of one request. Made by the handler once the candidates are known."""

    # The defaults stand on the class: most requests need one attempt, and it answers.
    _back: Back | None = None  # translates the current attempt's answer from another API
    _events_back: Back | None = None  # the same, or what changes the events of the client's own API
    _untold: ProxyError | None = None  # the last failure of a target that was asked
    _refused: Refused | None = None
    _whole: bytes | None = None  # the whole body, where it came with its head
    _attempt: Attempt | None = None
    _permit: Permit | None = None
    _backend: Backend | None = None
    _repeating: Backend | None = None  # whose budget the current attempt takes a place of

    def __init__(self, call: Call, stream: Stream, targets: Sequence[Target]) -> None:
        self._call = call
        self._stream = stream
        self._targets = targets
        self._runtime = call.runtime

    async def answer(self) -> Sent:
        """Try until an upstream answers, and relay its answer to the end. Raises the ProxyError that remains."""
        position = FIRST
        try:
            while True:
                try:
                    upstream = await self._attempt_at(position)
                except ProxyError as failure:
                    decision = self._after(failure, position)
                    if decision.next is None:
                        return await self._give_up(failure, decision.gave_up or GiveUp.NOT_RETRYABLE)
                    self._stream.drop_attempt()
                    await self._wait_for(decision, position)
                    position = decision.next
                else:
                    return self._answer_whole(upstream, self._whole) if self._whole is not None else await self._relay(upstream)
        finally:
            if self._attempt is not None:
                self._conclude("cancelled", Verdict.NOTHING)
            self._leave()
            self._end_repeat()

    # ---- one attempt

    async def _attempt_at(self, position: Position) -> UpstreamStream:
        target = self._targets[position.target]
        backend = self._runtime.backends[target.upstream]
        now = time.monotonic()
        out = self._begin_attempt(target, backend, now)
        self._enter(backend, position, now)
        if backend.signer is not None:
            await self._wait_for_credentials(backend.signer)
        upstream = await backend.pool.open(backend.request(out), self._stream)
        try:
            self._note_head(upstream, backend)
            if upstream.head.status >= 400:
                await self._refuse(upstream, backend)
            media_type = media_type_of(upstream.head, self._call.method)
            if not self._took_whole(upstream, media_type):
                observer, framing = observer_of(self._call, upstream.head.status, media_type, self._back)
                if self._call.downstream.committed:
                    require_fitting(upstream.head, framing, self._stream.relay.framing)
                back = self._back if framing is _WHOLE else self._events_back
                await self._stream.first_event(upstream, observer, framing, back)
            return upstream
        except UpstreamErrorEvent:
            raise  # the stream holds it, in case that it has to be passed on
        except BaseException:
            upstream.close()
            raise

    def _begin_attempt(self, target: Target, backend: Backend, now: float) -> Outgoing:
        """Write the attempt down, and return the request for its target."""
        upstream, model = target
        call, exchange = self._call, self._call.exchange
        exchange.upstream, exchange.upstream_request_id = upstream, ""
        self._attempt = Attempt(upstream, model, now)
        exchange.attempts.append(self._attempt)
        out, back = question(call, backend, target)
        self._events_back = back
        self._back = None if back is None or back.same_api else back
        return out

    def _enter(self, backend: Backend, position: Position, now: float) -> None:
        """Take a place at the upstream, and leave of its circuit. Raises UpstreamBusy."""
        several = len(self._targets) > 1
        self._backend = backend
        backend.budget.enter()
        self._permit = self._runtime.health.admit(backend.name, now, only=not several or position.repeats > 0)
        if self._permit is None:
            raise UpstreamBusy("its circuit is open")
        if several:
            another = self._runtime.policy.another_target_left(position, len(self._targets), replayable=self._replayable)
            self._stream.deadlines.begin_attempt(now, another=another)

    async def _wait_for_credentials(self, signer: BedrockSigner) -> None:
        ready = signer.ready()
        if ready is None:
            return
        try:
            await self._stream.wait(ready, Phase.CONNECTING)
        finally:
            ready.cancel()  # a deadline may have passed before it was waited for at all

    def _note_head(self, upstream: UpstreamStream, backend: Backend) -> None:
        attempt, head = self._attempt, upstream.head
        assert attempt is not None
        attempt.status = head.status
        attempt.reused = upstream.reused
        attempt.headers_seconds = time.monotonic() - attempt.started
        self._call.exchange.upstream_request_id = backend.provider.request_id(head.fields)

    def _took_whole(self, upstream: UpstreamStream, media_type: bytes) -> bool:
        """Take an answer that came whole with its head; tells whether it was one."""
        dialect = self._call.dialect
        if media_type != JSON or self._call.downstream.committed or (dialect.json_streams and self._back is None):
            return False
        whole = upstream.take_whole()
        if whole is None:
            return False
        self._whole = whole if self._back is None else self._back.whole(whole)
        self._stream.note_whole(self._whole, dialect.usage_of_whole(self._whole))
        return True

    async def _refuse(self, upstream: UpstreamStream, backend: Backend) -> None:
        """Read an error answer and raise what it means."""
        reader = BodyReader(ERROR_BODY_LIMIT)
        upstream.attach(reader)
        timeout = asyncio.get_running_loop().call_later(ERROR_BODY_WAIT, reader.give_up)
        try:
            end = await self._stream.wait(reader.end, Phase.FIRST_TOKEN)
        finally:
            timeout.cancel()
            upstream.close()
        status, headers = upstream.head.status, upstream.head.fields
        refusal = backend.provider.refusal(status, headers, reader.body)
        retry_after = parse_retry_after(headers, reader.body, time.time())
        if refusal.reason == "credentials":
            if backend.signer is not None:
                backend.signer.doubt()
            raise UpstreamCredentials(f"status {status} from {backend.name}")
        # what is cut short, by them or by our own limit, is not passed on as if it were whole
        whole = end in (BodyEnd.COMPLETE, BodyEnd.CLOSED)
        self._refused = self._kept(upstream, reader.body) if whole else None
        retryable = refusal.transient and status in self._runtime.settings.retry.statuses
        raise UpstreamRefused(status, refusal.reason, retryable=retryable, retry_after=retry_after)

    def _kept(self, upstream: UpstreamStream, body: bytes) -> Refused:
        status, delivered = upstream.head.status, self._delivered(upstream, body_may_change=False)
        if self._back is not None:
            status, body = self._back.error(status, body)
        return Refused(status, delivered, body)

    @property
    def _replayable(self) -> bool:
        return self._call.more is None and len(self._call.body) <= self._runtime.settings.retry.max_body

    # ---- after a failure

    def _after(self, failure: ProxyError, position: Position) -> Decision:
        """Write the failure down and decide what follows."""
        now = time.monotonic()
        self._conclude(
            failure.reason if isinstance(failure, UpstreamRefused) else failure.code, verdict_of(failure), failure.retry_after
        )
        self._end_repeat()
        if not isinstance(failure, Untranslatable | UpstreamBusy):
            self._untold = failure
        if not isinstance(failure, UpstreamError | Untranslatable):
            return Decision(gave_up=GiveUp.NOT_RETRYABLE)
        return self._runtime.policy.decide(
            failure,
            Situation(
                position=position,
                budget_free=tuple(self._runtime.backends[target.upstream].budget.free for target in self._targets),
                now=now,
                deadline=self._stream.deadlines.answer_until,
                commit_at=self._stream.commit_at,
                event_relayed=self._stream.relay.started or self._call.downstream.gone,
                replayable=self._replayable,
                draw=random.random(),  # noqa: S311 - jitter
            ),
        )

    async def _wait_for(self, decision: Decision, position: Position) -> None:
        self._call.exchange.retries.append((self._call.exchange.upstream, decision.reason))
        assert decision.next is not None
        if decision.next.repeats > position.repeats:
            self._repeating = self._runtime.backends[self._targets[decision.next.target].upstream]
            self._repeating.budget.take()  # free, as long as the failed attempt is counted with which that was decided
        self._leave()
        if decision.wait > 0:
            over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            timer = over.get_loop().call_later(decision.wait, lambda: None if over.done() else over.set_result(None))
            try:
                await self._stream.wait(over, Phase.BACKOFF)
            finally:
                timer.cancel()

    async def _give_up(self, failure: ProxyError, why: GiveUp) -> Sent:
        """Pass on what the last attempt came to; but what an upstream said counts more than that another cannot be asked."""
        if isinstance(failure, Untranslatable | UpstreamBusy) and self._untold is not None:
            failure = self._untold
        call = self._call
        call.exchange.code, call.exchange.detail = failure.code, failure.detail
        if self._runtime.policy.should_tell_client_not_to_retry(failure, why):
            call.response_headers.append(_SHOULD_NOT_RETRY)
        if isinstance(failure, UpstreamErrorEvent) and self._stream.upstream is not None:
            return await self._relay(self._stream.upstream)
        if isinstance(failure, UpstreamRefused) and self._refused is not None:
            return self._pass_on(failure, self._refused)
        raise failure

    def _pass_on(self, failure: UpstreamRefused, refused: Refused) -> Sent:
        call = self._call
        call.exchange.close(failure.outcome, time.monotonic())
        if call.downstream.committed:
            return cut(call, failure, call.dialect.answer_event(refused.body))
        call.exchange.status = refused.status
        call.exchange.progress.bytes_out = len(refused.body)
        length = refused.head.content_length if call.method == b"HEAD" else len(refused.body)
        call.downstream.begin(refused.status, [*refused.head.headers, *call.response_headers], length=length, data=refused.body)
        return call.downstream.finish()

    # ---- the answer

    async def _relay(self, upstream: UpstreamStream) -> Sent:
        call, stream = self._call, self._stream
        if call.downstream.committed:
            stream.go_live()
        else:
            call.exchange.status = upstream.head.status
            self._begin(upstream)
        call.free()
        if self._permit is not None:
            self._runtime.health.report(self._permit, _SUCCESS, time.monotonic())
        try:
            await stream.run()
        except ProxyError as error:
            return self._bad_end(error)
        self._conclude(OK, _SUCCESS)
        return call.downstream.finish()

    def _answer_whole(self, upstream: UpstreamStream, body: bytes) -> Sent:
        """Answer in one write: the whole body came with its head, and nothing has been sent yet."""
        call = self._call
        call.exchange.status = upstream.head.status
        upstream.close()
        self._conclude(OK, _SUCCESS)
        return call.downstream.answer(upstream.head.status, self._lines(upstream) + header_lines(call.response_headers), body)

    def _lines(self, upstream: UpstreamStream) -> bytes:
        """Return the header lines of an answer that is passed on whole."""
        if self._back is not None:
            return header_lines(self._delivered(upstream, body_may_change=False).headers)
        assert self._backend is not None
        return self._backend.inbound.lines(upstream.head.headers)

    def _begin(self, upstream: UpstreamStream) -> None:
        call, status = self._call, upstream.head.status
        if self._stream.relay.framing.of_events:
            delivered = self._delivered(upstream, body_may_change=True)
            self._stream.go_live(status, [*stream_headers(delivered.headers), *call.response_headers])
        else:
            delivered = self._delivered(upstream, body_may_change=False)
            self._stream.go_live(status, [*delivered.headers, *call.response_headers], length=delivered.content_length)

    def _delivered(self, upstream: UpstreamStream, *, body_may_change: bool) -> Delivered:
        assert self._backend is not None
        head, translated = upstream.head, self._back is not None
        kept = self._backend.inbound.deliverable(head.headers, head.fields, body_may_change=body_may_change or translated)
        if not translated:
            return kept
        others = [pair for pair in kept.headers if pair[0].lower() != b"content-type"]
        return Delivered(others if body_may_change else [(b"Content-Type", JSON), *others], None)

    def _bad_end(self, error: ProxyError) -> Sent:
        """End an answer that broke after its first event."""
        call = self._call
        self._conclude(error.code, verdict_of(error))
        call.exchange.code, call.exchange.detail = error.code, error.detail
        call.exchange.close(error.outcome, time.monotonic())
        if isinstance(error, UpstreamErrorEvent):
            # the upstream has told the client itself, in its own words
            return call.downstream.finish() if self._stream.ended_clean else call.downstream.cut()
        return cut(call, error)

    # ---- accounts

    def _conclude(self, result: str, verdict: Verdict, retry_after: float | None = None) -> None:
        """Write down how the current attempt ended; only the first word counts."""
        attempt, permit = self._attempt, self._permit
        self._attempt = self._permit = None
        now = time.monotonic()
        if attempt is not None:
            attempt.result = result
            attempt.ended = now
        if permit is not None:
            self._runtime.health.report(permit, verdict, now, retry_after)

    def _leave(self) -> None:
        """Count the current attempt's end at its upstream."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.budget.leave()

    def _end_repeat(self) -> None:
        """Give back the place that a repeat has, or waits with."""
        repeating, self._repeating = self._repeating, None
        if repeating is not None:
            repeating.budget.give_back()
