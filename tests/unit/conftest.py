"""Lets unit tests too ask for each event loop with `both_loops`."""

from __future__ import annotations

from tests.integration.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
