"""A house of its own for every end-to-end test, and a note of what each has shown of its client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import started
from tests.e2e.parts import demo_for
from tests.e2e.recording import RESULTS, note, write
from tests.support.house import House, open_house


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """The proxy in front of the simulator, with a keepalive every 100 ms."""
    async with open_house(demo_for(request)) as opened:
        yield opened


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the one Chromium of all tests listens to commands; `open_page` takes it."""
    with started(tmp_path_factory.mktemp("chromium")) as devtools:
        yield devtools


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether *item* has passed."""
    report = yield
    note(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what the run has shown of clients, where somebody wants it."""
    if path := os.environ.get(RESULTS):
        write(Path(path), session.items)
