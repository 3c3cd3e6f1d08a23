"""The only composition root: builds every object from the settings, opens the listeners, and ends in good order.

SIGTERM, SIGINT   drain: not ready, still accepting for `drain.grace` (SIGTERM only); then the listener closes, and what
                  runs goes on until `drain.deadline`; then it is ended honestly. A second signal: now.
SIGHUP            read the configuration again; a bad one changes nothing
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser

from proxy import __version__, supervisor
from proxy.access_log import AccessLog
from proxy.admin import AdminListener, Views
from proxy.auth import Tickets, TicketStore
from proxy.banner import banner
from proxy.downstream import PublicServer
from proxy.errors import Drained
from proxy.exchange import Exchange
from proxy.handler import Current, Handler, Recorder, Runtime, build, live
from proxy.lifecycle import Lifecycle, State
from proxy.logs import LineWriter, configure, style
from proxy.metrics import Metrics
from proxy.process import affordable_streams, listen, signals, url
from proxy.reloading import Reloading
from proxy.settings import Address, Settings
from proxy.simulator import Simulator
from proxy.store import UsageWriter, open_database
from proxy.streaming import Stream, Ticker, period_for
from proxy.tasks import Tasks
from proxy.upstream import Addresses, Network

try:
    import uvloop
except ImportError:  # not every platform has it; the standard loop passes the same tests
    uvloop = None  # type: ignore[assignment]

log = logging.getLogger("proxy.server")

BACKLOG: Final = 4096
QUIET: Final = 0.5  # seconds without a request before a draining process closes connections that are only kept alive
REPORT_EVERY: Final = 5.0


def run(load: Callable[[], Settings]) -> int:
    """Serve until told to stop; returns the exit code. Raises SettingsError before anything listens."""
    settings = load()
    if settings.workers > 1:
        return supervisor.run(settings, load, introduce)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(settings, load))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of a process that serves; None for the standard one."""
    return uvloop.new_event_loop if uvloop is not None else None


def introduce(settings: Settings, listening: str, admin: str) -> None:
    """Tell whoever started it what listens, unless this is a machine that reads JSON."""
    if sys.stderr.isatty() or settings.log.format != "json":
        simulated = tuple(name for name, upstream in settings.upstreams.items() if upstream.kind == "simulator")
        print(banner(settings, listening=listening, admin=admin, simulated=simulated), file=sys.stderr, flush=True)


def settle() -> None:
    """Tell the collector that what lives as long as the process need not be looked at again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a worker gets from its supervisor in place of what a process alone opens itself."""

    listener: socket.socket
    log_turns: int  # see LineWriter


async def _serve(settings: Settings, load: Callable[[], Settings]) -> int:
    server = Server(settings, load)
    with server.signals():  # before anything listens: until then any of them ends the process as it stands
        try:
            await server.start()
        except OSError as exc:
            await server.close()
            print(f"llm-proxy: cannot listen: {exc.strerror or exc}", file=sys.stderr)
            return 1
        introduce(settings, url(*server.address), server.admin_url)
        settle()
        try:
            await server.serve()
        finally:
            await server.close()
    return 0


