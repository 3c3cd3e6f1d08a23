"""The limits of the process on open files, as a test wants them."""

from __future__ import annotations

import resource


class Limits:
    """The limits of the process on open files, in place of the real ones, which cannot be raised again."""

    def __init__(self, soft: int, hard: int, *, fixed: bool) -> None:
        self.limits = (soft, hard)
        self.fixed = fixed

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self.fixed:
            raise ValueError("not allowed to raise the limit")
        self.limits = limits
