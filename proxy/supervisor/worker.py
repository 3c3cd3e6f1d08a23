"""One worker process as its supervisor sees it: how it is started, spoken to, and found to have ended.

Workers are started by exec and not by fork: the supervisor has a loop, threads and open sockets by the time in which it has to
replace one. What a worker inherits it is given by number: its end of the channel, its listening socket, the log's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from proxy.supervisor.channel import Channel, Facts, Handler
from proxy.tasks import Tasks

COMMAND: Final = (sys.executable, "-m", "proxy", "worker")
LAST_WORDS_WITHIN: Final = 1.0
WHERE: Final = signal.SIGUSR1  # lets a worker write to standard error what each of its threads is doing
WHERE_WITHIN: Final = 0.5

Handlers = Mapping[str, Callable[["Worker", Facts], Any]]


class Worker:
    """A process that runs, or has run. It lives and dies once; what takes its place is another object."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, handlers: Handlers, tasks: Tasks) -> None:
        self.number = number
        self.ready = False
        self.channel = Channel({word: self._bound(handler) for word, handler in handlers.items()}, tasks)
        self._process = process

    def __repr__(self) -> str:
        return f"<Worker {self.number} pid={self.pid} {'ready' if self.ready else 'not ready'}>"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @classmethod
    async def start(
        cls, number: int, inherited: Sequence[int], handlers: Handlers, tasks: Tasks, *, command: Sequence[str] = COMMAND
    ) -> Self:
        """Start *command* with the numbers of its channel and of *inherited* files behind it. Raises OSError."""
        ours, theirs = socket.socketpair()
        with contextlib.closing(theirs), contextlib.ExitStack() as failed:
            failed.enter_context(ours)
            files = (theirs.fileno(), *inherited)
            process = await asyncio.create_subprocess_exec(*command, *map(str, files), pass_fds=files)
            failed.pop_all()
        worker = cls(number, process, handlers, tasks)
        await worker.channel.open(ours)
        return worker

    async def ended(self) -> int:
        """Wait for its end and return the exit status (negative: the signal that ended it); what it said before is handled."""
        status = await self._process.wait()
        self.ready = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_WITHIN):
                await self.channel.closed()
        self.channel.close()
        return status

    async def end_hanging(self) -> None:
        """End it although it answers nobody, after it has told where it hangs, if it still can."""
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            self._process.send_signal(WHERE)
            await asyncio.wait_for(self._process.wait(), WHERE_WITHIN)
        self.kill()

    def kill(self) -> None:
        """End it as it stands. Nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _bound(self, handler: Callable[[Worker, Facts], Any]) -> Handler:
        return lambda facts: handler(self, facts)
