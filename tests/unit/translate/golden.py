"""Compares what a way back makes of recorded streams with what was agreed on, byte for byte.

A case is two files below `tests/golden/<pair>/`: what the upstream sent, and what the client gets. With the environment variable
GOLDEN=write the second is written instead of compared; look at the difference before it is committed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2] / "golden"


def cases(pair: str, suffix: str) -> list[Path]:
    """Return the recordings of a pair, by name."""
    found = sorted((ROOT / pair).glob(f"*{suffix}"))
    assert found, f"no recordings below {ROOT / pair}"
    return found


def expect(recording: Path, translate: Callable[[bytes], bytes]) -> None:
    """Assert that *translate* makes of a recording what stands beside it."""
    out = translate(recording.read_bytes())
    agreed = recording.with_suffix(".chat")
    if os.environ.get("GOLDEN") == "write":
        agreed.write_bytes(out)
    assert out.decode() == agreed.read_text()
