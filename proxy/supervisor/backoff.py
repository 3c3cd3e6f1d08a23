"""Decides how long to wait before a worker that has ended is started again: not at all, unless it goes on ending."""

from __future__ import annotations

from typing import Final

HEALTHY: Final = 10.0  # seconds after which an end is a new story
FIRST: Final = 0.5
LONGEST: Final = 30.0


class Backoff:
    """The waits of one worker's place."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, lived: float) -> float:
        """Return the seconds to wait after a worker that has *lived* so many."""
        if lived >= HEALTHY:
            self._next = 0.0
        wait, self._next = self._next, min(max(FIRST, self._next * 2), LONGEST)
        return wait