class Server:
    """One process. Tests start the proxy through here too, because aiohttp's own test server hides what it switches on."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings] | None = None,
        *,
        log_to: int | None = None,
        place: Place | None = None,
    ) -> None:
        if HttpRequestParser.__module__ != "aiohttp._http_parser":
            raise RuntimeError("aiohttp's C parser is missing: install a binary wheel, and unset AIOHTTP_NO_EXTENSIONS")
        self.settings = settings
        self._place = place
        self.address: tuple[str, int] = ("", 0)
        self.admin_url = ""
        self.lifecycle = Lifecycle(min(settings.limits.streams, affordable_streams()))
        self.tickets: Tickets = TicketStore()  # a worker's are its supervisor's
        self._tasks = Tasks()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._graceful = True
        self._simulators: dict[str, Simulator] = {}
        self._simulated: dict[str, str] = {}
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
        self._network = Network(Addresses(asyncio.get_running_loop()), tls)
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.metrics = Metrics(live=self._live, circuits=self._circuits, draining=lambda: self.lifecycle.draining)
        self._reloading = Reloading(load, self.metrics, self.put_in_force)
        turns = place.log_turns if place is not None else None
        self._writer = LineWriter(log_to if log_to is not None else sys.stdout.fileno(), turns=turns)
        self.metrics.log_lines_dropped = lambda: self._writer.dropped

    # ---- life

    async def start(self) -> None:
        """Open everything; when it returns, requests are served. On failure call `close`."""
        settings = self.settings
        fmt, colour = style(settings.log.format)
        self._writer.start()
        restore = configure(fmt, settings.log.level, self._writer, colour=colour)
        self._closers.append(_as_closer(restore))
        await self._start_simulators(settings)
        runtime = self._build(settings)
        await runtime.start()
        self._current = Current(runtime)
        self.ticker = Ticker(period_for(_durations(settings)), each_period=self._each_period, lag=self.metrics.observe_loop_lag)
        access_log = AccessLog(self._writer, fmt, level=settings.log.level, colour=colour)
        recorder = Recorder(self.metrics, access_log, self._open_usage_store(settings))
        self._handler = Handler(self._current, self.lifecycle, self.ticker, recorder, self._tasks)
        self._public = PublicServer(
            self._handler,
            refuse=self._handler.refuse_unread,
            refuse_raw=self._handler.refuse_raw,
            keepalive_timeout=settings.limits.keepalive_timeout,
            access_log=None,
        )
        if self._place is None:
            await self._open_admin(settings.admin.listen)
        self._listener = self._place.listener if self._place is not None else listen(settings.listen)
        self._runner = web.ServerRunner(self._public, shutdown_timeout=0.1)
        await self._runner.setup()
        self._closers.append(self._runner.cleanup)
        self._site = web.SockSite(self._runner, self._listener, backlog=BACKLOG)
        await self._site.start()
        self.address = self._listener.getsockname()[:2]
        self.ticker.start()
        self.lifecycle.state = State.READY

    async def serve(self) -> None:
        """Serve until a signal says stop, then drain."""
        await self._stopping.wait()
        await self.drain(grace=self._graceful)

    async def drain(self, *, grace: bool = True) -> None:
        """Stop taking work and let what runs come to its end, as the settings allow. Then nothing is in flight."""
        drain = self.settings.drain
        deadline = time.monotonic() + drain.deadline
        self.lifecycle.state = State.DRAINING
        log.info("draining", extra={"in_flight": len(self.lifecycle), "deadline_s": drain.deadline})
        if grace and drain.grace:
            await self._unless_hurried(asyncio.sleep(min(drain.grace, drain.deadline)))
        await self._close_listener()
        self.lifecycle.reachable = False
        while not self._hurry.is_set() and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            if not len(self.lifecycle):
                await self._unless_hurried(asyncio.sleep(min(QUIET, left) if self._public.connections else 0))
                if not len(self.lifecycle):
                    break
            else:
                log.info(
                    "waiting for requests in flight", extra={"in_flight": self._in_flight_by_route(), "left_s": round(left, 1)}
                )
                await self._unless_hurried(asyncio.wait_for(self.lifecycle.idle(), min(REPORT_EVERY, left)))
        await self._end_streams()
        self.lifecycle.state = State.STOPPED
        log.info("stopped")

    async def close(self) -> None:
        """Close whatever was opened. Idempotent."""
        self.lifecycle.state = State.STOPPED
        if hasattr(self, "ticker"):
            self.ticker.stop()
        for closer in reversed(self._closers):
            await closer()
        self._closers.clear()
        await self._tasks.close()
        if hasattr(self, "_current"):
            await self._current.close()
        for simulator in self._simulators.values():
            await simulator.close()
        self._simulators.clear()
        self._writer.stop()

    def stop(self, *, grace: bool) -> None:
        """End what `serve` does, with or without the time that a load balancer needs; asked for again, nothing changes."""
        if not self._stopping.is_set():
            self._graceful = grace
            self._stopping.set()

    def hurry(self) -> None:
        """End without waiting for what runs."""
        self._hurry.set()

    async def reload(self) -> bool:
        """Read the configuration again and put it in force for new requests; a bad one leaves the old one running."""
        return await self._reloading.reload(self.settings, Address(*self.address))

    async def put_in_force(self, settings: Settings) -> None:
        """Serve new requests under *settings*; those that run end under what they began with."""
        await self._start_simulators(settings)
        runtime = self._build(settings)
        await runtime.start()
        self.settings = settings
        self.lifecycle.max_streams = min(settings.limits.streams, affordable_streams())
        self.ticker.period = period_for(_durations(settings))
        self._tasks.spawn(self._current.swap(runtime), name="retire the old configuration")

    def end_streams(self, subject: str, request_id: str) -> int:
        """End the streams that *subject* has here under that id, and return how many there were."""
        return self._handler.end(subject, request_id)

    def departure(self, subject: str, request_id: str) -> dict[str, Any] | None:
        """Return what is known here of *subject*'s test stream under that id."""
        return self._handler.departure(subject, request_id)

    # ---- parts

    def _open_usage_store(self, settings: Settings) -> UsageWriter | None:
        if settings.usage.store is None:
            return None
        writer = UsageWriter(open_database(settings.usage.store.get_secret_value()), settings.usage.retention)
        writer.start()
        self._closers.append(writer.close)
        self.metrics.usage_rows_dropped = lambda: writer.dropped
        return writer

    async def _open_admin(self, address: Address) -> None:
        views = Views(ready=self._ready_word, upstreams=self.upstreams, streams=self.streams, config=self._config)
        admin = AdminListener(address, self.metrics, views)
        self._closers.append(admin.close)  # also one that could not listen has something to close
        self.admin_url = "http://" + await admin.start()

    def _build(self, settings: Settings) -> Runtime:
        return build(settings, self._simulated, self._network, self.tickets)

    async def _start_simulators(self, settings: Settings) -> None:
        for name, upstream in settings.upstreams.items():
            if upstream.kind == "simulator" and name not in self._simulators:
                simulator = self._simulators[name] = Simulator()
                self._simulated[name] = await simulator.start()

    def _each_period(self, now: float) -> None:
        limits = self.settings.limits
        self._public.expire_heads(now, limits.header_timeout)
        self._current.sweep(now)

    async def _close_listener(self) -> None:
        """Take no more connections. The standard loop forgets those that it has accepted in the turn before, so it gets one more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        await asyncio.sleep(0)
        await self._site.stop()

    async def _end_streams(self) -> None:
        """End what is still there: told in the stream where that is possible, and never as if it were finished."""
        for call in self.lifecycle.in_flight:
            stream = getattr(call, "stream", None)
            if isinstance(stream, Stream):
                stream.fail(Drained())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.lifecycle.idle(), 0.5)

    async def _unless_hurried(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait for *work*, but not past a second signal; a timeout of its own is no failure."""
        waits = [
            self._tasks.spawn(_quietly(work), name="drain step"),
            self._tasks.spawn(_forever(self._hurry), name="second signal"),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    # ---- what others ask

    def _live(self) -> Iterator[Exchange]:
        return (call.exchange for call in self.lifecycle.in_flight)

    def _circuits(self) -> dict[str, int]:
        if not hasattr(self, "_current"):
            return {}
        now = time.monotonic()
        return {name: int(view.state) for name, view in self._current.runtime.health.snapshot(now).items()}

    def _ready_word(self) -> str:
        state = self.lifecycle.state
        return state.value if state is not State.STOPPED else State.DRAINING.value

    def upstreams(self) -> list[dict[str, Any]]:
        """Return what `/upstreams` shows."""
        return live.upstreams(self._current.runtime, time.monotonic())

    def streams(self) -> list[dict[str, Any]]:
        """Return what `/streams` shows."""
        return live.streams(self.lifecycle.in_flight, time.monotonic())

    def _config(self) -> dict[str, Any]:
        return {"version": __version__, "source": self.settings.source, "config": self.settings.masked()}

    def _in_flight_by_route(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for exchange in self._live():
            counts[exchange.route] = counts.get(exchange.route, 0) + 1
        return counts

    # ---- signals

    def signals(self) -> contextlib.AbstractContextManager[None]:
        """Take the process's signals for this server, inside the context."""
        return signals(self._on_stop, self._on_reload)

    def _on_stop(self, number: int) -> None:
        if self._stopping.is_set():
            self.hurry()
        self.stop(grace=number == signal.SIGTERM)

    def _on_reload(self) -> None:
        if self.lifecycle.state is not State.READY:
            return  # its configuration was read a moment ago, or will not be needed any more
        self._tasks.spawn(self.reload(), name="reload")


def _durations(settings: Settings) -> Iterator[float]:
    """Return every duration that the ticker enforces."""
    for streaming in (settings.streaming, *(settings.streaming_for(model) for model in settings.models)):
        yield from (
            streaming.commit_after, streaming.keepalive_interval, streaming.attempt_timeout, streaming.first_token_timeout,
            streaming.response_timeout, streaming.idle_timeout, streaming.content_timeout, streaming.json_keepalive_after, streaming.drain_limit,
        )  # fmt: skip
    yield from (settings.limits.header_timeout, settings.limits.write_stall, settings.limits.stream_age)


def _as_closer(function: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def close() -> None:
        function()

    return close


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(TimeoutError):
        await work


async def _forever(event: asyncio.Event) -> None:
    await event.wait()
