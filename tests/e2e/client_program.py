"""Programs around clients that stay out of the proxy's own environment: they are started once and asked line by line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.e2e.installing import install_once
from tests.support.house import KEY, House

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / "requirements" / "clients.txt"
VENV: Final = ROOT / ".venv-clients"
PYTHON: Final = VENV / "bin" / "python"
WITHIN: Final = 60.0  # seconds for an answer; the first includes the start of a program that imports much
ENVIRONMENT: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # otherwise its import asks the internet for prices

Told = dict[str, Any]


def install_python_clients() -> None:
    """Install the locked Python clients into an environment of their own, unless they are there."""
    make: list[str | Path] = [sys.executable, "-m", "venv", "--clear", VENV]
    pip: list[str | Path] = [PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    fill = [*pip, "install", "--require-hashes", "--requirement", LOCK]
    install_once(LOCK, VENV / ".installed", make, fill, cwd=ROOT)


@dataclass(frozen=True, slots=True)
class ClientProgram:
    """A running program around one client."""

    process: subprocess.Popen[str]
    errors: IO[str]

    async def use(self, house: House, *asked: tuple[str, str], key: str = KEY) -> list[Told]:
        """Let the client do all uses, each in its scenario, at once, and return what it tells of each."""
        line = json.dumps({"url": house.url, "key": key, "asked": asked})
        try:
            async with asyncio.timeout(WITHIN):
                told = await asyncio.to_thread(self._answer, line)
        except TimeoutError:
            self.process.kill()  # ends the thread, too: it waits for the program
            raise
        assert told, self._troubles()
        answers: list[Told] = json.loads(told)
        return answers

    def _answer(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def _troubles(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-4000:]


@contextmanager
def running(command: Sequence[str | Path]) -> Iterator[ClientProgram]:
    """Run *command* until the end of the block."""
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield ClientProgram(process, errors)
        finally:
            process.kill()
