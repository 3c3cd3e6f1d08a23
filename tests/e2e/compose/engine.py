"""A Docker engine of the test's own: all that it keeps is in one folder, and all that it starts or changes is gone at the end.

Also if the tests are told to end (SIGTERM). If they are killed, the engine ends itself, and only its network stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.support.components import require, unavailable

START: Final = 60.0  # seconds until it must answer
STOP: Final = 30.0
BRIDGE: Final = "docker0"
FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
NO_RULES: Final = {  # of the packet filter, by table
    "filter": "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n",
    "nat": "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n",
}


class Engine:
    """A running engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: Mapping[str, str] = {**os.environ, "DOCKER_HOST": f"unix://{folder / 'docker.sock'}"}

    def docker(self, *arguments: str | Path, told: bytes = b"", within: float = 300) -> str:
        """Run `docker` with these arguments and return what it says; fails with what it says when it fails."""
        return run(require("docker"), *arguments, env=self.env, told=told, within=within)

    def answers(self) -> bool:
        """Tell whether it takes commands."""
        try:
            self.docker("version", within=10)
        except AssertionError:
            return False
        return True

    def clear(self) -> None:
        """Remove every container."""
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *containers)


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Run an engine until the end of the block. It needs root, and a machine without another one."""
    if Path("/sys/class/net", BRIDGE).exists():
        unavailable(
            f"A DOCKER ENGINE RUNS HERE ALREADY, or has left its network behind ({BRIDGE}), so image and compose file are not tested"
        )
    folder.mkdir(parents=True, exist_ok=True)
    flags = [f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}"]
    running = Engine(folder)
    with _ended_in_order(), _network_as_it_was(), (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [require("setpriv"), "--pdeathsig=TERM", require("dockerd"), *flags, f"--host=unix://{folder / 'docker.sock'}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _until_it_answers(running, process)
            yield running
        finally:
            with contextlib.suppress(AssertionError):  # it may be the engine that has failed
                running.clear()
            _stop(process)
            shutil.rmtree(folder / "data", ignore_errors=True)  # gigabytes


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let a SIGTERM end this process as an interrupt does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _network_as_it_was() -> Iterator[None]:
    """Undo at the end what an engine does to the machine's network: forwarding, its bridge, its rules."""
    rules, forwarding = run("iptables-save"), FORWARDING.read_text()
    rules += "".join(empty for table, empty in NO_RULES.items() if f"*{table}\n" not in rules)
    try:
        yield
    finally:
        if Path("/sys/class/net", BRIDGE).exists():
            run("ip", "link", "delete", BRIDGE)
        run("iptables-restore", told=rules.encode())
        FORWARDING.write_text(forwarding)


def run(
    *command: str | Path, env: Mapping[str, str] | None = None, told: bytes = b"", within: float = 300, cwd: Path | None = None
) -> str:
    """Run *command* to its end and return its output; fails with all of it when the command fails."""
    program, *arguments = command
    done = subprocess.run(
        [require(str(program)) if "/" not in str(program) else program, *arguments],
        input=told, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=within, check=False,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{said[-4000:]}"
    return said


def _until_it_answers(running: Engine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START
    while not running.answers():
        said = (running.folder / "dockerd.log").read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"dockerd ended: {said}"
        assert time.monotonic() < deadline, f"dockerd does not answer: {said}"
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
