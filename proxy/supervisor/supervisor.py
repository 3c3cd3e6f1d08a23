"""Keeps several workers running behind one port, and answers for all of them: admin pages, signals, reload, limits, the end.

SIGTERM, SIGINT   every worker drains, as one alone would; a second signal: now. Workers themselves take no signals.
SIGHUP            the configuration is read once, here, and put in force in all workers; a bad one in none
a worker's end    another one takes its place and its listening socket, in which connections wait meanwhile; one that
                  hangs is ended
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from proxy import __version__
from proxy.admin import AdminListener, Views
from proxy.auth import Reason, TicketStore, ticket_of
from proxy.lifecycle import State
from proxy.logs import LineWriter, configure, style
from proxy.metrics import Ledger, Metrics, Snapshot, Vitals
from proxy.process import listen_shared, signals, url
from proxy.reloading import Reloading
from proxy.settings import Address, Settings
from proxy.supervisor.backoff import Backoff
from proxy.supervisor.channel import Channel, ChannelClosed, Facts
from proxy.supervisor.leases import Leases
from proxy.supervisor.parcel import pack
from proxy.supervisor.pulse import hangs
from proxy.supervisor.upstreams import merged
from proxy.supervisor.worker import COMMAND, Worker
from proxy.tasks import Tasks

log = logging.getLogger("proxy.supervisor")

ASKED: Final = frozenset({"/metrics", "/upstreams", "/streams"})  # pages that the workers are asked for
SCRAPE_WITHIN: Final = 1.0
RELOAD_WITHIN: Final = 10.0
RECALL_WITHIN: Final = 0.5
MARGIN: Final = 5.0  # seconds that a worker may take beyond its deadline before it is killed

Introduce = Callable[[Settings, str, str], None]


def run(settings: Settings, load: Callable[[], Settings], introduce: Introduce) -> int:
    """Serve with `settings.workers` processes until told to stop; returns the exit code."""
    with asyncio.Runner() as runner:  # the standard loop: nothing here is hot, and it is the process that must never fail
        return runner.run(_supervise(settings, load, introduce))


async def _supervise(settings: Settings, load: Callable[[], Settings], introduce: Introduce) -> int:
    supervisor = Supervisor(settings, load)
    with signals(supervisor.on_stop, supervisor.on_reload):
        try:
            started = await supervisor.start()
        except OSError as exc:
            await supervisor.close()
            print(f"llm-proxy: cannot listen: {exc.strerror or exc}", file=sys.stderr)
            return 1
        try:
            if started:
                introduce(settings, url(*supervisor.address), supervisor.admin_url)
                await supervisor.serve()
        finally:
            await supervisor.close()
    if not started:
        print("llm-proxy: a worker has ended while it was starting", file=sys.stderr)
    return 0 if started else 1


class Supervisor:
    """The process above the workers. It holds their sockets and serves no request itself."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        *,
        command: Sequence[str] = COMMAND,
        log_to: int | None = None,
    ) -> None:
        self.settings = settings
        self.address: tuple[str, int] = ("", 0)
        self.admin_url = ""
        self.workers: dict[int, Worker] = {}  # by number: those that run
        self.leases: Leases[Worker] = Leases()
        self.tickets = TicketStore()
        self.ledger: Ledger[Worker] = Ledger()
        self.restarts = 0
        self.hangs = 0
        self.state = State.STARTING
        self._command = command
        self._failed = False
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._graceful = True
        self._seen: dict[str, list[Any]] = {}  # a page's path, and what each worker last said about it
        self._tasks = Tasks()
        self._closing = contextlib.AsyncExitStack()
        self._listeners = contextlib.ExitStack()
        self._keepers: list[asyncio.Task[None]] = []
        turns = self._closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as the supervisor
        self._turns = turns.fileno()
        self._writer = LineWriter(log_to if log_to is not None else sys.stdout.fileno(), turns=self._turns)
        self.metrics = Metrics(
            draining=self._stopping.is_set, others=self.ledger.snapshots, log_lines_dropped=lambda: self._writer.dropped
        )
        self.metrics.registry.register(Vitals(self._pids, lambda: self.restarts, lambda: self.hangs))
        self._reloading = Reloading(load, self.metrics, self._put_in_force)

    # ---- life

    async def start(self) -> bool:
        """Start every worker and tell whether all of them serve. Raises OSError if an address cannot be had."""
        fmt, colour = style(self.settings.log.format)
        self._writer.start()
        self._closing.callback(self._writer.stop)
        self._closing.callback(configure(fmt, self.settings.log.level, self._writer, colour=colour))
        views = Views(
            ready=self._ready_word,
            upstreams=lambda: merged(self._seen.get("/upstreams", ())),
            streams=lambda: [stream for streams in self._seen.get("/streams", ()) for stream in streams],
            config=self._config,
            refresh=self._refresh,
        )
        admin = AdminListener(self.settings.admin.listen, self.metrics, views)
        self._closing.push_async_callback(admin.close)
        self.admin_url = "http://" + await admin.start()
        listeners = [self._listeners.enter_context(each) for each in listen_shared(self.settings.listen, self.settings.workers)]
        self.address = listeners[0].getsockname()[:2]
        self._keepers = [
            self._tasks.spawn(self._keep(number, listener.fileno()), name=f"worker {number}")
            for number, listener in enumerate(listeners)
        ]
        while not (self._failed or self._stopping.is_set() or self._all_ready):
            await self._changed.wait()
            self._changed.clear()
        if self._failed:
            return False
        if not self._stopping.is_set():
            self.state = State.READY
        return True

    async def serve(self) -> None:
        """Serve until a signal says stop, then wait for the end of every worker."""
        await self._stopping.wait()
        self.state = State.DRAINING
        log.info("draining", extra={"workers": len(self.workers), "deadline_s": self.settings.drain.deadline})
        self._listeners.close()  # each worker holds its own until it stops accepting
        ended = self._tasks.spawn(_all(self._keepers), name="end of the workers")
        hurried = self._tasks.spawn(_happened(self._hurry), name="second signal")
        await asyncio.wait((ended, hurried), timeout=self.settings.drain.deadline + MARGIN, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((ended,), timeout=MARGIN if self._hurry.is_set() else 0)
        log.info("stopped")

    async def close(self) -> None:
        """End what is left and close whatever was opened. Idempotent."""
        self._stopping.set()
        self._listeners.close()
        for worker in self.workers.values():
            worker.kill()
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=MARGIN)
        await self._tasks.close()
        await self._closing.aclose()

    async def reload(self) -> bool:
        """Read the configuration again and put it in force in all workers; a bad one leaves all on the old one."""
        return await self._reloading.reload(self.settings, Address(*self.address))

    def on_stop(self, number: int) -> None:
        """Take a signal that ends the process; the second one means now."""
        if self._stopping.is_set():
            self._hurry.set()
            self._tell_all("hurry")
            return
        self._graceful = number == signal.SIGTERM
        self._stopping.set()
        self._changed.set()
        self._tell_all("stop", grace=self._graceful)

    def on_reload(self) -> None:
        """Take a signal that asks for a reload; a process that starts or ends has no use for one."""
        if self.state is State.READY:
            self._tasks.spawn(self.reload(), name="reload")

    # ---- workers

    async def _keep(self, number: int, listener: int) -> None:
        """Keep one worker running, one after another, until the end."""
        backoff = Backoff()
        while not self._stopping.is_set():
            began = time.monotonic()
            how = await self._live(number, listener)
            if self._stopping.is_set():
                return
            if self.state is State.STARTING:
                self._failed = True
                self._changed.set()
                return
            wait = backoff.after(time.monotonic() - began)
            log.error("worker ended, another takes its place", extra={"worker": number, "ended_with": how, "in_s": wait})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            self.restarts += 1

    async def _live(self, number: int, listener: int) -> int | str | None:
        """Let one worker live, and return how it ended: its exit status (negative: the signal), or why it could not be started."""
        try:
            worker = await self._start_worker(number, listener)
        except OSError as exc:
            return exc.strerror
        status = await worker.ended()
        self.workers.pop(number, None)
        self.leases.forget(worker)
        try:
            self.ledger.ended(worker)
        except Exception:
            log.exception("what a worker had counted is lost", extra={"worker": number})
        return status

    async def _start_worker(self, number: int, listener: int) -> Worker:
        handlers = {
            "ready": self._on_ready,
            "metrics": self._on_metrics,
            "lease": self._lease,
            "returned": self._on_returned,
            "end": self._end_elsewhere,
            "departure": self._departure_elsewhere,
            "beat": lambda _worker, _facts: None,
            "keep ticket": self._keep_ticket,
            "take ticket": self._take_ticket,
        }
        inherited = (listener, self._turns)
        worker = await Worker.start(number, inherited, handlers, self._tasks, command=self._command)
        self.workers[number] = worker
        worker.channel.tell("settings", parcel=pack(self.settings))
        if self._stopping.is_set():  # since this one was begun
            worker.channel.tell("stop", grace=self._graceful)
        return worker

    def _on_ready(self, worker: Worker, _facts: Facts) -> None:
        worker.ready = True
        self._changed.set()
        log.info("worker ready", extra={"worker": worker.number, "pid": worker.pid})
        self._tasks.spawn(self._watch(worker), name=f"pulse of worker {worker.number}")

    async def _watch(self, worker: Worker) -> None:
        """End *worker* if it hangs; the one who keeps its place sees to the rest."""
        if await hangs(worker.channel, lambda: self.settings.worker_timeout):
            self.hangs += 1
            log.error("worker does not answer and is killed", extra={"worker": worker.number, "pid": worker.pid})
            await worker.end_hanging()

    def _on_metrics(self, worker: Worker, facts: Facts) -> None:
        self.ledger.note(worker, cast("Snapshot", facts))

    @property
    def _all_ready(self) -> bool:
        return len(self.workers) == len(self._keepers) and all(worker.ready for worker in self.workers.values())

    # ---- what goes through the supervisor

    async def _lease(self, worker: Worker, facts: Facts) -> int:
        """Lend a worker slots of a subject; what others hold and do not use is called back before it is told that none is left."""
        subject, limit = facts["subject"], facts["limit"]
        count = self.leases.lend(worker, subject, limit)
        if not count:
            others = [each for each in self.leases.holders(subject) if each is not worker]
            await _ask(others, "recall", within=RECALL_WITHIN, subject=subject)
            if self.workers.get(worker.number) is worker:  # it may have died meanwhile
                count = self.leases.lend(worker, subject, limit)
        if count:
            worker.channel.tell("lent", subject=subject, count=count)
        return count

    def _on_returned(self, worker: Worker, facts: Facts) -> None:
        self.leases.give_back(worker, facts["subject"], facts["count"])

    async def _end_elsewhere(self, worker: Worker, facts: Facts) -> int:
        return sum(await _ask(self._others(worker), "end", within=SCRAPE_WITHIN, **facts))

    async def _departure_elsewhere(self, worker: Worker, facts: Facts) -> Any:
        return next(iter(await _ask(self._others(worker), "departure", within=SCRAPE_WITHIN, **facts)), None)

    def _others(self, worker: Worker) -> list[Worker]:
        """Return the workers that may have streams which *worker* has not; one that only starts has none."""
        return [each for each in self.workers.values() if each.ready and each is not worker]

    async def _keep_ticket(self, _worker: Worker, facts: Facts) -> bool:
        return await self.tickets.keep(facts["digest"], ticket_of(facts["ticket"]), facts["now"])

    async def _take_ticket(self, _worker: Worker, facts: Facts) -> str | Facts:
        found = await self.tickets.take(facts["digest"], facts["now"])
        return found.value if isinstance(found, Reason) else found.facts()

    async def _put_in_force(self, settings: Settings) -> None:
        self.settings = settings
        await _ask(self.workers.values(), "reload", within=RELOAD_WITHIN, parcel=pack(settings))

    def _tell_all(self, word: str, **facts: Any) -> None:
        for worker in self.workers.values():
            worker.channel.tell(word, **facts)

    # ---- the admin pages

    def _ready_word(self) -> str:
        if self._stopping.is_set():
            return State.DRAINING.value
        return State.READY.value if self._all_ready else State.STARTING.value

    async def _refresh(self, path: str) -> None:
        if path not in ASKED:
            return
        ready = [worker for worker in self.workers.values() if worker.ready]
        if path == "/metrics":  # who does not answer in time is shown as it last was
            await _ask(ready, "measure", within=SCRAPE_WITHIN)
        else:
            self._seen[path] = await _ask(ready, path, within=SCRAPE_WITHIN)

    def _config(self) -> dict[str, Any]:
        return {"version": __version__, "source": self.settings.source, "config": self.settings.masked()}

    def _pids(self) -> dict[str, int]:
        return {str(number): worker.pid for number, worker in sorted(self.workers.items())}


async def _ask(workers: Iterable[Worker], word: str, *, within: float, **facts: Any) -> list[Any]:
    """Ask several workers at once and return the answers of those that gave one in time."""
    answers = await asyncio.gather(*(_answer(each.channel, word, within, facts) for each in workers))
    return [answer for answer in answers if answer is not None]


async def _answer(channel: Channel, word: str, within: float, facts: Facts) -> Any:
    try:
        return await channel.ask(word, within=within, **facts)
    except (ChannelClosed, TimeoutError):
        return None


async def _all(keepers: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.gather(*keepers)


async def _happened(event: asyncio.Event) -> None:
    await event.wait()
