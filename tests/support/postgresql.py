"""A real PostgreSQL on a port and a data directory of its own; its server refuses to run as root, so it becomes `postgres`."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.components import STRICT, free_port

PASSWORD = "canary-of-the-store"


@asynccontextmanager
async def postgresql(port: int | None = None, data: Path | None = None) -> AsyncIterator[str]:
    """Run a server and give the URL of an empty database, or of the one in *data*."""
    programs = _programs()
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        place = data or Path(folder) / "data"
        if not place.exists():
            await asyncio.to_thread(_initialise, programs, place)
        options = ["-D", str(place), "-h", "127.0.0.1", "-p", str(port), "-k", "", "-F"]
        server = await asyncio.create_subprocess_exec(
            programs / "postgres", *options, user=_user(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        try:
            await _until_ready(programs, port)
            yield f"postgresql://proxy:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()  # SIGTERM would wait for connections; SIGINT ends them
            server.send_signal(2)
            await server.wait()


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    reason = "POSTGRESQL IS MISSING on this machine, so this is not tested; install it and run again"
    if os.environ.get(STRICT) == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _user() -> int | None:
    return pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None


def _initialise(programs: Path, place: Path) -> None:
    secret = place.parent / "password"
    secret.write_text(PASSWORD)
    for folder in (place.parent, *place.parent.parents):
        if os.geteuid() == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    user = _user()
    if user is not None:
        place.mkdir()
        for path in (place, secret):
            shutil.chown(path, user)
    options = ["-D", str(place), "-U", "proxy", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"]
    command = [str(programs / "initdb"), *options]
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")


async def _until_ready(programs: Path, port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            asking = await asyncio.create_subprocess_exec(
                programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), stdout=subprocess.DEVNULL
            )
            if await asking.wait() == 0:
                return
            await asyncio.sleep(0.05)
