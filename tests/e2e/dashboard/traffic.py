"""A crowd of clients before a proxy with simulated backends, in which everything happens that the dashboard shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from proxy.settings import Settings
from proxy.tasks import Tasks
from tests.e2e.parts import demo
from tests.support.client import RawClient
from tests.support.components import HOST, free_port
from tests.support.house import BEARER, CHAT, chat

TELL: Final = [{"role": "user", "content": "On tea"}]
PAUSE: Final = 0.3  # seconds between two requests of those that would otherwise ask without end
SMALL: Final = 16 * 1024  # a receive buffer that is full at once


class Door(Protocol):
    """Where clients come in."""

    def client(self, *, receive_buffer: int | None = None) -> RawClient:
        """Return a new client; use it as a context manager."""
        ...


Visit = Callable[[Door], Coroutine[Any, Any, None]]


def settings() -> Settings:
    """Return settings with two good upstreams and one that nobody answers at, so that its circuit opens."""
    price = {"input": 2.5, "output": 10}
    return demo(
        circuit={"open_for": "1500ms"},
        retry={"statuses": [429, 500, 503]},
        upstreams={
            "openrouter": {"kind": "simulator"},
            "on-premises": {"kind": "openai", "base_url": f"http://{HOST}:{free_port()}/v1", "connect_timeout": "1s"},
        },
        models=[
            {"name": "demo*", "targets": [{"upstream": "demo"}], "price": price},
            {"name": "story*", "targets": [{"upstream": "openrouter"}], "price": {"input": 0.15, "output": 0.6}},
            {"name": "local*", "targets": [{"upstream": "on-premises"}, {"upstream": "demo", "model": "demo"}], "price": price},
        ],
    )


async def ask(door: Door, model: str, scenario: str, *, path: str = CHAT, **more: Any) -> None:
    """Ask as a client does that reads its answer to the end, whatever the end is."""
    body = chat(model=model, **more) if path == CHAT else json.dumps({"model": model, "stream": True, "input": "On tea"}).encode()
    async with door.client() as client:
        response = await client.request("POST", path, [*BEARER, ("X-Test-Scenario", scenario)], body)
        await response.read()


def asking(model: str, scenario: str, *, pause: float = 0.0, **more: Any) -> Visit:
    """Return a visit that asks this, and rests for *pause* seconds before the next."""

    async def visit(door: Door) -> None:
        await ask(door, model, scenario, **more)
        await asyncio.sleep(pause)

    return visit


def leaving(scenario: str, after: bytes | None) -> Visit:
    """Return a visit of somebody who leaves as soon as *after* was there, or before any byte."""

    async def visit(door: Door) -> None:
        async with door.client() as client:
            headers = [*BEARER, ("X-Test-Scenario", scenario)]
            await client.send_request("POST", CHAT, headers, chat(model="demo"))
            if after is None:
                await asyncio.sleep(PAUSE / 2)
            else:
                await (await client.response("POST")).read_until(after)
            client.reset()
        await asyncio.sleep(PAUSE)

    return visit


def rarely(visit: Visit, pause: float) -> Visit:
    """Return *visit* with a rest of *pause* seconds before it."""

    async def later(door: Door) -> None:
        await asyncio.sleep(pause)
        await visit(door)

    return later


async def reading_slowly(door: Door) -> None:
    """Read nothing for a while, with more to come than buffers hold."""
    async with door.client(receive_buffer=SMALL) as client:
        headers = [*BEARER, ("X-Test-Scenario", "huge_event;size=8MiB;pace=0")]
        response = await client.request("POST", CHAT, headers, chat(model="demo"))
        client.pause()
        await asyncio.sleep(PAUSE)
        client.resume()
        await response.read()


async def trespassing(door: Door) -> None:
    """Come with a credential that nobody gave out."""
    async with door.client() as client:
        await (await client.request("POST", CHAT, [("Authorization", "Bearer lp_wrong")], chat(model="demo"))).read()
    await asyncio.sleep(PAUSE)


VISITS: Final[tuple[Visit, ...]] = (
    asking("demo", "ok;pace=20ms;tokens=30"),
    asking("demo", "ok;pace=40ms;tokens=20"),
    asking("story", "ok;pace=60ms;tokens=15", path="/v1/responses"),
    asking("demo", "ok;pace=0;tokens=40", stream=False, pause=PAUSE),
    asking("demo", "slow_first_token;delay=700ms;pace=20ms;tokens=10"),
    asking("story", "stall;after=4;delay=600ms;pace=30ms;tokens=12"),
    asking("local", "ok;pace=10ms;tokens=8", pause=PAUSE),
    asking("story", "truncate;after=3;pace=20ms", pause=PAUSE),
    asking("demo", "error_event_late;after=3;pace=20ms", pause=PAUSE),
    asking("story", "rate_limit;retry_after=0", pause=PAUSE),
    leaving("slow_first_token;delay=60s", after=b":"),
    leaving("ok;pace=50ms;tokens=100", after=b"content"),
    leaving("timeout", after=None),
    reading_slowly,
    trespassing,
)


@asynccontextmanager
async def crowd(door: Door, visits: tuple[Visit, ...] = VISITS) -> AsyncIterator[None]:
    """Let each of *visits* happen again and again until the end of the block, at which they break off."""
    tasks = Tasks()
    running = [tasks.spawn(_again(visit, door), name=f"visit {number}") for number, visit in enumerate(visits)]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
        await tasks.close()


async def _again(visit: Visit, door: Door) -> None:
    while True:
        await visit(door)
