"""Sums the rows of the usage store up by hour, model and subject, for people and for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.store.rows import ERROR


@dataclass(slots=True)
class Line:
    """One hour of one model and one subject. `cost_usd` is what is known of it."""

    hour: str
    model: str
    subject: str
    calls: int = 0
    errors: int = 0
    retried: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0


def summed(rows: Iterable[tuple[float, str, Mapping[str, Any]]]) -> list[Line]:
    """Return one line for each hour (UTC), model and subject, in this order."""
    lines: dict[tuple[str, str, str], Line] = {}
    for at, kind, payload in rows:
        hour = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:00")
        key = hour, str(payload.get("model") or "-"), str(payload.get("subject") or "-")
        _add(lines.setdefault(key, Line(*key)), kind, payload)
    return [lines[key] for key in sorted(lines)]


def as_json(lines: Sequence[Line]) -> str:
    """Return *lines* as a JSON array."""
    return json.dumps([asdict(line) for line in lines], indent=2)


def as_csv(lines: Sequence[Line]) -> str:
    """Return *lines* as CSV with a head."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_NAMES)
    writer.writerows(asdict(line).values() for line in lines)
    return out.getvalue().rstrip("\n")


def as_table(lines: Sequence[Line]) -> str:
    """Return *lines* as a table for people, with a sum below."""
    if not lines:
        return "Nothing has been recorded in this time."
    rows = [_cells(line) for line in (*lines, _total(lines))]
    widths = [max(len(row[index]) for row in (_NAMES, *rows)) for index in range(len(_NAMES))]
    texts = [_written(row, widths) for row in (_NAMES, *rows)]
    rule = "-" * len(texts[0])
    return "\n".join([texts[0], rule, *texts[1:-1], rule, texts[-1]])


_NAMES = tuple(Line.__slots__)
_LEFT = 3  # columns of words; the others are numbers


def _add(line: Line, kind: str, payload: Mapping[str, Any]) -> None:
    if kind == ERROR:
        line.errors += 1
        return
    line.calls += 1
    line.retried += bool(payload.get("provider_retry_count"))
    line.tokens_in += payload.get("tokens_in") or 0
    line.tokens_out += payload.get("tokens_out") or 0
    line.cost_usd += payload.get("cost_usd") or 0.0


def _total(lines: Sequence[Line]) -> Line:
    total = Line("total", "", "")
    for line in lines:
        for name in _NAMES[_LEFT:]:
            setattr(total, name, getattr(total, name) + getattr(line, name))
    return total


def _cells(line: Line) -> tuple[str, ...]:
    values = asdict(line).values()
    return tuple(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values)


def _written(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.ljust(width) if index < _LEFT else text.rjust(width)
        for index, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
