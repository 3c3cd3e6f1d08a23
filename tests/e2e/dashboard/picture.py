"""Draws docs/images/dashboard.png anew: the dashboard's own queries, asked of a real Prometheus about some minutes of traffic.

python -m tests.e2e.dashboard.picture [MINUTES]
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.e2e.dashboard.drawing import TEXT, Box, Line, amount, chart, heatmap, label, number, states, table
from tests.e2e.dashboard.panels import Query, dashboard, panels, queries
from tests.e2e.dashboard.prometheus import Prometheus, Series, prometheus
from tests.e2e.dashboard.traffic import VISITS, Door, Visit, asking, crowd, rarely, settings
from tests.e2e.shipped import ROOT
from tests.support.client import RawClient
from tests.support.components import require
from tests.support.house import open_house

PICTURE: Final = ROOT / "docs" / "images" / "dashboard.png"
SCRAPE: Final = 5.0
MINUTES: Final = 8.0
COLUMN, UNIT, GAP, MARGIN = 62, 27, 8, 12  # pixels of Grafana's grid

BILLED: Final[dict[str, Any]] = {"stream_options": {"include_usage": True}}
EVERY_DAY: Final[tuple[Visit, ...]] = (
    *[asking("demo", f"slow_first_token;delay={delay}ms;pace=25ms;tokens=70", **BILLED) for delay in range(250, 1000, 75)],
    *[
        asking("story", f"slow_first_token;delay={delay}ms;pace=45ms;tokens=40", path="/v1/responses")
        for delay in (600, 800, 1100)
    ],
    *[asking("story", f"slow_first_token;delay={delay}ms;pace=35ms;tokens=60", **BILLED) for delay in range(400, 900, 100)],
    *[rarely(visit, 1.5 + number / 4) for number, visit in enumerate(VISITS)],
)
RUSH: Final = tuple(
    asking("demo", f"slow_first_token;delay={300 + 40 * each}ms;pace=30ms;tokens=50", **BILLED) for each in range(12)
)
INCIDENT: Final = (
    *[asking("story", "slow_first_token;delay=2800ms;pace=60ms;tokens=20")] * 4,
    *[asking("story", "stall;after=6;delay=1600ms;pace=40ms;tokens=20")] * 4,
    *[rarely(asking("story", "truncate;after=10;pace=40ms"), 2.0)] * 2,
)


@dataclass(frozen=True, slots=True)
class Address:
    """The door of a proxy in another process."""

    host: str
    port: int

    def client(self, *, receive_buffer: int | None = None) -> RawClient:
        return RawClient(self.host, self.port, receive_buffer=receive_buffer)


async def live(door: Door, seconds: float) -> None:
    """Let a short day pass: every day's traffic, a rush in its middle, then an upstream in trouble."""
    async with crowd(door, EVERY_DAY):
        await asyncio.sleep(seconds * 0.25)
        async with crowd(door, RUSH):
            await asyncio.sleep(seconds * 0.3)
        async with crowd(door, INCIDENT):
            await asyncio.sleep(seconds * 0.2)
        await asyncio.sleep(seconds * 0.25)


async def drawn(folder: Path, minutes: float) -> str:
    """Return the whole dashboard as SVG."""
    async with open_house(settings()) as house, prometheus(folder, house, scrape=SCRAPE) as server:
        start = time.time()
        crowded = [sys.executable, "-m", __spec__.name, *map(str, house.server.address), str(minutes * 60)]
        await (await asyncio.create_subprocess_exec(*crowded)).wait()  # elsewhere, or its work would look like the proxy's
        return await _dashboard(server, start + 5 * SCRAPE, time.time())


async def _dashboard(server: Prometheus, start: float, end: float) -> str:
    everything = dashboard()["panels"]
    parts = [_row(panel) for panel in everything if panel["type"] == "row"]
    for panel in panels():
        asked = [query for query in queries() if query.panel == panel["title"]]
        answers = [await _ask(server, query, start, end) for query in asked]
        parts.append(_panel(panel, asked, answers, _place(panel, start, end)))
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in everything) * UNIT + 2 * MARGIN
    size = f'width="{24 * COLUMN + 2 * MARGIN}" height="{height}"'
    background = '<rect width="100%" height="100%" fill="#111217"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans">{background}{"".join(parts)}</svg>'


