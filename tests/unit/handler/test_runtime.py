"""What one reading of the settings builds, and when it may be taken down again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.dialects import CHAT
from proxy.errors import BodiesFull, ModelNotFound
from proxy.handler import Current, Runtime
from proxy.providers import Asked
from proxy.settings import Settings
from proxy.tasks import Tasks
from tests.support.house import settings
from tests.support.transports import turns
from tests.support.upstream import Hang, Upstream, answer, stream
from tests.unit.handler.calling import runtime
from tests.unit.upstream.support import ASK, Patience, exchange


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


def with_upstreams(**upstreams: dict[str, Any]) -> Settings:
    return Settings.model_validate({"upstreams": upstreams, "models": []})


MIXED = with_upstreams(
    plain={"kind": "openai"},
    other={"kind": "openai", "base_url": "http://127.0.0.1:9/base", "passthrough": ["/base/files"]},
    demo={"kind": "simulator"},
    claude={"kind": "anthropic"},
    aws={"kind": "bedrock", "region": "us-east-1"},
    google={"kind": "gemini"},
)


async def test_upstreams_of_every_kind_are_built() -> None:
    built = runtime(MIXED, {"demo": "http://127.0.0.1:7777"})

    assert set(built.backends) == set(MIXED.upstreams)


@pytest.mark.parametrize(
    ("name", "path"),
    [("plain", b"/v1/models"), ("other", b"/base/models"), ("demo", b"/v1/models"), ("claude", b"/v1/models?limit=1000")],
)
async def test_path_lies_below_the_upstreams_base(name: str, path: bytes) -> None:
    built = runtime(MIXED, {"demo": "http://127.0.0.1:7777"})

    assert built.backends[name].provider.target(Asked("models", b"/v1/models")) == path


async def test_parts_follow_the_settings() -> None:
    configured = settings(
        "http://127.0.0.1:9",
        cors={"origins": ["https://a.example"]},
        limits={"bodies": "64KiB"},
        trusted_proxies=["192.0.2.0/24"],
    )

    built = runtime(configured)

    assert built.settings is configured
    assert built.router.resolve("gpt-4o").name == "gpt-*"
    with pytest.raises(ModelNotFound):
        built.router.resolve("claude")
    assert len(built.cors.headers("https://a.example")) > 1
    assert built.bodies.used == 0
    built.bodies.take(64 * 1024)
    with pytest.raises(BodiesFull):
        built.bodies.take(1)
    assert built.trusted.client_address("192.0.2.1", {b"x-forwarded-for": (b"198.51.100.7",)}) == "198.51.100.7"
    assert built.health.usable("a", 0.0)
    assert built.fallback_dialect is CHAT


# One after another.


async def pooled(built: Runtime, upstream: Upstream) -> None:
    """Leave one idle connection in the pool of `a`."""
    upstream.script(answer({}))
    await exchange(built.backends["a"].pool)
    assert upstream.open_connections == 1


async def test_runtime_that_nobody_uses_is_closed_by_the_swap() -> None:
    async with Upstream() as upstream:
        old, new = runtime(settings(upstream.url)), runtime()
        await pooled(old, upstream)
        current = Current(old)

        await current.swap(new)

        assert current.runtime is new
        await upstream.closed()


async def test_runtime_is_closed_when_its_last_request_has_left(tasks: Tasks) -> None:
    async with Upstream() as upstream:
        old, new = runtime(settings(upstream.url)), runtime()
        await pooled(old, upstream)
        current = Current(old)
        first, second = current.enter(), current.enter()

        swap = tasks.spawn(current.swap(new), name="swap")
        await turns()
        current.leave(first)
        await turns()
        still_open = (upstream.open_connections, swap.done())
        current.leave(second)
        await swap

        assert (first, second) == (old, old)
        assert still_open == (1, False)
        await upstream.closed()


async def test_new_runtime_is_in_force_before_the_old_one_is_empty(tasks: Tasks) -> None:
    old, new = runtime(), runtime()
    current = Current(old)
    current.enter()

    swap = tasks.spawn(current.swap(new), name="swap")
    await turns()
    entered = current.enter()

    assert entered is new
    assert not swap.done()


async def test_requests_of_the_new_runtime_do_not_hold_the_old_one(tasks: Tasks) -> None:
    old, new = runtime(), runtime()
    current = Current(old)
    mine = current.enter()
    swap = tasks.spawn(current.swap(new), name="swap")
    await turns()
    current.enter()

    current.leave(mine)
    await asyncio.wait_for(swap, 1)

    assert current.runtime is new


async def test_request_that_left_before_the_swap_does_not_count(tasks: Tasks) -> None:
    old = runtime()
    current = Current(old)
    current.leave(current.enter())

    swap = tasks.spawn(current.swap(runtime()), name="swap")

    await asyncio.wait_for(swap, 1)


async def test_several_swaps_each_wait_for_their_own_requests(tasks: Tasks) -> None:
    first, second, third = runtime(), runtime(), runtime()
    current = Current(first)
    current.enter()
    one = tasks.spawn(current.swap(second), name="one")
    await turns()
    current.enter()
    two = tasks.spawn(current.swap(third), name="two")
    await turns()

    current.leave(second)
    await asyncio.wait_for(two, 1)

    assert current.runtime is third
    assert not one.done()
    current.leave(first)
    await asyncio.wait_for(one, 1)


async def test_connections_of_an_old_runtime_are_swept_as_long_as_it_is_in_use(tasks: Tasks) -> None:
    """One long stream would else keep all of them open for hours: nobody asks for them any more."""
    async with Upstream() as upstream:
        old = runtime(settings(upstream.url))
        await pooled(old, upstream)
        current = Current(old)
        current.enter()
        swap = tasks.spawn(current.swap(runtime()), name="swap")
        await turns()

        current.sweep(asyncio.get_running_loop().time() + 60)

        await upstream.closed()
        assert not swap.done()


async def test_closing_ends_what_an_old_runtime_holds_too(tasks: Tasks) -> None:
    async with Upstream() as upstream:
        old = runtime(settings(upstream.url))
        await pooled(old, upstream)
        current = Current(old)
        current.enter()
        tasks.spawn(current.swap(runtime()), name="swap")
        await turns()

        await tasks.close()
        await current.close()

        await upstream.closed()


async def test_an_old_runtime_that_is_closed_is_swept_no_more() -> None:
    old, new = runtime(), runtime()
    current = Current(old)

    await current.swap(new)

    assert current.all == (new,)


async def test_closing_ends_connections_in_use_too() -> None:
    async with Upstream() as upstream:
        upstream.script(stream(Hang()))
        built = runtime(settings(upstream.url))
        await built.backends["a"].pool.open(ASK, Patience())

        await built.close()

        await upstream.closed()


async def test_sweep_closes_only_what_has_been_idle_for_too_long() -> None:
    async with Upstream() as upstream:
        built = runtime(settings(upstream.url))
        await pooled(built, upstream)
        now = asyncio.get_running_loop().time()

        built.sweep(now)
        kept = upstream.open_connections
        built.sweep(now + 86_400)

        assert kept == 1
        await upstream.closed()
