"""The life of a worker: settings from the supervisor, a server on an inherited socket, and an end when it is told to or is left alone."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from proxy.server import Place, Server, loop_factory, settle
from proxy.supervisor import Channel, unpack
from proxy.supervisor.channel import Facts, Handler
from proxy.supervisor.worker import WHERE
from proxy.tasks import Tasks
from proxy.worker.shares import Shares
from proxy.worker.tickets import SharedTickets

PUSH_EVERY: Final = 1.0  # seconds between two snapshots of the metrics
PUSH_SHARE: Final = 50  # a snapshot that takes long is followed by a pause so many times as long


def run(channel: int, listener: int, log_turns: int) -> int:
    """Serve until the supervisor says stop or is gone; returns the exit code. The arguments are inherited files."""
    for number in (channel, listener, log_turns):
        os.set_inheritable(number, False)  # what this process starts must not keep them open
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # They reach the whole group from a terminal and the whole service from systemd; only the supervisor acts on them. A
        # handler, because what is ignored would stay ignored in programs that this process starts.
        signal.signal(signum, _heed_not)
    faulthandler.register(WHERE)
    with socket.socket(fileno=listener) as inherited, asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_work(socket.socket(fileno=channel), Place(listener=inherited, log_turns=log_turns)))


async def _work(sock: socket.socket, place: Place) -> int:
    tasks = Tasks()
    worker = Worker(place, tasks)
    await worker.channel.open(sock)
    try:
        await worker.serve()
    finally:
        worker.channel.close()
        await tasks.close()
    return 0


class Worker:
    """What a supervisor may ask of this process, and what this process tells it unasked."""

    _server: Server
    _shares: Shares

    def __init__(self, place: Place, tasks: Tasks) -> None:
        self._place = place
        self._tasks = tasks
        self._begun = asyncio.get_running_loop().create_future()
        self._started = asyncio.Event()
        self.channel = Channel(self._handlers(), tasks)

    async def serve(self) -> None:
        """Serve until the end, under the settings that come first; if the supervisor is gone before, nobody needs this."""
        left = self._tasks.spawn(self.channel.closed(), name="end of the supervisor")
        await asyncio.wait((left, self._begun), return_when=asyncio.FIRST_COMPLETED)
        if not self._begun.done():
            return
        self._begun.result()
        server = self._server
        left.add_done_callback(lambda _: server.stop(grace=False))
        try:
            await server.start()
            self._started.set()
            settle()
            self.channel.tell("ready")
            self._tasks.spawn(self._push(), name="metrics for the supervisor")
            await server.serve()
        finally:
            await server.close()
            self._measure({})

    def _handlers(self) -> Mapping[str, Handler]:
        return {
            "settings": self._begin,
            "beat": lambda _: self.channel.tell("beat"),
            "stop": lambda facts: self._server.stop(grace=facts["grace"]),
            "hurry": lambda _: self._server.hurry(),
            "reload": self._reload,
            "measure": self._measure,
            "/upstreams": lambda _: self._server.upstreams(),
            "/streams": lambda _: self._server.streams(),
            "lent": lambda facts: self._shares.lent(facts["subject"], facts["count"]),
            "recall": lambda facts: self._shares.give_back(facts["subject"]),
            "departure": lambda facts: self._server.departure(facts["subject"], facts["request_id"]),
            "end": lambda facts: self._server.end_streams(facts["subject"], facts["request_id"]),
        }

    def _begin(self, facts: Facts) -> None:
        # at once and not in `serve`, because the next message may be about this server already
        try:
            self._server = Server(unpack(facts["parcel"]), place=self._place)
            self._server.tickets = SharedTickets(self.channel)
            self._shares = self._server.lifecycle.peers = Shares(self.channel, self._server.lifecycle, self._tasks)
        except Exception as exc:  # noqa: BLE001 - it is raised again where this process is served
            self._begun.set_exception(exc)
        else:
            self._begun.set_result(None)

    async def _reload(self, facts: Facts) -> None:
        await self._started.wait()  # the first settings are still being put in force: those that follow would come before them
        await self._server.put_in_force(unpack(facts["parcel"]))
        self._shares.give_all_back()

    def _measure(self, _facts: Facts) -> None:
        self.channel.tell("metrics", **self._server.metrics.snapshot())

    async def _push(self) -> None:
        while True:
            began = time.monotonic()
            if not self.channel.busy:
                self._measure({})
            self._shares.sweep()
            await asyncio.sleep(max(PUSH_EVERY, (time.monotonic() - began) * PUSH_SHARE))


def _heed_not(*_: Any) -> None:
    """A signal that is the supervisor's to act on."""
