"""Holds tests marked `component("nginx")` to their word: the program is there, or they say loudly that they test nothing."""

from __future__ import annotations

import hypothesis
import pytest

from tests.support.components import require
from tests.support.standstill import pytest_runtest_protocol, pytest_sessionstart, pytest_terminal_summary

__all__ = ["pytest_runtest_protocol", "pytest_sessionstart", "pytest_terminal_summary"]

# A busy machine is no reason to fail: neither an example nor the making of one has a time.
hypothesis.settings.register_profile(
    "usual", hypothesis.settings.default, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("usual")
hypothesis.settings.register_profile("long", max_examples=1000)  # ten times the usual; for `make test-long`


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for every program that *item* names, before any of its fixtures is made."""
    for marker in item.iter_markers("component"):
        for name in marker.args:
            require(name)
