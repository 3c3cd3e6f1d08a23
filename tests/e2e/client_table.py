"""Writes the table of clients in docs/clients.md from what a run of their tests has shown: `make client-table`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.e2e.recording import MORE, Shown, read

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
BEGIN: Final = "<!-- from `make client-table` -->\n"
END: Final = "<!-- to here -->\n"
TOPICS: Final = {
    "text": "text",
    "tools": "tools, thoughts",
    "silence": "silence",
    "errors": "errors",
    "cut": "cut streams",
    "leaving": "leaving",
    MORE: "more",
}


def table(run: Iterable[Shown]) -> str:
    """Return the table of a run: how many tests of a topic a client has passed, or which of them it has not."""
    clients: dict[str, list[Shown]] = {}
    for each in run:
        clients.setdefault(each.client, []).append(each)
    rows = [_row(client, version_of, dict(_cells(version_of))) for client, version_of in sorted(clients.items(), key=_order)]
    head = ["client", "version", *TOPICS.values()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *rows])


def without_versions(text: str) -> str:
    """Return a table that says nothing of versions, which move without a change of the tests."""
    return re.sub(r"^(\| [^|]+ \|) [^|]* \|", r"\1", text, flags=re.MULTILINE)


def in_page(page: str) -> str:
    """Return the table that stands in the page."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main(results: Path) -> int:
    """Put the table of *results* into the page; a run that leaves anything untried or failed changes nothing."""
    run = read(results)
    failed = sorted({f"{each.test} ({each.client})" for each in run if not each.passed})
    if failed or not run:
        print("These have not passed:", *failed, sep="\n  ", file=sys.stderr)
        return 1
    page = PAGE.read_text()
    PAGE.write_text(page.replace(BEGIN + in_page(page) + END, BEGIN + table(run) + END))
    return 0


def _order(entry: tuple[str, list[Shown]]) -> str:
    return entry[0].casefold()


def _row(client: str, run: list[Shown], cells: dict[str, str]) -> list[str]:
    return [client, run[0].version, *(cells.get(topic, "") for topic in TOPICS)]


def _cells(run: list[Shown]) -> Iterator[tuple[str, str]]:
    for topic in TOPICS:
        tests = {each.test for each in run if each.topic == topic}
        if tests:
            yield topic, f"{len(tests)} ✓"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
