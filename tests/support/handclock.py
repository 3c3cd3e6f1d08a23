"""A clock that stands still until a test moves it."""

from __future__ import annotations

from typing import Final

import pytest

START: Final = 1000.0
WALL: Final = 1_763_719_383.0  # 2025-11-21T10:03:03Z


class HandClock:
    """Stands in for the module `time` in one module of ours; the event loop keeps its own. Steps in powers of two add up exactly."""

    def __init__(self) -> None:
        self.now = START
        self.cpu = 0.0

    def install(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
        """Let these modules read this clock."""
        for module in modules:
            monkeypatch.setattr(f"{module}.time", self)

    def move(self, seconds: float) -> float:
        """Let time pass, and return the time it is then."""
        self.now += seconds
        return self.now

    def work(self, seconds: float) -> float:
        """Let time pass that our own thread spends on its CPU."""
        self.cpu += seconds
        return self.move(seconds)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return WALL + self.now - START

    def thread_time(self) -> float:
        return self.cpu
