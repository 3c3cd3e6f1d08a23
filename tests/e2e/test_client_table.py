"""The table of clients in the documentation lists the tests that there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.client_table import PAGE, TOPICS, in_page, main, table, without_versions
from tests.e2e.recording import RESULTS, Shown, read

SHOWN = Shown(client="curl", version="8.0", topic="text", test="test_text", passed=True)


def test_the_table_in_the_page_is_that_of_the_tests(tmp_path: Path) -> None:
    """Collecting is enough to know the tests; that they pass was seen when the table was written."""
    results = tmp_path / "results.json"
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", "tests/e2e"]
    subprocess.run(collect, check=True, capture_output=True, env={**os.environ, RESULTS: str(results)})

    collected = read(results)

    assert {each.topic for each in collected} == TOPICS.keys()
    assert without_versions(in_page(PAGE.read_text())) == without_versions(table(collected))


def test_versions_alone_make_no_difference() -> None:
    older = Shown(client="curl", version="7.9", topic="text", test="test_text", passed=True)
    other = Shown(client="wget", version="8.0", topic="text", test="test_text", passed=True)

    assert without_versions(table([SHOWN])) == without_versions(table([older])) != without_versions(table([other]))


def test_variants_of_a_test_count_once() -> None:
    assert "| curl | 8.0 | 1 ✓ |" in table([SHOWN, SHOWN])


def test_a_run_with_a_failure_changes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.json"
    results.write_text('[{"client": "curl", "version": "8", "topic": "text", "test": "test_text", "passed": false}]')
    before = PAGE.read_text()

    assert main(results) == 1

    assert PAGE.read_text() == before
    assert "test_text (curl)" in capsys.readouterr().err
