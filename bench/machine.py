"""Starts the bench's processes on a chosen core, and reads what they cost from the kernel."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("llm-stream-proxy", "aiohttp", "uvloop", "httptools", "orjson", "PyJWT")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class BenchError(Exception):
    """The bench cannot go on; the sentence says why."""


class SpoiledRun(Exception):
    """One measurement counts for nothing, because something in it failed."""


def find(program: str) -> str:
    """Return the path of an installed program; /usr/sbin is looked at too, which not everybody has in PATH."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise BenchError(f"{program} is not installed; on Debian: apt-get install {program}")
    return found


def compile_tool(name: str) -> Path:
    """Compile one C tool into bench/build, again only when its source is newer."""
    source, program = ROOT / "bench" / f"{name}.c", ROOT / "bench" / "build" / name
    program.parent.mkdir(exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([find("gcc"), "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)
    return program


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cores() -> list[int]:
    """The core of what is measured and the core of the tools; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return [allowed[0], allowed[1 % len(allowed)]]


@contextmanager
def running(command: list[str], *, cores: str, port: int, log: Path, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run *command* on some cores (`0` or `0,1`), yield its pid once *port* accepts, and stop it afterwards."""
    if accepts(port):
        raise BenchError(f"port {port} is taken by another program")
    with log.open("ab") as sink:
        process = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(env or {})},
        )
    try:
        wait_until_ready(process, port, log)
        yield process.pid
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not accepts(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"nothing listens on port {port}; the program said:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
    time.sleep(0.5)


def wait_until_says_ready(admin_port: int) -> None:
    """Wait until the proxy says that all of it serves."""
    deadline = time.monotonic() + START_TIMEOUT
    while not says_ready(admin_port):
        if time.monotonic() > deadline:
            raise BenchError("the proxy does not become ready")
        time.sleep(0.05)


def says_ready(admin_port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{admin_port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or a 503
        return False


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it twice to end (the second time means now), then make it."""
    for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(sent)
        try:
            process.wait(0.5 if sent is signal.SIGTERM else STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            continue


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(one for child in children for one in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    """Time on a core of the process tree, from the scheduler's own count in nanoseconds."""
    schedstats = (stat for one in tree(pid) for stat in Path(f"/proc/{one}/task").glob("*/schedstat"))
    return sum(int(stat.read_text().split()[0]) for stat in schedstats) / 1e9


def resident_kib(pid: int) -> int:
    """Resident memory of the process tree."""
    total = 0
    for one in tree(pid):
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{one}/status").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total


def describe() -> str:
    """The machine and the versions, for whoever compares figures."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown system")
    commit = said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]) or "no commit"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    beside = f"{said([find('nginx'), '-v']).rpartition('/')[2]}, {said([find('gcc'), '--version']).splitlines()[0]}"
    return (
        f"machine   {os.cpu_count()} × {processor()}, {system}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}\n"
        f"proxy     {versions}, Python {platform.python_version()}, commit {commit}\n"
        f"beside    nginx {beside}"
    )


def processor() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def said(command: list[str]) -> str:
    """What a command prints; empty when it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).strip()


def proxy_command() -> list[str]:
    program = Path(sys.executable).parent / "llm-proxy"
    if not program.exists():
        raise BenchError("llm-proxy is not installed beside this Python: use `make bench`")
    return [str(program), "serve", "--config", str(ROOT / "bench" / "proxy.yaml")]
