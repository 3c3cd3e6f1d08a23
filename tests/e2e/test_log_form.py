"""The log is for people where it goes to a terminal, and JSON for machines everywhere else."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.command import ADMIN, serve
from tests.support.client import RawClient
from tests.support.components import HOST, Program, free_port

COLOUR = re.compile(r"\x1b\[\d+m")


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """Yield the end from which to read a terminal's screen, and the path of the terminal itself."""
    screen, keyboard = pty.openpty()
    try:
        yield screen, os.ttyname(keyboard)
    finally:
        os.close(screen)
        os.close(keyboard)


async def ping(port: int) -> None:
    async with RawClient(HOST, port) as client:
        await (await client.request("GET", "/auth/ping")).read()


async def test_line_on_a_terminal_is_for_people(tmp_path: Path) -> None:
    port = free_port()
    with terminal() as (screen, path):
        bare = ["env", "-i", *(f"{name}={value}" for name, value in ADMIN.items()), "sh", "-c", f'exec "$@" >{path}', "sh"]
        command = [*bare, sys.executable, "-m", "proxy", "serve", "--listen", f"{HOST}:{port}"]
        async with Program(command, port=port, log=tmp_path / "log", cwd=tmp_path):
            await ping(port)
        shown = os.read(screen, 65536).decode()

    (line,) = [line for line in shown.splitlines() if " ping " in line]
    assert COLOUR.search(line)
    assert re.match(r"\d\d:\d\d:\d\d\.\d\d\dZ info +200 completed +GET +ping ", COLOUR.sub("", line))


async def test_line_elsewhere_is_for_machines(tmp_path: Path) -> None:
    async with serve(tmp_path) as serving:
        await ping(serving.port)

    (line,) = [each for each in map(json.loads, serving.out.splitlines()) if each["event"] == "request"]
    assert (line["outcome"], line["status"], line["route"]) == ("completed", 200, "ping")
