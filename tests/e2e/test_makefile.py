"""What `make` says to a newcomer before anything can be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.shipped import ROOT

pytestmark = pytest.mark.component("make")

OLD = f"""#!/bin/sh
exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])" "$2"
"""


@pytest.mark.parametrize("goal", ["run", "test"])
def test_python_that_is_too_old_is_told_in_one_line_and_makes_nothing(tmp_path: Path, goal: str) -> None:
    """pip would say that it finds no version of some package."""
    python, environment = tmp_path / "python", tmp_path / "venv"
    python.write_text(OLD)
    python.chmod(0o755)

    done = subprocess.run(
        ["make", goal, f"PYTHON={python}", f"VENV={environment}"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"{python} is Python 3.10, and 3.11 or newer is needed: say where one is with PYTHON=")
    assert not environment.exists()
