"""The examples for Node and Python as commands: the answer on one output, what went wrong on the other, Ctrl-C as the button."""

from __future__ import annotations

import asyncio
import shutil
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.client_program import PYTHON, install_python_clients
from tests.e2e.example_page import EXAMPLES, shop
from tests.e2e.node_client import FOLDER, install, newest_node
from tests.e2e.parts import break_connections, simulator, stopped
from tests.e2e.python_client import chat_whole, direct
from tests.support.house import KEY, House, open_house

pytestmark = pytest.mark.timeout(300)  # the first run installs

WITHIN = 20.0  # seconds for a command
BEGINNING = "A good way"  # of the answer, before the silence of `stall`

Command = Callable[[], list[str | Path]]


def node(client: str) -> Command:
    def command() -> list[str | Path]:
        install()
        return [newest_node(), "terminal.js", client]

    return command


def python() -> list[str | Path]:
    install_python_clients()
    return [PYTHON, "terminal.py"]


CASES = [
    pytest.param(node("fetch"), id="fetch", marks=pytest.mark.component("npm")),
    pytest.param(node("eventsource-parser"), id="eventsource-parser", marks=pytest.mark.component("npm")),
    pytest.param(python, id="httpx-sse"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, with what `npm install` puts beside them."""
    copy = tmp_path_factory.mktemp("copy") / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(FOLDER / "node_modules")
    return copy


@pytest.fixture(params=CASES)
def command(request: pytest.FixtureRequest) -> list[str | Path]:
    words: list[str | Path] = request.param()
    return words


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house(shop()) as opened:
        yield opened


@asynccontextmanager
async def asking(command: list[str | Path], folder: Path, url: str, key: str = KEY) -> AsyncIterator[Process]:
    env = {"LLM_PROXY_KEY": key, "PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(*command, "On tea", url, cwd=folder, env=env, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(WITHIN):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(process: Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode().strip()


async def begun(process: Process) -> None:
    assert process.stdout is not None
    assert (await process.stdout.readexactly(len(BEGINNING))).decode() == BEGINNING


async def test_the_whole_answer_is_printed(house: House, command: list[str | Path], folder: Path) -> None:
    async with asking(command, folder, f"{house.url}/ok") as process:
        assert await said(process) == (0, await direct(house, chat_whole), "")


async def test_ctrl_c_stops_the_backend(house: House, command: list[str | Path], folder: Path) -> None:
    async with asking(command, folder, f"{house.url}/stall") as process:
        await begun(process)

        process.send_signal(signal.SIGINT)

        await stopped(simulator(house))
        code, _, problem = await said(process)
        assert (code, problem) == (1, "The answer was stopped on request.")
    assert "stopped" in [record.get("code") for record in await house.records(2)]


async def test_a_cut_answer_is_no_end_and_nothing_is_asked_again(house: House, command: list[str | Path], folder: Path) -> None:
    async with asking(command, folder, f"{house.url}/stall") as process:
        await begun(process)

        break_connections(house)

        code, _, problem = await said(process)
        assert (code, problem) == (1, "The connection was lost before the end of the answer.")
    assert len(await house.records()) == 1


async def test_errors_are_told_in_words(house: House, command: list[str | Path], folder: Path) -> None:
    async with asking(command, folder, f"{house.url}/ok", "lp_wrong") as process:
        denied = await said(process)
    async with asking(command, folder, f"{house.url}/rate-limit") as process:
        limited = await said(process)

    assert (denied[:2], "credential" in denied[2]) == ((1, ""), True)
    assert (limited[0], limited[1].strip(), limited[2]) == (1, "", "Overloaded, please try again soon.")