async def _ask(server: Prometheus, query: Query, start: float, end: float) -> list[Series]:
    expression = query.filled(interval=f"{SCRAPE * 4:.0f}s")
    return await (server.now(expression) if query.instant else server.between(expression, start, end, SCRAPE))


def _place(panel: dict[str, Any], start: float, end: float) -> Box:
    at = panel["gridPos"]
    return Box(MARGIN + at["x"] * COLUMN, MARGIN + at["y"] * UNIT, at["w"] * COLUMN - GAP, at["h"] * UNIT - GAP, start, end)


def _row(panel: dict[str, Any]) -> str:
    return label(MARGIN + 4, MARGIN + panel["gridPos"]["y"] * UNIT + 16, panel["title"], size=14)


def _panel(panel: dict[str, Any], asked: Sequence[Query], answers: Sequence[list[Series]], box: Box) -> str:
    frame = f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="3" fill="#181b1f" stroke="#25272c"/>'
    title = label(box.x + 10, box.y + 18, panel["title"], size=12)
    lines = [Line(_name(query, series), series.known) for query, answer in zip(asked, answers, strict=True) for series in answer]
    return frame + title + _content(panel, lines, answers, box.inner(0, 24, 0, 0))


def _content(panel: dict[str, Any], lines: list[Line], answers: Sequence[list[Series]], box: Box) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    match panel["type"]:
        case "stat":
            steps = defaults.get("thresholds", {}).get("steps", [])
            return number(lines, box, unit=defaults["unit"], colour=lambda value: _colour(steps, value))
        case "heatmap":
            return heatmap(lines, box)
        case "state-timeline":
            return states(lines, box, defaults["mappings"][0]["options"])
        case "table":
            return table(_columns(panel, answers), box)
        case _:
            stacked = "stacking" in defaults["custom"]
            return chart(lines, box, unit=defaults["unit"], stacked=stacked)


def _columns(panel: dict[str, Any], answers: Sequence[list[Series]]) -> dict[str, dict[str, str]]:
    titles = panel["transformations"][1]["options"]["renameByName"]
    units = {each["matcher"]["options"]: each["properties"][0]["value"] for each in panel["fieldConfig"]["overrides"]}
    return {
        title: {each.labels["upstream"]: amount(each.points[-1][1], units[title]) for each in answer}
        for title, answer in zip(titles.values(), answers, strict=True)
    }


def _colour(steps: Sequence[dict[str, Any]], value: float) -> str:
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return {"green": "#73bf69", "orange": "#ff9830", "red": "#e02f44"}[passed[-1]] if passed else TEXT


def _name(query: Query, series: Series) -> str:
    if query.form == "heatmap":
        return series.labels["le"].replace("+Inf", "inf")
    return re.sub(r"{{(\w+)}}", lambda found: series.labels[found[1]], query.legend)


def photograph(svg: str, folder: Path) -> None:
    """Write the picture, by way of a browser."""
    width, height = re.findall(r'(?:width|height)="(\d+)"', svg)[:2]
    page = folder / "dashboard.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{svg}")
    PICTURE.parent.mkdir(exist_ok=True)
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height}"]
    subprocess.run([require("chromium"), *flags, f"--screenshot={PICTURE}", page.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Draw the picture, or be the crowd for whoever does."""
    match sys.argv[1:]:
        case [host, port, seconds]:
            asyncio.run(live(Address(host, int(port)), float(seconds)))
        case arguments:
            with tempfile.TemporaryDirectory() as folder:
                svg = asyncio.run(drawn(Path(folder), float(arguments[0]) if arguments else MINUTES))
                photograph(svg, Path(folder))


if __name__ == "__main__":
    main()
