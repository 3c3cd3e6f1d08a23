"""Several streams side by side: time to the first event, and how the gaps between events are distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from proxy.doctor.arrivals import Seen, gaps
from proxy.doctor.hop import Hop
from proxy.doctor.paint import Paint, duration

_TITLES = ("", "first event", "events", "gap 50 %", "gap 95 %", "longest", "verdict")


def figures(seen: Seen) -> dict[str, Any]:
    """Return the figures of one stream, in seconds; None where there are too few events."""
    ordered = sorted(gaps(seen.arrivals))
    return {
        "first": seen.first_at,
        "events": len(seen.arrivals),
        "middle": at_part(ordered, 0.5),
        "high": at_part(ordered, 0.95),
        "longest": ordered[-1] if ordered else None,
    }


def at_part(ordered: Sequence[float], part: float) -> float | None:
    """Return the value below which that part of the *ordered* values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


def comparison_lines(hops: Sequence[Hop], paint: Paint) -> Iterator[str]:
    """Yield the table."""
    rows = [_TITLES, *(_row(number, hop) for number, hop in enumerate(hops, start=1))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    for position, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column in (0, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        yield line if position else paint.dim(line)
    yield ""


def _row(number: int, hop: Hop) -> tuple[str, ...]:
    if hop.seen is None:
        return (f"{number:>2}", *["–"] * 5, hop.verdict.words)
    of = figures(hop.seen)
    times = [_time(of[name]) for name in ("first", "middle", "high", "longest")]
    return (f"{number:>2}", times[0], str(of["events"]), *times[1:], hop.verdict.words)


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)
