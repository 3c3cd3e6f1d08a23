"""Desks at which probes are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from proxy.doctor.probes.base import Desk
from proxy.doctor.target import parse
from tests.unit.doctor.serving import wire


@asynccontextmanager
async def desk(url: str, *, products: Sequence[str] = ()) -> AsyncIterator[Desk]:
    """Open a desk at the hop with this URL."""
    async with wire() as opened:
        yield Desk(opened, parse(url), products)
