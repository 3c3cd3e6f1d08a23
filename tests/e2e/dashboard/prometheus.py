"""A real Prometheus that scrapes a running proxy twice a second, with the configuration and rules that this repository ships."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.e2e.shipped import ROOT, changed
from tests.integration.asking import until
from tests.support.components import HOST, Program, free_port, require
from tests.support.house import House

FOLDER: Final = ROOT / "config" / "prometheus"
SCRAPE: Final = 0.5  # seconds; two rates' worth of it is enough for `rate`


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels, and its values by time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def finite(self) -> bool:
        return all(math.isfinite(value) for _, value in self.points)

    @property
    def known(self) -> Series:
        """The same without the moments of which nothing is known, such as a quantile of no measurement."""
        return Series(self.labels, tuple((at, value) for at, value in self.points if math.isfinite(value)))

    @property
    def shows_something(self) -> bool:
        return any(value != 0 for _, value in self.points)


class Prometheus:
    """A running Prometheus. Every answer is a list of series; an instant one has one point each."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"

    async def ready(self) -> bool:
        """Tell whether it takes queries; its port accepts before that."""
        try:
            await self.now("vector(1)")
        except HTTPError:
            return False
        return True

    async def now(self, expression: str) -> list[Series]:
        """Return the present value of *expression*."""
        return await self._ask("query", query=expression)

    async def between(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Return *expression* from *start* to *end*, both seconds since the epoch."""
        return await self._ask("query_range", query=expression, start=str(start), end=str(end), step=str(step))

    async def _ask(self, what: str, **parameters: str) -> list[Series]:
        url = f"{self.url}/api/v1/{what}?{urlencode(parameters)}"
        answer = json.loads(await asyncio.to_thread(lambda: urlopen(url, timeout=10).read()))
        return [_series(each) for each in answer["data"]["result"]]


@asynccontextmanager
async def prometheus(folder: Path, house: House, *, scrape: float = SCRAPE) -> AsyncIterator[Prometheus]:
    """Run Prometheus on *house*, with its data in *folder*."""
    port = free_port()
    config = folder / "prometheus.yml"
    interval = f"{round(scrape * 1000)}ms"
    target = house.server.admin_url.removeprefix("http://")
    changes = {"127.0.0.1:9090]": f"{target}]", "15s": interval, "rules/*.yml": f"{FOLDER}/rules/*.yml"}
    config.write_text(changed(FOLDER / "static.yml", changes))
    command = [require("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    async with Program([*command, f"--web.listen-address={HOST}:{port}"], port=port, log=folder / "prometheus.log", cwd=folder):
        server = Prometheus(port)
        await until(server.ready, "Prometheus to be ready")
        yield server


def _series(told: Mapping[str, Any]) -> Series:
    pairs = told["values"] if "values" in told else [told["value"]]
    return Series(told["metric"], tuple((float(at), float(value)) for at, value in pairs))
