"""Reads the dashboard as Grafana would: its panels, and their queries with every variable filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parents[3] / "config" / "grafana" / "dashboards" / "llm-proxy.json"
EVERYTHING: Final = {"route": ".*", "upstream": ".*"}  # what the variables stand for when all is chosen


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel. *instant*: only its present value is shown."""

    panel: str
    ref: str
    expression: str
    legend: str
    instant: bool
    form: str  # time_series, heatmap or table

    @property
    def name(self) -> str:
        return f"{self.panel} {self.ref}"

    @property
    def labels(self) -> set[str]:
        """The labels that the panel shows, so that every series must have them."""
        return {"le"} if self.form == "heatmap" else set(re.findall(r"{{(\w+)}}", self.legend))

    def filled(self, *, interval: str, **variables: str) -> str:
        """Return the expression with its variables replaced; those that are not named stand for everything."""
        text = self.expression.replace("$__rate_interval", interval)
        for name, value in {**EVERYTHING, **variables}.items():
            text = text.replace(f"${name}", value)
        assert "$" not in text, f"an unknown variable: {text}"
        return text


def dashboard() -> dict[str, Any]:
    """Return the whole file."""
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def panels() -> list[dict[str, Any]]:
    """Return the panels that show something, in their order."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Yield every query of every panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(
                panel["title"],
                target["refId"],
                target["expr"],
                target.get("legendFormat", ""),
                instant=target.get("instant", False),
                form=target.get("format", "time_series"),
            )
