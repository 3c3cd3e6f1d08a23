"""Draws a panel's data as SVG, much as Grafana would: lines and areas, a heatmap, states, a number, a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import floor, log10
from typing import Any, Final

from tests.e2e.dashboard.prometheus import Series

COLOURS: Final = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#e02f44", "#b877d9", "#37872d", "#8ab8ff", "#fade2a", "#c4162a")
TEXT, FAINT, GRID = "#ccccdc", "#8e8ea0", "#2c2f36"
HEAT: Final = ("#1f1a17", "#3d2314", "#6b3410", "#a04a0d", "#d9660b", "#ff8833", "#ffb37a", "#ffe0c7")


Points = Sequence[tuple[float, float]]  # times and values


@dataclass(frozen=True, slots=True)
class Box:
    """Where something is drawn, in pixels, and the time from its left to its right edge."""

    x: float
    y: float
    w: float
    h: float
    start: float
    end: float

    def at(self, time: float) -> float:
        return self.x + self.w * (time - self.start) / (self.end - self.start)

    def inner(self, left: float, top: float, right: float, bottom: float) -> Box:
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Line:
    """One series with the name that the legend gives it."""

    name: str
    series: Series


def label(x: float, y: float, words: str, *, size: int = 11, colour: str = TEXT, anchor: str = "start") -> str:
    """Return a piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(words)}</text>'


def amount(value: float, unit: str) -> str:
    """Return *value* as people read it in this unit of Grafana's."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1000:.3g} ms"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if unit == "currencyUSD":
        return f"${value:.3g}"
    return f"{value:.3g}" + {"reqps": " req/s", "ops": " /s"}.get(unit, "")


def chart(lines: Sequence[Line], box: Box, *, unit: str, stacked: bool) -> str:
    """Return lines, or areas that lie on each other, with axes and legend."""
    plot = box.inner(58, 8, 10, 44)
    layers = _stacked(lines) if stacked else [(line.series.points, ()) for line in lines]
    top = _ceiling(max((value for points, _ in layers for _, value in points), default=1.0))
    drawn = [_grid(plot, top, unit), _times(plot)]
    for number, (points, below) in enumerate(layers):
        drawn.append(_area(points, below, plot, top, COLOURS[number % len(COLOURS)]))
    return "".join(drawn) + legend([line.name for line in lines], box)


def legend(names: Sequence[str], box: Box) -> str:
    """Return the names with their colours, as many as there is room for."""
    drawn, x, y = "", box.x + 10, box.y + box.h - 10
    for number, name in enumerate(names):
        width = 22 + 6.1 * len(name)
        if x + width > box.x + box.w:
            return drawn + label(x, y, "…", colour=FAINT)
        drawn += f'<rect x="{x:.1f}" y="{y - 6:.1f}" width="10" height="3" fill="{COLOURS[number % len(COLOURS)]}"/>'
        drawn += label(x + 14, y, name, colour=FAINT)
        x += width
    return drawn


def heatmap(lines: Sequence[Line], box: Box) -> str:
    """Return how many fell between which two bounds at which time, from the cumulated counts of a histogram."""
    plot = box.inner(58, 8, 10, 24)
    bounds = sorted(lines, key=lambda line: float(line.name))
    cells = [_difference(upper, lower) for lower, upper in pairwise([None, *bounds])]
    most = max((value for row in cells for value in row.values()), default=1.0) or 1.0
    height, drawn = plot.h / len(cells), _times(plot)
    for number, row in enumerate(cells):
        y = plot.y + plot.h - (number + 1) * height
        times = sorted(row)
        for at, after in pairwise([*times, plot.end]):
            shade = HEAT[min(len(HEAT) - 1, round((row[at] / most) ** 0.4 * (len(HEAT) - 1)))]
            width = max(0.0, plot.at(after) - plot.at(at))
            drawn += f'<rect x="{plot.at(at):.1f}" y="{y:.1f}" width="{width:.1f}" height="{height - 1:.1f}" fill="{shade}"/>'
        if number % 2 == 0:
            drawn += label(plot.x - 6, y + 4, bounds[number].name, colour=FAINT, anchor="end")
    return drawn


def states(lines: Sequence[Line], box: Box, mapping: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one bar for each series, coloured by the state it was in."""
    plot = box.inner(96, 8, 10, 44)
    colours = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44"}
    height, drawn = plot.h / max(len(lines), 1), _times(plot)
    for number, line in enumerate(lines):
        y = plot.y + number * height
        drawn += label(plot.x - 8, y + height / 2 + 4, line.name, anchor="end")
        for (at, value), after in zip(line.series.points, [*(at for at, _ in line.series.points[1:]), plot.end], strict=True):
            fill = colours[mapping[f"{value:.0f}"]["color"]]
            width = plot.at(after) - plot.at(at) + 0.5
            drawn += f'<rect x="{plot.at(at):.1f}" y="{y + 4:.1f}" width="{width:.1f}" height="{height - 8:.1f}" fill="{fill}"/>'
    return drawn + _key([(each["text"], colours[each["color"]]) for each in mapping.values()], box)


