"""Tells which test has tried what with which client, and whether it passed: the run behind the table in docs/clients.md."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from shutil import which
from typing import Final

import pytest

RESULTS: Final = "LLM_PROXY_CLIENT_RESULTS"  # names the file that gets what a run has shown
MORE: Final = "more"  # what no column of its own is worth
PASSED: Final = pytest.StashKey[bool]()
HERE: Final = Path(__file__).parent
SEPARATE: Final = HERE.parents[1] / ".venv-clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one test, in one of its variants, has shown of one client."""

    client: str
    version: str
    topic: str
    test: str
    passed: bool


def shown(items: Iterable[pytest.Item]) -> Iterator[Shown]:
    """Return what those of *items* have shown that try a client."""
    for item in items:
        marker = item.get_closest_marker("client")
        if marker is None:
            continue
        client, package = marker.args
        topic = item.get_closest_marker("shows")
        yield Shown(
            client=client,
            version=_version(package),
            topic=topic.args[0] if topic else MORE,
            test=item.nodeid.partition("[")[0],
            passed=item.stash.get(PASSED, False),
        )


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep whether *item* has passed so far: its set-up, its call and what follows."""
    item.stash[PASSED] = report.passed and item.stash.get(PASSED, True)


def write(path: Path, items: Iterable[pytest.Item]) -> None:
    """Write what *items* have shown."""
    path.write_text(json.dumps([asdict(each) for each in shown(items)], indent=2, ensure_ascii=False))


def read(path: Path) -> list[Shown]:
    """Return what a run has written."""
    return [Shown(**each) for each in json.loads(path.read_text())]


@cache
def _version(package: str) -> str:
    """Return the version of the *package* that is installed, or nothing where none is."""
    place, _, name = package.partition(":")
    if place == "pypi":
        return version(name)
    if place == "program":
        return _told_by(name)
    if place == "npm":
        described = HERE / "node" / "node_modules" / name / "package.json"
        return str(json.loads(described.read_text())["version"]) if described.is_file() else ""
    folders = [str(folder) for folder in SEPARATE.glob("lib/python*/site-packages")]
    return next((found.version for found in distributions(name=name, path=folders)), "")


def _told_by(program: str) -> str:
    path = which(program)
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout if path else ""
    number = re.search(r"\d[\d.]*", told)
    return number[0] if number else ""
