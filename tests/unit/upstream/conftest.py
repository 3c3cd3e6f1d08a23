"""Run the tests of the upstream wire on both event loops, and let none of them leave anything behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.aws import Aws
from tests.support.certificates import Authority
from tests.support.loops import FACTORIES
from tests.support.upstream import Upstream
from tests.unit.upstream.support import Complaints


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the loops for pytest-asyncio. How a request reads does not depend on them, nor what runs in a loop of its own."""
    return {"asyncio": FACTORIES["asyncio"]} if item.path.name in ("test_backend.py", "test_bedrock_chain.py") else FACTORIES


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Spare the collector what was there before: each test here has it look for what was left behind."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def complaints() -> AsyncIterator[Complaints]:
    """What the event loop was told of failures that nobody took. A test that expects some takes them out.

    At the end no task and no socket may be there that was not there before.
    """
    loop = asyncio.get_running_loop()
    complaints: Complaints = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = _sockets()
    yield complaints
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert complaints == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert _sockets() <= before


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    return Aws(monkeypatch, tmp_path)


def _sockets() -> set[str]:
    """Return this process's sockets of the network, by inode; an event loop's own pairs are not among them."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{number}")
            if name.startswith("socket:") and _family(int(number)) in (socket.AF_INET, socket.AF_INET6):
                found.add(name)
    return found


def _family(number: int) -> int:
    with socket.socket(fileno=os.dup(number)) as sock:
        return sock.family
