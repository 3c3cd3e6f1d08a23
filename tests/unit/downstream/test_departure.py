from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from proxy.downstream.departure import DepartureWatch
from tests.support.loops import both_loops
from tests.support.transports import turns

pytestmark = both_loops

WITHIN = 2.0


class Watched:
    """One end of a TCP connection that is watched and not read; the peer's end is the test's."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            self.ours, _ = listener.accept()
        self.told = 0
        self._departed = asyncio.Event()
        self.watch = DepartureWatch(asyncio.get_running_loop(), self._left)

    def _left(self) -> None:
        self.told += 1
        self._departed.set()

    def start(self) -> None:
        self.watch.start(self.ours.fileno())

    async def departed(self) -> None:
        await asyncio.wait_for(self._departed.wait(), WITHIN)
        self._departed.clear()

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()

    def close(self) -> None:
        self.watch.stop()
        self.peer.close()
        self.ours.close()


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


async def settled() -> None:
    """Let the loop look at its files a few times; over loopback everything sent is there at once."""
    await turns(5)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_fin_is_told(watched: Watched) -> None:
    watched.start()

    watched.peer.shutdown(socket.SHUT_WR)
    await watched.departed()

    assert watched.told == 1


async def test_a_reset_is_told(watched: Watched) -> None:
    watched.start()

    watched.reset()
    await watched.departed()

    assert watched.told == 1


async def test_a_fin_behind_bytes_that_nobody_read_is_told(watched: Watched) -> None:
    watched.start()

    watched.peer.sendall(b"more of the request")
    watched.peer.shutdown(socket.SHUT_WR)
    await watched.departed()

    assert watched.told == 1
    assert watched.ours.recv(100) == b"more of the request", "watching takes nothing away"


async def test_bytes_are_no_departure(watched: Watched) -> None:
    watched.start()

    watched.peer.sendall(b"more of the request")
    await settled()

    assert watched.told == 0


async def test_a_departure_before_the_watch_is_told_when_it_starts(watched: Watched) -> None:
    watched.peer.shutdown(socket.SHUT_WR)
    await settled()
    early = watched.told

    watched.start()
    await watched.departed()

    assert (early, watched.told) == (0, 1)


async def test_a_departure_is_told_once(watched: Watched) -> None:
    watched.start()
    watched.peer.shutdown(socket.SHUT_WR)
    await watched.departed()

    watched.reset()
    await settled()

    assert watched.told == 1


async def test_after_stop_nothing_is_told(watched: Watched) -> None:
    watched.start()

    watched.watch.stop()
    watched.watch.stop()
    watched.peer.shutdown(socket.SHUT_WR)
    await settled()

    assert watched.told == 0


async def test_a_watch_that_was_stopped_can_begin_again(watched: Watched) -> None:
    watched.start()
    watched.watch.stop()

    watched.start()
    watched.peer.shutdown(socket.SHUT_WR)
    await watched.departed()

    assert watched.told == 1


async def test_starting_twice_is_starting_once(watched: Watched) -> None:
    watched.start()
    files = open_files()

    watched.start()
    also = open_files()
    watched.peer.shutdown(socket.SHUT_WR)
    await watched.departed()
    await settled()

    assert (also, watched.told) == (files, 1)


@pytest.mark.parametrize("leaves", [False, True], ids=["stopped", "departed"])
async def test_no_file_stays_open_behind_a_watch(watched: Watched, leaves: bool) -> None:
    before = open_files()
    watched.start()
    during = open_files()

    if leaves:
        watched.peer.shutdown(socket.SHUT_WR)
        await watched.departed()
    else:
        watched.watch.stop()

    assert during == before + 1
    assert open_files() == before
