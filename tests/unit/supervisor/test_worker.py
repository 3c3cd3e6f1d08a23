from __future__ import annotations

import signal
import socket
import sys

import pytest

from proxy.supervisor.channel import Facts
from proxy.supervisor.worker import Worker
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


async def started(script: str, heard: list[Facts], listener: socket.socket) -> Worker:
    handlers = {"hello": lambda _worker, facts: heard.append(facts)}
    return await Worker.start(7, (listener.fileno(),), handlers, Tasks(), command=(sys.executable, "-c", script))


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


async def test_a_command_that_cannot_be_started_is_an_oserror_and_leaves_nothing_open() -> None:
    with pytest.raises(OSError, match="nothing-like-it"):
        await Worker.start(0, (), {}, Tasks(), command=("/nothing-like-it",))
