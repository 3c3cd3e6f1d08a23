"""The real process with a configuration file of its own, for tests of its life."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.integration.asking import until
from tests.support.client import RawClient, refused
from tests.support.components import HOST, Program, free_port
from tests.support.house import KEY, merged
from tests.support.upstream import Upstream
from tests.support.wire import WITHIN


class Process:
    """`python -m proxy serve` with a configuration file of its own."""

    def __init__(self, folder: Path, upstream: Upstream, **changes: Any) -> None:
        self.admin_port = free_port()
        self.port = int(changes.get("listen", f":{free_port()}").rpartition(":")[2])
        self.file = folder / "proxy.yaml"
        self.config: dict[str, Any] = {
            "listen": f"{HOST}:{self.port}",
            "admin": {"listen": f"{HOST}:{self.admin_port}"},
            "auth": {"api_keys": [{"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
            "streaming": {"commit_after": "0s", "keepalive_interval": "50ms"},
            "drain": {"grace": "0s", "deadline": "20s"},
            "upstreams": {"a": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-upstream-a"}},
            "models": [{"name": "gpt-*", "targets": [{"upstream": "a"}]}],
            "log": {"format": "json"},
        }
        self.write(**changes)
        command: list[str | Path] = [sys.executable, "-m", "proxy", "serve", "--config", self.file]
        self.program = Program(command, port=self.port, log=folder / "proxy.log", cwd=Path.cwd())

    def write(self, **changes: Any) -> None:
        """Write the file anew, with *changes* laid over what it had."""
        self.config = merged(self.config, changes)
        self.file.write_text(json.dumps(self.config))  # JSON is YAML

    def client(self) -> RawClient:
        return RawClient(HOST, self.port)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal and return when: what comes of it comes later, however late this is read."""
        at = time.monotonic()
        self.program.signal(number)
        return at

    async def exited(self) -> tuple[int, float]:
        """Wait for the end; return the exit code and when it was seen."""
        return await self.program.exited(), time.monotonic()

    async def admin(self, path: str) -> tuple[int, str]:
        async with RawClient(HOST, self.admin_port) as client:
            response = await client.request("GET", path)
            return response.status, (await response.read()).decode()

    async def until_ready_says(self, status: int, within: float = WITHIN) -> None:
        async def seen() -> bool:
            return (await self.admin("/readyz"))[0] == status

        await until(seen, f"/readyz to say {status}", within)

    async def refuses(self) -> bool:
        """Tell whether new connections are refused."""
        return await refused(HOST, self.port)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what it has logged: every line, or those of one sort."""
        found = [json.loads(line) for line in self.program.output().splitlines() if line.startswith("{")]
        return [line for line in found if event is None or line["event"] == event]


@asynccontextmanager
async def running(folder: Path, upstream: Upstream, **changes: Any) -> AsyncIterator[Process]:
    process = Process(folder, upstream, **changes)
    async with process.program:
        yield process
