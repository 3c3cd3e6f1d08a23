"""The command as an operator runs it: a process of its own in an empty folder, with an environment of just what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.asking import until
from tests.support.client import RawClient
from tests.support.components import HOST, Program, free_port, require

ADMIN: Final = {"LLM_PROXY_ADMIN__LISTEN": f"{HOST}:0"}  # its default port may be taken on this machine
WITHIN: Final = 50.0  # seconds for a command that ends by itself


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A running `llm-proxy serve`."""

    program: Program
    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The public listener's URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return self.program.output()

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return (self.folder / "stderr").read_text()

    def line(self, start: str) -> str:
        """Return the only line of the banner that starts so."""
        (found,) = [line for line in map(str.strip, self.err.splitlines()) if line.startswith(start)]
        return found

    async def introduced(self) -> bool:
        """Tell whether the banner is there; it is written a moment after the port begins to accept."""
        return re.search(r"^curl .*\n", self.err, re.MULTILINE) is not None

    def client(self) -> RawClient:
        """Return a new raw client; use it as a context manager."""
        return RawClient(HOST, self.port)


async def run(*arguments: str | Path, folder: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run `llm-proxy` with these arguments to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env or {},
        cwd=folder,
    )
    try:
        async with asyncio.timeout(WITHIN):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def serve(folder: Path, env: Mapping[str, str] | None = None, *, port: int | None = None) -> AsyncIterator[Serving]:
    """Run `llm-proxy serve` until the end of the block; when it begins, the proxy listens and has said so."""
    port = port or free_port()
    pairs = [f"{name}={value}" for name, value in {**ADMIN, **(env or {})}.items()]
    command = [require("env"), "-i", *pairs, require("sh"), "-c", 'exec "$@" 2>stderr', "sh", sys.executable, "-m", "proxy"]
    async with Program(
        [*command, "serve", "--listen", f"{HOST}:{port}"], port=port, log=folder / "stdout", cwd=folder
    ) as program:
        serving = Serving(program, port, folder)
        await until(serving.introduced, "the banner")
        yield serving
        with contextlib.suppress(ProcessLookupError):  # it may have ended
            program.signal(signal.SIGINT)  # like a developer: without the grace that SIGTERM gives a load balancer
