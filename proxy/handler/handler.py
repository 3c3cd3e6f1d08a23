"""The straight line: one request from admission to its record.

    admit → authenticate → read → route → attempts (which commit and stream) → record, in the `finally`, without an await

Cancellation is the ordinary way out: aiohttp cancels the handler's task as soon as the client's FIN or RST arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any, Final

from proxy.auth import Principal, RequestHead, strip_credential_query
from proxy.downstream import Downstream, Request, Sent
from proxy.downstream.response import CLOSED, status_and_headers
from proxy.errors import (
    ApiNotServed,
    Denied,
    Drained,
    Forbidden,
    InternalError,
    NotFound,
    ProxyError,
    RequestError,
    Stopped,
)
from proxy.exchange import Exchange, Outcome
from proxy.handler import catalogue, pages, tickets
from proxy.handler.answers import refusal, refuse
from proxy.handler.attempts import Attempts
from proxy.handler.call import Call
from proxy.handler.courses import require_fallbacks_allowed
from proxy.handler.departures import Departures
from proxy.handler.pricing import cost_usd
from proxy.handler.recorder import Recorder
from proxy.handler.runtime import Current
from proxy.handler.stream_check import stream_check
from proxy.handler.surface import Match
from proxy.handler.trial import trial
from proxy.handler.turns import Turns
from proxy.headers import noted, request_id_from, validate_framing, validate_media, validate_target
from proxy.lifecycle import Lifecycle, State
from proxy.router import Route, Target, candidates
from proxy.streaming import Lingering, Plan, Stream, Ticker
from proxy.tasks import Tasks

# What goes with any answer to a request whose query or cookie may hold a credential: nobody is to keep it, or to pass the address on.
_SECRET: Final = ((b"Referrer-Policy", b"no-referrer"), (b"Cache-Control", b"no-store"))
_JSON: Final = (b"application/json",)  # what nearly all say of their bodies
_OPEN: Final = ("test", "departure")  # pages that may be had without credentials
_COMPLETED: Final = Outcome.COMPLETED  # to name a member of an enumeration is a slow look-up

log = logging.getLogger("proxy.handler")


class Handler:
    """Serves the public listener."""

    def __init__(self, current: Current, lifecycle: Lifecycle, ticker: Ticker, recorder: Recorder, tasks: Tasks) -> None:
        self._current = current
        self._lifecycle = lifecycle
        self._ticker = ticker
        self._recorder = recorder
        self._tasks = tasks
        self._departures = Departures()
        self._turns = Turns()
        self._streams = 0  # that run at this moment
        self._clock = time.monotonic

    async def __call__(self, request: Request) -> Sent:
        """Serve one request. Raises only CancelledError."""
        runtime = self._current.enter()
        heads = request.connection.heads
        known = heads.recall(request.raw_headers, request.version)
        head = noted(request.raw_headers) if known is None else known
        exchange = Exchange(request_id_from(head) or _new_id(), self._clock(), time.time())
        exchange.method = request.method
        downstream = Downstream(request, self._lifecycle.draining)
        exchange.remote = runtime.trusted.client_address(downstream.connection.remote, head)
        call = Call(request, exchange, downstream, runtime)
        call.head, call.heads = head, None if known is None else heads
        call.response_headers.append((b"X-Request-Id", exchange.request_id.encode()))
        try:
            if self._streams and not self._turns.take():
                await self._turns.wait()
            response = await self._serve(call)
            exchange.close(_COMPLETED, self._clock())
            return response
        except ProxyError as error:
            return self._failed(call, error)
        except asyncio.CancelledError:
            self._cancelled(call)
            raise
        except Exception as exc:
            log.exception("request failed", extra={"request_id": exchange.request_id})
            return self._failed(call, InternalError(type(exc).__name__))
        finally:
            # give everything back and record, once; no await, so nothing can come between
            if call.stream is not None and call.stream.detached:
                self._tasks.spawn(self._drain(call, call.stream), name=f"drain {exchange.request_id}")
            else:
                self._finish(call)

    def refuse_unread(self, error: ProxyError, request: Request) -> Sent:
        """Answer and record a request whose head could not be read, and give its connection up."""
        downstream = Downstream(request, closing=True)
        return downstream.answer(*self._unread(error, downstream.connection.remote))

    def refuse_raw(self, error: ProxyError, remote: str) -> bytes:
        """Record a head that never became a request, and return the whole response to it."""
        status, headers, body = self._unread(error, remote)
        return b"%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status_and_headers(1, status, headers), len(body), body)

    def _unread(self, error: ProxyError, remote: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        runtime = self._current.runtime
        now = self._clock()
        exchange = Exchange(_new_id(), now, time.time())
        exchange.remote = remote
        exchange.status, exchange.code, exchange.detail = error.status, error.code, error.detail
        exchange.close(error.outcome, now)
        self._recorder.record(exchange)
        headers = [(b"X-Request-Id", exchange.request_id.encode()), *runtime.cors.headers(None)]
        return refusal(error, runtime.fallback_dialect, exchange.request_id, headers)

    def end(self, slot: str, request_id: str) -> int:
        """End the streams that the subject with *slot* has here under that id, and return how many there were."""
        stopped = 0
        for other in self._lifecycle.of_subject(slot, request_id):
            stream = getattr(other, "stream", None)
            if isinstance(stream, Stream):
                stream.fail(Stopped())
                stopped += 1
        return stopped

    def departure(self, slot: str, request_id: str) -> dict[str, Any] | None:
        """Return what became of the test stream that the subject with *slot* had here under that id; None if nothing is known."""
        return self._departures.view(slot, request_id, self._clock())

    # ---- the line

    async def _serve(self, call: Call) -> Sent:
        runtime = call.runtime
        if runtime.cors.origins:
            call.response_headers += runtime.cors.headers(call.header(b"origin"))
        self._read_head(call)
        query = _without_credential(call.query) if call.query else b""
        if len(query) != len(call.query) or (b"cookie" in call.head and runtime.settings.auth.cookie is not None):
            call.response_headers += _SECRET
        if call.method == b"OPTIONS" and (allowed := self._preflighted(call)) is not None:
            return allowed
        page = self._match(call).page
        if page == "health":
            return self._health(call)
        self._lifecycle.admit(call)
        if page == "stream-check":
            return stream_check(call)
        if page not in _OPEN or not runtime.settings.diagnostics.public:
            principal = self._recall(call) or await self._identify(call)
            self._seat(call, principal)
            if self._lifecycle.peers is not None:
                await self._lifecycle.share_subject(principal.slot, principal.max_streams)
        call.query = query
        if page != "model":
            return await self._page(call, page)
        if call.method == b"GET" and call.request.header(b"last-event-id"):
            return pages.no_more(call)
        if not call.take_body(runtime.settings.limits, runtime.bodies):
            await call.read_body(runtime.settings.limits, runtime.bodies)
        return await self._attempts(call).answer()

    def _preflighted(self, call: Call) -> Sent | None:
        wanted = call.request.header(b"access-control-request-method")
        allowed = call.runtime.cors.preflight(call.header(b"origin"), wanted)
        if allowed is None:
            return None
        call.exchange.status = 204
        return call.downstream.answer(204, allowed, b"")

    def _match(self, call: Call) -> Match:
        """Find out what is asked for; from here on the call is answered in the words of that API."""
        surface = call.runtime.surface
        try:
            match = call.match = surface.match(call.method, call.path)
        except RequestError:
            call.dialect = surface.words(call.path, call.dialect)
            raise
        call.dialect = catalogue.dialect(call.request, match.dialect) if match.page == "models" else match.dialect
        call.exchange.route, call.exchange.dialect = match.route, call.dialect.name
        return match

    def _health(self, call: Call) -> Sent:
        """Answer a load balancer, but not on an old connection of a process that cannot be reached by new ones.

        By then its successor may have the address, and an answer would be taken for the successor's. A connection that ends
        without one makes whoever asked ask again on a new one.
        """
        if self._lifecycle.reachable:
            return pages.health(call, serving=not self._lifecycle.draining)
        call.exchange.close(Outcome.REJECTED_DRAINING, self._clock())
        return CLOSED

    async def _page(self, call: Call, page: str) -> Sent:
        if page == "upstream":
            return await self._passthrough(call)
        if page == "models":
            return await catalogue.models(call, call.match.rest, self._tasks)
        if page == "ping":
            return pages.ping(call)
        if page == "tickets":
            return await tickets.issue(call)
        if page == "stop":
            return await self._stop(call, call.match.rest)
        if page == "departure":
            return await self._departed(call, call.match.rest)
        return await trial(call, self._departures)

    async def _departed(self, call: Call, wanted: bytes) -> Sent:
        """Tell the caller whether it was noticed that its test stream of this id was left, wherever it ran."""
        request_id, peers = wanted.decode("latin-1"), self._lifecycle.peers
        view = self.departure(call.slot, request_id)
        if view is None and peers is not None:
            view = await peers.departure(call.slot, request_id)
        if view is None:
            raise NotFound(public="No test stream of yours is known under this id.")
        return pages.answer_json(call, 200, view)

    async def _stop(self, call: Call, wanted: bytes) -> Sent:
        """End the caller's own streams under an id, wherever they run, and with them the upstream calls."""
        request_id, peers = wanted.decode("latin-1"), self._lifecycle.peers
        stopped = self.end(call.slot, request_id)
        if peers is not None:
            stopped += await peers.end(call.slot, request_id)
        if not stopped:
            raise NotFound(public="No stream of yours runs under this id.")
        return pages.answer_json(call, 200, {"stopped": stopped})

    def _read_head(self, call: Call) -> None:
        """Check what the parser lets through although it could be read in two ways; such a connection is not used again."""
        try:
            if call.heads is None:
                validate_framing(call.request.version, call.head)
                call.request.connection.heads.note(call.request.raw_headers, call.request.version, call.head)
            target = call.request.target
            # a path of the table needs no second look
            call.path, call.query = (target, b"") if target in call.runtime.surface.paths else validate_target(target)
        except ProxyError:
            call.downstream.closing = True
            raise

    def _recall(self, call: Call) -> Principal | None:
        """Return who asks, if it is who asked last on this connection."""
        if call.query:
            return None
        return call.downstream.connection.caller.recall(call.runtime.authenticator, call.head, call.exchange.wall)

    async def _identify(self, call: Call) -> Principal:
        authenticator, now = call.runtime.authenticator, call.exchange.wall
        principal = await authenticator.identify(RequestHead(call.head, call.method, call.path, call.query[1:]), now)
        if not call.query:
            call.downstream.connection.caller.note(authenticator, call.head, principal, now)
        return principal

    def _seat(self, call: Call, principal: Principal) -> None:
        """Take a slot of *principal*'s for the call."""
        call.exchange.subject = principal.subject
        self._lifecycle.admit_subject(principal.slot, principal.max_streams)
        call.principal, call.slot = principal, principal.slot  # from here on its slot is held

    def _attempts(self, call: Call) -> Attempts:
        """Read what a call with its body is for, and return the attempts at answering it."""
        exchange, match = call.exchange, call.match
        if b"content-encoding" in call.head or call.head.get(b"content-type", _JSON) != _JSON:
            validate_media(call.head)
        dialect = call.dialect = match.dialect.asked_with(call.query)
        params = {**match.parts, **call.head_params()} if dialect.reads_head else match.parts
        view = call.view = dialect.read_request(call.body, params)
        exchange.model_requested, exchange.stream = view.model, view.stream
        assert call.principal is not None
        course = call.runtime.courses.of(match.api, dialect, view, call.principal)
        if call.principal.models is not None:
            require_fallbacks_allowed(call.principal, view.values)
        route = call.route = course.route
        exchange.model, call.price = route.name, route.price
        targets = course.only or self._targets(call, route)
        stream = call.stream = self._stream(call, course.plan)
        return Attempts(call, stream, targets)

    def _targets(self, call: Call, route: Route) -> tuple[Target, ...]:
        if not route.targets:
            raise ApiNotServed(f"no target of {route.name} speaks {call.match.api}")
        now, health, view = self._clock(), call.runtime.health, call.view
        draw = random.random()  # noqa: S311 - spreads load
        return candidates(route, view.model, draw=draw, usable=lambda name: health.usable(name, now), stateful=view.stateful)

    async def _passthrough(self, call: Call) -> Sent:
        """Pass a request on to a named upstream, for the paths that its list allows, and for nothing else."""
        runtime, match = call.runtime, call.match
        backend = runtime.backends.get(match.name)
        if backend is None or not any(_below(match.rest, prefix) for prefix in backend.passthrough):
            raise NotFound
        assert call.principal is not None
        if call.principal.models is not None:
            raise Forbidden("model_not_allowed", public="These credentials are limited to models and may not use this path.")
        if backend.transparent:
            ours = runtime.cors.headers(call.header(b"origin"))
            call.response_headers = [each for each in call.response_headers if each not in ours]
        await call.stream_body(runtime.settings.limits, runtime.bodies, runtime.settings.retry.max_body)
        call.path = match.rest
        stream = call.stream = self._stream(call, runtime.plans.of_passthrough(match.dialect))
        return await Attempts(call, stream, (Target(match.name, ""),)).answer()

    # ---- helpers

    def _stream(self, call: Call, plan: Plan) -> Stream:
        # half a tick early on average is as punctual as half a tick late
        stream = Stream(call.exchange, call.downstream, plan, call.response_headers, self._ticker.period / 2)
        call.downstream.connection.exchanging = stream
        self._ticker.add(stream)
        if not plan.clocks.commit_after:
            stream.tick(self._clock(), time.time())  # at once means before the next tick
        self._streams += call.exchange.stream
        return stream

    def _failed(self, call: Call, error: ProxyError) -> Sent:
        exchange = call.exchange
        exchange.code, exchange.detail = error.code, error.detail
        if isinstance(error, Denied):
            exchange.auth_failure = error.reason
        exchange.close(error.outcome, self._clock())
        return refuse(call, error)

    def _cancelled(self, call: Call) -> None:
        """Find out why: a deadline of ours that closed the connection, the client, or the end of the process."""
        exchange, stream = call.exchange, call.stream
        now = self._clock()
        if stream is not None and stream.failure is not None:
            exchange.code, exchange.detail = stream.failure.code, stream.failure.detail
            exchange.close(stream.failure.outcome, now)
        elif self._lifecycle.state is State.STOPPED:  # it is we who close the connections now
            exchange.code = Drained.code
            exchange.close(Outcome.DRAINED, now)
        elif exchange.client_gone_at is not None or call.downstream.gone:
            exchange.client_gone_at = exchange.client_gone_at or now
            exchange.close(Outcome.CLIENT_GONE, now)
        else:
            exchange.close(Outcome.PROXY_ERROR, now)

    async def _drain(self, call: Call, stream: Stream) -> None:
        """Read on after the client has left, for the usage, then close as usual."""
        try:
            await stream.drained()
        finally:
            self._finish(call)

    def _finish(self, call: Call) -> None:
        exchange, stream = call.exchange, call.stream
        if stream is not None:
            stream.close()
            self._streams -= exchange.stream
            self._ticker.remove(stream)
            exchange.cost_usd = cost_usd(exchange.usage, call.price)
            call.downstream.connection.exchanging = None
        if call.downstream.pending:
            self._ticker.add(Lingering(call.downstream, self._ticker, call.runtime.settings.limits.write_stall, self._clock()))
        call.free()
        self._lifecycle.release(call)
        if call.slot:
            self._lifecycle.release_subject(call.slot)
        self._current.leave(call.runtime)
        self._recorder.record(exchange)


def _without_credential(query: bytes) -> bytes:
    """Return a query, with its question mark, without what may be a credential in it."""
    if len(query) < 2:
        return query
    rest = strip_credential_query(query[1:])
    return b"?" + rest if rest else b""


def _new_id() -> str:
    # 122 bits that collide with nobody's; an id is no secret, so the kernel need not be asked for each
    return random.getrandbits(128).to_bytes(16, "big").hex()


def _below(path: bytes, prefix: bytes) -> bool:
    """Tell whether *path* is *prefix* or lies below it, by whole segments."""
    prefix = prefix.rstrip(b"/")
    return path == prefix or path.startswith(prefix + b"/")