def number(lines: Sequence[Line], box: Box, *, unit: str, colour: Callable[[float], str]) -> str:
    """Return the one value, large."""
    value = lines[0].series.points[-1][1]
    words = amount(value, unit) + (f"  ({lines[0].name})" if lines[0].name else "")
    return label(box.x + box.w / 2, box.y + box.h / 2 + 8, words, size=26, colour=colour(value), anchor="middle")


def table(columns: Mapping[str, Mapping[str, str]], box: Box) -> str:
    """Return rows by name; *columns* maps a title to the cells of its rows."""
    rows = sorted({row for cells in columns.values() for row in cells})
    first, width = 130.0, (box.w - 150) / max(len(columns), 1)
    drawn = ""
    for column, (title, cells) in enumerate(columns.items()):
        x = box.x + first + (column + 1) * width
        drawn += label(x, box.y + 20, title, colour=FAINT, anchor="end")
        for line, row in enumerate(rows):
            drawn += label(x, box.y + 50 + 30 * line, cells.get(row, ""), size=13, anchor="end")
    for line, row in enumerate(rows):
        drawn += label(box.x + 14, box.y + 50 + 30 * line, row, size=13)
    return drawn


def _stacked(lines: Sequence[Line]) -> list[tuple[Points, Points]]:
    """Return each series on top of those before it, and what it stands on."""
    layers: list[tuple[Points, Points]] = []
    sums = dict.fromkeys(sorted({at for line in lines for at, _ in line.series.points}), 0.0)
    for line in lines:
        below = list(sums.items())
        for at, value in line.series.points:
            sums[at] += value
        layers.append((list(sums.items()), below))
    return layers


def _area(points: Points, below: Points, plot: Box, top: float, colour: str) -> str:
    def place(at: float, value: float) -> str:
        return f"{plot.at(at):.1f},{plot.y + plot.h * (1 - value / top):.1f}"

    line = " ".join(place(at, value) for at, value in points)
    floor_line = below or [(points[0][0], 0.0), (points[-1][0], 0.0)] if points else ()
    back = " ".join(place(at, value) for at, value in reversed(floor_line))
    opacity = 0.45 if below else 0.08
    return (
        f'<polygon points="{line} {back}" fill="{colour}" fill-opacity="{opacity}"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
    )


def _grid(plot: Box, top: float, unit: str) -> str:
    drawn = ""
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = plot.y + plot.h * (1 - share)
        drawn += f'<line x1="{plot.x}" x2="{plot.x + plot.w}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        drawn += label(plot.x - 6, y + 4, amount(top * share, unit), size=10, colour=FAINT, anchor="end")
    return drawn


def _times(plot: Box) -> str:
    minutes = range(int((plot.end - plot.start) // 60) + 1)
    step = max(1, len(minutes) // 4)
    return "".join(
        label(plot.at(plot.start + 60 * minute), plot.y + plot.h + 14, f"{minute} min", size=10, colour=FAINT)
        for minute in minutes[:-1:step]
    )


def _key(entries: Sequence[tuple[str, str]], box: Box) -> str:
    drawn, x, y = "", box.x + 10, box.y + box.h - 10
    for name, colour in entries:
        drawn += f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="9" height="9" fill="{colour}"/>'
        drawn += label(x + 14, y, name, colour=FAINT)
        x += 30 + 6.1 * len(name)
    return drawn


def _ceiling(value: float) -> float:
    """Return the next round number above."""
    if value <= 0:
        return 1.0
    magnitude: float = 10.0 ** floor(log10(value))
    return next(step * magnitude for step in (1, 2, 4, 5, 8, 10) if step * magnitude >= value)


def _difference(upper: Line | None, lower: Line | None) -> dict[float, float]:
    assert upper is not None
    below = dict(lower.series.points) if lower is not None else {}
    return {at: max(0.0, value - below.get(at, 0.0)) for at, value in upper.series.points}
