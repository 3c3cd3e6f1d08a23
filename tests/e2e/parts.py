"""What the end-to-end tests share: the proxy with its simulated backend, and how to watch that backend."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from proxy.handler.call import Call
from proxy.settings import Settings
from proxy.simulator import Simulator
from tests.integration.asking import until
from tests.support.house import House, merged, settings

STOPPED_WITHIN = 0.1  # seconds in which a client that leaves must stop the backend


def demo(**changes: Any) -> Settings:
    """Return settings in which the simulator answers for `demo*`, with a keepalive every 100 ms."""
    sections: dict[str, Any] = {
        "streaming": {"commit_after": "200ms", "keepalive_interval": "100ms"},
        "retry": {"backoff_base": "1ms", "backoff_cap": "1ms"},  # so that all attempts are over before commit_after is
        "upstreams": {"demo": {"kind": "simulator"}},
        "models": [{"name": "demo*", "targets": [{"upstream": "demo"}]}],
    }
    return settings(**merged(sections, changes))


def demo_for(test: pytest.FixtureRequest, **changes: Any) -> Settings:
    """Return the same for one test.

    Where that is about errors, answers are committed late: a busy machine must not hide their status.
    """
    topic = test.node.get_closest_marker("shows")
    patience = {"streaming": {"commit_after": "1s"}} if topic and topic.args == ("errors",) else {}
    return demo(**merged(patience, changes))


def simulator(house: House) -> Simulator:
    """Return the simulated backend inside *house*."""
    return house.server._simulators["demo"]


def backend_url(house: House) -> str:
    """Return the address of the simulated backend, for asking it without the proxy."""
    return house.server._simulated["demo"]


async def stopped(backend: Simulator) -> float:
    """Wait until *backend* answers nothing any more, and return how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(5):
        while backend.live:  # noqa: ASYNC110 - the simulator has no event to wait for
            await asyncio.sleep(0.001)
    return time.monotonic() - began


async def begun(backend: Simulator) -> None:
    """Wait until *backend* answers something."""
    async with asyncio.timeout(5):
        while not backend.live:  # noqa: ASYNC110 - the simulator has no event to wait for
            await asyncio.sleep(0.001)


def break_connections(house: House) -> None:
    """Break the connections of everybody who is being answered, as a network does: without a word."""
    for call in house.server.lifecycle.in_flight:
        assert isinstance(call, Call)
        call.downstream.abort()


async def kept_alive(house: House, times: int) -> None:
    """Wait until the only stream has got so many keepalives."""

    async def seen() -> bool:
        (stream,) = json.loads(await house.admin("/streams"))
        return bool(stream["keepalives"] >= times)

    await until(seen, "keepalives")
