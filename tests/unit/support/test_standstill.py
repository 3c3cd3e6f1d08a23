from __future__ import annotations

import os
import subprocess
import sys

import pytest

TESTS = """
import os, signal, subprocess
import pytest
from tests.support import standstill

standstill.STANDSTILL = 0.4  # a busy machine is not to take part

def run(name):
    with open("runs", "a") as file:
        file.write(name)
    return open("runs").read().count(name)

def stand_still():
    subprocess.run(["sh", "-c", f"kill -STOP {os.getpid()}; sleep 0.8; kill -CONT {os.getpid()}"], check=True)

@pytest.fixture
def fresh():
    return []

@pytest.fixture(scope="module")
def shared():
    if run("s") == 1:
        stand_still()
        pytest.fail("too slow")

def test_disturbed(fresh):
    fresh.append(1)
    assert fresh == [1]
    if run("d") == 1:
        stand_still()
        pytest.fail("too slow")

def test_whose_fixture_was_disturbed(shared):
    run("f")

def test_wrong():
    run("w")
    pytest.fail("wrong")

def test_wrong_and_always_disturbed():
    run("a")
    stand_still()
    pytest.fail("wrong")
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What pytest says about these tests, and a letter for each time that one of them has run."""
    folder = tmp_path_factory.mktemp("standstill")
    (folder / "test_it.py").write_text(TESTS)
    options = ["-p", "tests.support.standstill", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "--quiet", *options]
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    return done.stdout, (folder / "runs").read_text()


def test_a_test_that_fails_while_the_machine_stands_still_is_run_again_and_that_is_told(outcome: tuple[str, str]) -> None:
    told, runs = outcome

    assert runs.count("d") == 2
    assert "test_it.py::test_disturbed: 0." in told
    assert "FAILED test_it.py::test_disturbed" not in told


def test_so_is_one_whose_shared_fixture_failed(outcome: tuple[str, str]) -> None:
    told, runs = outcome

    assert (runs.count("s"), runs.count("f")) == (2, 1)
    assert "2 failed, 2 passed" in told


def test_a_test_that_is_wrong_fails_at_once_on_a_machine_that_runs(outcome: tuple[str, str]) -> None:
    told, runs = outcome

    assert runs.count("w") == 1 or "test_it.py::test_wrong: " in told
    assert "FAILED test_it.py::test_wrong " in told


def test_a_test_that_is_wrong_fails_in_the_end_on_any_machine(outcome: tuple[str, str]) -> None:
    told, runs = outcome

    assert runs.count("a") == 3
    assert "FAILED test_it.py::test_wrong_and_always_disturbed" in told
