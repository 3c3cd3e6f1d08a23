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
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser

from proxy import __version__
from proxy.access_log import AccessLog
from proxy.admin import AdminListener, Views
from proxy.banner import banner
from proxy.downstream import PublicServer
from proxy.errors import Drained
from proxy.exchange import Exchange
from proxy.handler import Call, Current, Handler, Recorder, Runtime, build, live
from proxy.lifecycle import Lifecycle, State
from proxy.logs import LineWriter, configure
from proxy.metrics import Metrics
from proxy.process import affordable_streams, listen, signals, url
from proxy.settings import Address, Settings, SettingsError
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
        print(
            "llm-proxy: this version serves with one process: set workers: 1, and start several replicas instead", file=sys.stderr
        )
        return 2
    factory = uvloop.new_event_loop if uvloop is not None else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(settings, load))


async def _serve(settings: Settings, load: Callable[[], Settings]) -> int:
    server = Server(settings, load)
    with server.signals():  # before anything listens: until then any of them ends the process as it stands
        try:
            await server.start()
        except OSError as exc:
            await server.close()
            print(f"llm-proxy: cannot listen: {exc.strerror or exc}", file=sys.stderr)
            return 1
        if sys.stderr.isatty() or settings.log.format != "json":
            print(server.banner(), file=sys.stderr, flush=True)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked at again and again
        gc.set_threshold(10_000, 20, 50)
        try:
            await server.serve()
        finally:
            await server.close()
    return 0


class Server:
    """One process. Tests start the proxy through here too, because aiohttp's own test server hides what it switches on."""

    def __init__(self, settings: Settings, load: Callable[[], Settings] | None = None, *, log_to: int | None = None) -> None:
        if HttpRequestParser.__module__ != "aiohttp._http_parser":
            raise RuntimeError("aiohttp's C parser is missing: install a binary wheel, and unset AIOHTTP_NO_EXTENSIONS")
        self.settings = settings
        self._load = load
        self.address: tuple[str, int] = ("", 0)
        self.admin_url = ""
        self.lifecycle = Lifecycle(min(settings.limits.streams, affordable_streams()))
        self._tasks = Tasks()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._graceful = True
        self._simulators: dict[str, Simulator] = {}
        self._simulated: dict[str, str] = {}
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
        self._network = Network(Addresses(asyncio.get_running_loop()), tls)
        self._closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.metrics = Metrics(live=self._live, circuits=self._circuits, draining=lambda: self.lifecycle.draining)
        self._writer = LineWriter(log_to if log_to is not None else sys.stdout.fileno())
        self.metrics.log_lines_dropped = lambda: self._writer.dropped

    # ---- life

    async def start(self) -> None:
        """Open everything; when it returns, requests are served. On failure call `close`."""
        settings = self.settings
        fmt = _log_format(settings)
        self._writer.start()
        colour = fmt == "text" and "NO_COLOR" not in os.environ and (sys.stdout.isatty() or "FORCE_COLOR" in os.environ)
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
            auto_decompress=False,
            read_bufsize=64 * 1024,
            max_line_size=16384,
            max_field_size=16384,
        )
        views = Views(ready=self._ready_word, upstreams=self._upstreams, streams=self._streams, config=self._config)
        admin = AdminListener(settings.admin.listen, self.metrics, views)
        self._closers.append(admin.close)  # also one that could not listen has something to close
        self.admin_url = "http://" + await admin.start()
        self._listener = listen(settings.listen)
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
        await self._site.stop()
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
            await self._current.runtime.close()
        for simulator in self._simulators.values():
            await simulator.close()
        self._simulators.clear()
        self._writer.stop()

    async def reload(self) -> bool:
        """Read the configuration again and put it in force for new requests; a bad one leaves the old one running."""
        if self._load is None:
            return False
        async with self._reloading:
            try:
                settings = await asyncio.to_thread(self._load)
            except SettingsError as exc:
                return self._not_reloaded([str(each) for each in exc.problems])
            if settings.anonymous_allowed and not settings.auth.allow_anonymous and not Address(*self.address).is_loopback:
                # the file may name another address, but this is the one that is listened on
                return self._not_reloaded(
                    [f"auth: it has no credentials, and {url(*self.address)} can be reached from elsewhere"]
                )
            await self._put_in_force(settings)
            return True

    def _not_reloaded(self, problems: list[str]) -> bool:
        self.metrics.config_reloaded(success=False)
        log.error("configuration not reloaded, the old one stays in force", extra={"problems": problems})
        return False

    async def _put_in_force(self, settings: Settings) -> None:
        if (settings.listen, settings.admin, settings.workers) != (
            self.settings.listen,
            self.settings.admin,
            self.settings.workers,
        ):
            log.warning("listen, admin.listen and workers take effect after a restart only")
        await self._start_simulators(settings)
        runtime = self._build(settings)
        await runtime.start()
        self.settings = settings
        self.lifecycle.max_streams = min(settings.limits.streams, affordable_streams())
        self.ticker.period = period_for(_durations(settings))
        self._tasks.spawn(self._current.swap(runtime), name="retire the old configuration")
        self.metrics.config_reloaded(success=True)
        log.info("configuration reloaded", extra={"source": settings.source})

    def banner(self) -> str:
        """Return what to tell whoever started it."""
        return banner(self.settings, listening=url(*self.address), admin=self.admin_url, simulated=tuple(self._simulated))

    # ---- parts

    def _open_usage_store(self, settings: Settings) -> UsageWriter | None:
        if settings.usage.store is None:
            return None
        writer = UsageWriter(open_database(settings.usage.store.get_secret_value()), settings.usage.retention)
        writer.start()
        self._closers.append(writer.close)
        self.metrics.usage_rows_dropped = lambda: writer.dropped
        return writer

    def _build(self, settings: Settings) -> Runtime:
        return build(settings, self._simulated, self._network)

    async def _start_simulators(self, settings: Settings) -> None:
        for name, upstream in settings.upstreams.items():
            if upstream.kind == "simulator" and name not in self._simulators:
                simulator = self._simulators[name] = Simulator()
                self._simulated[name] = await simulator.start()

    def _each_period(self, now: float) -> None:
        limits = self.settings.limits
        self._public.expire_heads(now, limits.header_timeout)
        self._current.runtime.sweep(now)

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

    def _upstreams(self) -> list[dict[str, Any]]:
        runtime = self._current.runtime
        views = runtime.health.snapshot(time.monotonic())
        return [
            {
                "name": name,
                "kind": runtime.settings.upstreams[name].kind,
                "state": view.state.name.lower(),
                "failures": view.failures,
                "open_for_s": round(view.open_for, 1),
                "cooling_for_s": round(view.cooling_for, 1),
                "in_use": runtime.backends[name].pool.in_use,
                "idle": runtime.backends[name].pool.idle,
            }
            for name, view in views.items()
        ]

    def _streams(self) -> list[dict[str, Any]]:
        now = time.monotonic()
        views = (live.view(call, now) for call in self.lifecycle.in_flight if isinstance(call, Call))
        return [view for view in views if view is not None]

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
            self._hurry.set()
        self._graceful = number == signal.SIGTERM
        self._stopping.set()

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


def _log_format(settings: Settings) -> Any:
    if settings.log.format != "auto":
        return settings.log.format
    return "text" if sys.stdout.isatty() else "json"


def _as_closer(function: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def close() -> None:
        function()

    return close


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(TimeoutError):
        await work


async def _forever(event: asyncio.Event) -> None:
    await event.wait()
