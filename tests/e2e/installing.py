"""Installs what a lock file says, once, for tests whose clients do not belong into the environment of the proxy."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.components import unavailable


def install_once(lock: Path, stamp: Path, *commands: Sequence[str | Path], cwd: Path) -> None:
    """Run *commands*, unless *stamp* tells that they ran for this *lock*; a second run at the same time waits for the first."""
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        for command in commands:
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
            if done.returncode:
                unavailable(f"INSTALLING {lock.name} FAILED, so its clients are not tested: {done.stderr[-2000:]}")
        stamp.write_text(wanted)
