"""The compose file in use: a copy of the project as a newcomer has it, and what one does with it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.e2e.compose.engine import Engine, run
from tests.e2e.compose.images import COMPOSE
from tests.e2e.shipped import ROOT
from tests.support.client import RawClient
from tests.support.components import HOST, free_port

WITHIN: Final = 240.0  # seconds for one command


class Stack:
    """The project's services on an engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.port = free_port()
        ports = {"HTTP_PORT": str(self.port), "HTTPS_PORT": str(free_port())}
        self._env = {**engine.env, **ports, "COMPOSE_PROFILES": "monitoring,redis"}

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` with these arguments and return what it says."""
        return run(COMPOSE, "--ansi=never", *arguments, env=self._env, cwd=self.folder, within=WITHIN)

    def client(self) -> RawClient:
        """Return a new raw client of Caddy's published port; use it as a context manager."""
        return RawClient(HOST, self.port)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """Return all that the engine knows of a container."""
        (found,) = json.loads(self.engine.docker("inspect", container))
        return dict(found)

    def inside(self, service: str, *command: str) -> str:
        """Run *command* in a container of *service* and return what it says."""
        return self.compose("exec", "--no-TTY", service, *command)

    def asked(self, expression: str) -> list[dict[str, Any]]:
        """Ask Prometheus, which cannot be reached from outside, from beside it."""
        code = (
            "import sys, urllib.parse, urllib.request;"
            "query = urllib.parse.urlencode({'query': sys.argv[1]});"
            "print(urllib.request.urlopen(f'http://prometheus:9090/api/v1/query?{query}').read().decode())"
        )
        answer = json.loads(self.inside("proxy", "python", "-c", code, expression))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def until_asked(self, expression: str, wanted: float, within: float = 60.0) -> None:
        """Wait until Prometheus answers *wanted*."""
        deadline = time.monotonic() + within
        while (found := [float(each["value"][1]) for each in self.asked(expression)]) != [wanted]:
            assert time.monotonic() < deadline, f"{expression} is {found} and not {wanted}"
            time.sleep(1)


@contextlib.contextmanager
def stack(engine: Engine, folder: Path) -> Iterator[Stack]:
    """Yield the services of a copy of the project in *folder*, with an .env as `make env` writes it; at the end they are down."""
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    run("make", "env", f"PYTHON={sys.executable}", cwd=folder)
    services = Stack(engine, folder)
    try:
        yield services
    finally:
        services.compose("down", "--volumes", "--timeout", "5")
