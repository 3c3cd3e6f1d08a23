"""A missing program is told loudly, and a running one is started, watched and stopped."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.components import STRICT, Program, free_port, require

SERVER = """
import socket, sys, time
print("about to listen", flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    connection.close()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVER


def test_program_that_is_there_is_found() -> None:
    assert Path(require("sh")).is_file()


def test_program_in_sbin_is_found_beyond_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "there-only"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setattr("tests.support.components.MORE_PLACES", (str(tmp_path),))

    assert require("there-only") == str(tool)


def test_missing_program_is_skipped_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STRICT, raising=False)

    with pytest.raises(pytest.skip.Exception, match="NO-SUCH-PROGRAM IS MISSING"):
        require("no-such-program")


def test_missing_program_fails_where_skipping_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")

    with pytest.raises(pytest.fail.Exception, match="NO-SUCH-PROGRAM IS MISSING"):
        require("no-such-program")


def test_free_port_can_be_bound() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", free_port()))


def test_test_processes_side_by_side_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none that somebody else may get by chance: the kernel's begin at 32768."""
    ports = []
    for process in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", process)
        ports.append({free_port() for _ in range(100)})

    assert [len(each) for each in ports] == [100, 100]
    assert ports[0].isdisjoint(ports[1])
    assert max(*ports[0], *ports[1]) < 32768


async def test_program_is_ready_when_its_port_accepts_and_gone_afterwards(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]

    async with Program(command, port=port, log=tmp_path / "log") as program:
        async with RawClient("127.0.0.1", port):
            pass
        assert "about to listen" in program.output()
        assert program.pid > 0

    assert await program.exited() == -signal.SIGTERM
    with pytest.raises(ConnectionRefusedError):
        async with RawClient("127.0.0.1", port):
            pass


async def test_program_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", STUBBORN, str(port)]

    async with Program(command, port=port, log=tmp_path / "log", patience=0.1) as program:
        pass

    assert await program.exited() == -signal.SIGKILL


async def test_program_that_ends_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]

    with pytest.raises(AssertionError, match="ended at once: no such luck"):
        async with Program(command, port=free_port(), log=tmp_path / "log"):
            pass


async def test_failing_test_hears_what_the_program_said(tmp_path: Path) -> None:
    async def failing_test() -> None:
        async with Program([sys.executable, "-c", "print('words')"], log=tmp_path / "log") as program:
            await program.exited()
            raise KeyError

    with pytest.raises(KeyError) as caught:
        await failing_test()

    assert "words" in caught.value.__notes__[0]


async def test_environment_and_folder_are_passed_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['COLOUR'], os.getcwd())"]

    async with Program(command, log=tmp_path / "log", env={"COLOUR": "blue"}, cwd=tmp_path) as program:
        assert await program.exited() == 0

    assert program.output().split() == ["blue", str(tmp_path)]


async def test_signal_is_sent_and_the_exit_status_told(tmp_path: Path) -> None:
    port = free_port()
    async with Program([sys.executable, "-c", SERVER, str(port)], port=port, log=tmp_path / "log") as program:
        program.signal(signal.SIGKILL)

        assert await program.exited() == -signal.SIGKILL


async def test_program_that_goes_on_is_not_waited_for_without_end(tmp_path: Path) -> None:
    port = free_port()
    async with Program([sys.executable, "-c", SERVER, str(port)], port=port, log=tmp_path / "log") as program:
        with pytest.raises(AssertionError, match="still runs"):
            await program.exited(within=0.01)
