"""The official Node clients as programs: installs what the lock file says, once, and runs uses of them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.installing import install_once
from tests.support.components import require, unavailable
from tests.support.house import KEY, House

FOLDER: Final = Path(__file__).parent / "node"
LOCK: Final = FOLDER / "package-lock.json"
STAMP: Final = FOLDER / "node_modules" / ".installed"
OPENAI: Final = FOLDER / "client.mjs"
NEWEST_NEEDS: Final = 22  # the major version of Node
WITHIN: Final = 60.0  # seconds for one run, also on a busy machine


def install() -> None:
    """Install the locked packages, unless they are there."""
    install_once(LOCK, STAMP, [require("npm"), "ci"], cwd=FOLDER)


def newest_node() -> Path:
    """Return the Node that the packages bring along, or the machine's own where they have none for it."""
    brought = next(FOLDER.glob("node_modules/node-*/bin/node"), None)
    if brought is not None:
        return brought
    own = Path(require("node"))
    told = subprocess.run([own, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.match(r"v(\d+)", told)
    if version is None or int(version[1]) < NEWEST_NEEDS:
        unavailable(f"NODE {NEWEST_NEEDS} IS MISSING on this machine, so the newest Node client is not tested")
    return own


def tried(client: str, sdk: str) -> Any:
    """Return *sdk* as a test's parameter that counts for *client* in the table of clients."""
    return pytest.param(sdk, marks=pytest.mark.client(client, f"npm:{sdk}"))


@dataclass(frozen=True, slots=True)
class NodeClient:
    """One major version of a client on one Node; *base* is what its base URL has behind the proxy's own."""

    node: Path
    sdk: str
    program: Path = OPENAI
    base: str = "/v1"

    async def use(self, house: House, *uses: str, scenario: str = "ok;pace=0", key: str = KEY, **options: Any) -> Any:
        """Run some of the program's uses, all at once, and return what each has told."""
        async with self.running(house, uses, scenario, key=key, options=options) as process:
            told, troubles = await process.communicate(b"")
            assert process.returncode == 0, troubles.decode()
            return json.loads(told)

    @asynccontextmanager
    async def running(
        self, house: House, uses: Sequence[str], scenario: str, *, key: str = KEY, options: dict[str, Any] | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start some of the program's uses; only base URL and key are the proxy's. At the end the program has ended."""
        wanted = {"sdk": self.sdk, "baseURL": f"{house.url}{self.base}", "apiKey": key}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(self.node, self.program, json.dumps({**wanted, "uses": uses, "scenario": scenario, "options": options or {}})),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={},
        )
        try:
            async with asyncio.timeout(WITHIN):
                yield process
                await process.communicate(b"")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
