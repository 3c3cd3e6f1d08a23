"""Real programs for tests: find one or say loudly that it is missing, start it, wait for its port, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, NoReturn, Self

import pytest

HOST: Final = "127.0.0.1"
STRICT: Final = "LLM_PROXY_TESTS_STRICT"
MORE_PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin")  # where Debian keeps servers, often outside a user's PATH
PORTS: Final = range(20_000, 32_768)
SHARES: Final = 64  # test processes
POLL: Final = 0.01  # seconds between two looks at a port


def require(name: str) -> str:
    """Return the path of the program *name*.

    Where it is missing the test is skipped and says so, or fails when LLM_PROXY_TESTS_STRICT=1.
    """
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *MORE_PLACES))
    path = shutil.which(name, path=places)
    if path is None:
        unavailable(f"{name.upper()} IS MISSING on this machine, so this is not tested; install it and run again")
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip the test and say why, or fail it when LLM_PROXY_TESTS_STRICT=1."""
    if os.environ.get(STRICT) == "1":
        pytest.fail(f"{reason} ({STRICT}=1 forbids skipping)", pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free just now, for programs that cannot choose one themselves.

    Nobody else gets it meanwhile: the kernel gives higher ones, and test processes that run side by side have each their own.
    """
    ports = _ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((HOST, port := next(ports)))
            return port


@functools.cache
def _ports_of(process: str) -> Iterator[int]:
    """Return the ports of a test process, one after the other, so that none is given twice before all have been."""
    ports = PORTS[int(process.removeprefix("gw")) % SHARES :: SHARES]
    return itertools.cycle(random.sample(ports, len(ports)))


class Program:
    """A real program under test. Use it as `async with Program([path, …], port=…, log=tmp_path / "nginx.log") as program`.

    It is started in its own process group, ready when *port* accepts a connection, and stopped by its process id: SIGTERM,
    and SIGKILL to the whole group if it has not ended after *patience* seconds.
    """

    START: ClassVar = 40.0  # seconds until its port must accept, also on a busy machine

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        patience: float = 10.0,
    ) -> None:
        """*env* is added to the environment; standard output and error both go to *log*."""
        self._command = [str(part) for part in command]
        self._log = log
        self._port = port
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        try:
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()
        if error is not None:
            error.add_note(f"{self._command[0]} said: {self.output()[-2000:]}")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started.pid

    def output(self) -> str:
        """Return what it has printed so far."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._started.send_signal(number)

    async def exited(self, within: float = 10.0) -> int:
        """Wait for its own end and return the exit status (negative: the signal that ended it)."""
        try:
            async with asyncio.timeout(within):
                return await self._started.wait()
        except TimeoutError:
            raise AssertionError(f"{self._command[0]} still runs after {within} s; it said: {self.output()[-2000:]}") from None

    async def stop(self) -> None:
        """End it, kindly first; nothing happens if it has ended."""
        process = self._started
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not started"
        return self._process

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + self.START
        while self._port is not None and not await _accepts(self._port):
            assert self._started.returncode is None, f"{self._command[0]} ended at once: {self.output()[-2000:]}"
            assert time.monotonic() < deadline, f"{self._command[0]} does not listen on {self._port}: {self.output()[-2000:]}"
            await asyncio.sleep(POLL)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
