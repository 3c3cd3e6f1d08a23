from __future__ import annotations

import asyncio
import signal
import socket
import sys

import pytest

from proxy.supervisor.channel import Facts
from proxy.supervisor.worker import WHERE, Worker
from proxy.tasks import Tasks

# A process that tells its supervisor what it has inherited, and ends as it is told.
SPEAKS = """
import os, socket, sys, json
def tell(**facts):
    body = json.dumps([0, 0, "hello", facts]).encode()
    channel.sendall(len(body).to_bytes(4, "big") + body)
channel = socket.socket(fileno=int(sys.argv[1]))
tell(files=sys.argv[2:], port=socket.socket(fileno=int(sys.argv[2])).getsockname()[1])
"""
LEAVES = SPEAKS + "os._exit(3)"
STAYS = SPEAKS + "channel.recv(1)"
HANGS = (
    """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: tell(where="here"))
"""
    + SPEAKS
    + "while True: time.sleep(1)"
)


async def started(script: str, heard: list[Facts], listener: socket.socket) -> Worker:
    """Start a worker that runs *script*, and wait for its first word."""
    first = asyncio.Event()

    def hear(_worker: Worker, facts: Facts) -> None:
        heard.append(facts)
        first.set()

    handlers = {"hello": hear}
    worker = await Worker.start(7, (listener.fileno(),), handlers, Tasks(), command=(sys.executable, "-c", script))
    async with asyncio.timeout(10):
        await first.wait()
    return worker


async def test_a_worker_inherits_its_socket_and_its_last_words_are_heard() -> None:
    heard: list[Facts] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = await started(LEAVES, heard, listener)

        status = await worker.ended()

        assert status == 3
        assert heard == [{"files": [str(listener.fileno())], "port": listener.getsockname()[1]}]
        assert repr(worker) == f"<Worker 7 pid={worker.pid} not ready>"


async def test_a_worker_that_is_killed_ends_by_that_signal_and_is_ready_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = await started(STAYS, [], listener)
        worker.ready = True

        worker.kill()
        status = await worker.ended()
        worker.kill()  # nobody is there any more

        assert (status, worker.ready) == (-signal.SIGKILL, False)


async def test_a_worker_that_hangs_is_asked_where_before_it_is_killed() -> None:
    heard: list[Facts] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = await started(HANGS, heard, listener)

        await worker.end_hanging()
        status = await worker.ended()

        assert status == -signal.SIGKILL
        assert heard[1:] == [{"where": "here"}]


async def test_a_worker_that_ends_when_it_is_asked_where_it_hangs_has_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = await started(STAYS, [], listener)

        await worker.end_hanging()

        assert await worker.ended() == -WHERE


async def test_a_command_that_cannot_be_started_is_an_oserror_and_leaves_nothing_open() -> None:
    with pytest.raises(OSError, match="nothing-like-it"):
        await Worker.start(0, (), {}, Tasks(), command=("/nothing-like-it",))
