"""Behind a real nginx and a real Caddy, as Debian ships them: streams stay streams, and ends and departures pass through."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median

import pytest

from proxy.tasks import Tasks
from tests.e2e.front import Front, caddy, nginx
from tests.e2e.parts import begun, demo, simulator, stopped
from tests.integration.asking import until
from tests.support.answers import KEEPALIVE
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, CHAT, House, chat, open_house
from tests.support.upstream import DONE

Opener = Callable[[Path, House], AbstractAsyncContextManager[Front]]

PACE = 0.1
PACED = "ok;pace=100ms;tokens=6"
LIMIT = 0.6  # seconds of silence after which the web server gives up, where it is told to
SILENCES = ["slow_first_token;delay=1500ms;pace=0", "stall;after=3;delay=1500ms;pace=0"]


def nginx_over_http_1_1(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return nginx(folder, house, upstream="keepalive 4;", location='proxy_http_version 1.1; proxy_set_header Connection "";')


def impatient_nginx(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return nginx(folder, house, location=f"proxy_read_timeout {LIMIT * 1000:.0f}ms;")


def impatient_caddy(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return caddy(folder, house, options=f"transport http {{\n read_timeout {LIMIT}s\n }}")


NGINX: dict[str, Opener] = {"nginx": nginx, "nginx-1.1": nginx_over_http_1_1}
CADDY: dict[str, Opener] = {"caddy": caddy}
IMPATIENT: dict[str, Opener] = {"nginx": impatient_nginx, "caddy": impatient_caddy}


def program(name: str) -> pytest.MarkDecorator:
    return pytest.mark.component(name.partition("-")[0])


def each(openers: dict[str, Opener]) -> pytest.MarkDecorator:
    """Run a test behind each of these web servers."""
    return pytest.mark.parametrize(
        "opener", [pytest.param(opener, id=name, marks=program(name)) for name, opener in openers.items()]
    )


async def ask(client: RawClient, scenario: str, *, stream: bool = True) -> Response:
    """Send a chat request and return its response when the head is in."""
    return await client.request("POST", CHAT, [*BEARER, ("X-Test-Scenario", scenario)], chat(model="demo", stream=stream))


async def arrivals(response: Response) -> list[float]:
    """Read to the end and return when each event came that tells a token."""
    return [
        dated.at
        async for dated in response.events()
        if '"content":"' in dated.event.data and '"content":""' not in dated.event.data
    ]


@pytest.fixture
async def front(opener: Opener, tmp_path: Path, house: House) -> AsyncIterator[Front]:
    async with opener(tmp_path, house) as opened:
        yield opened


# Streams.


@each(NGINX | CADDY)
async def test_events_arrive_one_by_one(front: Front) -> None:
    async with front.client() as client:
        response = await ask(client, PACED)
        times = await arrivals(response)

    assert response.status == 200
    assert response.end is End.CLEAN
    assert response.body.endswith(DONE)
    assert len(times) == 6
    assert median(later - at for at, later in itertools.pairwise(times)) > PACE / 2


@pytest.mark.component("nginx")
async def test_nginx_would_keep_them_back_without_our_header(tmp_path: Path, house: House) -> None:
    """So the test above tells something about `X-Accel-Buffering: no`."""
    async with nginx(tmp_path, house, location="proxy_ignore_headers X-Accel-Buffering;") as front, front.client() as client:
        times = await arrivals(await ask(client, PACED))

    assert times[-1] - times[0] < PACE


@each(NGINX | CADDY)
async def test_head_comes_before_the_first_token(front: Front) -> None:
    async with front.client() as client:
        response = await ask(client, "slow_first_token;delay=60s")
        await response.read_until(KEEPALIVE)

    assert response.status == 200
    assert response.header("Content-Type") == "text/event-stream; charset=utf-8"


@each(IMPATIENT)
async def test_keepalives_save_a_stream_from_the_web_servers_timeout(front: Front, house: House) -> None:
    async with front.client() as first, front.client() as second:
        responses = await asyncio.gather(ask(first, SILENCES[0]), ask(second, SILENCES[1]))
        bodies = await asyncio.gather(*(response.read() for response in responses))

    assert [response.end for response in responses] == [End.CLEAN] * 2
    assert all(body.endswith(DONE) and body.count(KEEPALIVE) >= 3 for body in bodies)
    assert [record["outcome"] for record in await house.records(2)] == ["completed"] * 2


@pytest.mark.component("nginx")
async def test_nginx_would_give_up_without_keepalives(tmp_path: Path) -> None:
    async with open_house(demo(streaming={"keepalive_style": "off"})) as house, impatient_nginx(tmp_path, house) as front:
        async with front.client() as client:
            response = await ask(client, SILENCES[1])
            await response.read()

        assert response.end is not End.CLEAN
        assert (await house.records())[0]["outcome"] == "client_gone"


@each(NGINX | CADDY)
async def test_whole_answers_and_refusals_pass(front: Front) -> None:
    async with front.client() as client:
        answer = await ask(client, "ok;pace=0", stream=False)
        await answer.read()
        refused = await client.request("POST", CHAT, [("Authorization", "Bearer lp_wrong")], chat(model="demo"))
        await refused.read()

    assert (answer.status, answer.json()["object"]) == (200, "chat.completion")
    assert (refused.status, refused.json()["error"]["code"]) == (401, "invalid_credentials")


# Ends.


@each(NGINX)
@pytest.mark.parametrize("broken", ["truncate;pace=0", "reset_mid_event;pace=0"])
async def test_broken_stream_is_no_finished_one(front: Front, broken: str) -> None:
    async with front.client() as client:
        response = await ask(client, broken)
        body = await response.read()

    assert response.status == 200
    assert b'"content":"' in body
    assert (b'"code":"upstream_truncated"' in body) == broken.startswith("truncate")
    assert DONE not in body
    assert response.end is not End.CLEAN


@each(CADDY)
async def test_broken_stream_says_so_itself_where_caddy_hides_its_end(front: Front) -> None:
    """Caddy before 2.8 ends such a response as if it were whole (caddyserver/caddy#5951): the error event is all there is."""
    async with front.client() as client:
        response = await ask(client, "truncate;pace=0")
        body = await response.read()

    assert b'"content":"' in body
    assert b'"code":"upstream_truncated"' in body
    assert DONE not in body


@each(NGINX | CADDY)
@pytest.mark.parametrize("scenario", ["stall;after=2;pace=0", "slow_first_token;delay=60s", "ok;pace=20ms;tokens=1000"])
async def test_client_that_leaves_stops_the_backend(front: Front, house: House, scenario: str) -> None:
    async with front.client() as client:
        await ask(client, scenario)
        await begun(simulator(house))

        client.reset()

        assert await stopped(simulator(house)) < 1
    assert (await house.records())[0]["outcome"] == "client_gone"


@pytest.mark.component("caddy")
async def test_client_that_leaves_before_the_head_stops_the_backend(tmp_path: Path) -> None:
    async with open_house(demo(streaming={"commit_after": "60s"})) as house, caddy(tmp_path, house) as front:
        async with front.client() as client:
            await client.send_request("POST", CHAT, [*BEARER, ("X-Test-Scenario", "timeout")], chat(model="demo"))
            await begun(simulator(house))

            client.reset()

            assert await stopped(simulator(house)) < 1
        assert (await house.records())[0]["outcome"] == "client_gone"


# Connections.


@pytest.mark.component("nginx")
async def test_nginx_uses_a_connection_again_but_not_after_a_broken_stream(tmp_path: Path, house: House) -> None:
    connections = []
    async with nginx_over_http_1_1(tmp_path, house) as front:
        for scenario in ("ok;pace=0", "ok;pace=0", "truncate;pace=0", "ok;pace=0"):
            async with front.client() as client:
                response = await ask(client, scenario)
                await response.read()
                assert (response.end is End.CLEAN) == (scenario == "ok;pace=0")
            connections.append([id(each) for each in house.server._public.connections])

    assert connections[0] == connections[1]
    assert len(connections[0]) == 1
    assert connections[2] == []
    assert connections[3] not in ([], connections[0])


# Draining.


@pytest.mark.component("caddy")
async def test_caddy_hands_over_from_a_draining_proxy_without_a_lost_request(tmp_path: Path) -> None:
    checks = "lb_policy first\n health_uri /healthz\n health_interval 100ms"
    patient = demo(drain={"grace": "500ms", "deadline": "5s"})
    tasks = Tasks()
    async with open_house(patient) as old, open_house(patient) as new, caddy(tmp_path, old, new, options=checks) as front:
        await healthy(front)
        async with front.client() as client:
            response = await ask(client, "ok;pace=100ms;tokens=14")
            drained = tasks.spawn(old.server.drain(), name="drain")
            statuses = [await quick(front) async for _ in until_done(drained)]
            body = await response.read()

        assert set(statuses) == {200}
        assert (response.end, body.endswith(DONE)) == (End.CLEAN, True)
        assert len(await new.records()) > len(await old.records()) >= 1
        asked = [record["outcome"] for record in await old.records() if record["route"] == "chat"]
        assert set(asked) == {"completed"}  # health checks on old connections get no answer any more


@pytest.mark.component("caddy")
async def test_load_balancer_sees_that_a_proxy_is_draining(tmp_path: Path) -> None:
    tasks = Tasks()
    async with open_house(demo(drain={"grace": "500ms", "deadline": "2s"})) as house, caddy(tmp_path, house) as front:
        async with front.client() as client:
            before = await client.request("GET", "/healthz")
            await before.read()
            drained = tasks.spawn(house.server.drain(), name="drain")
            await asyncio.sleep(0)
            during = await client.request("GET", "/healthz")
            await during.read()
        await drained

    assert (before.status, before.json()) == (200, {"status": "ok"})
    assert (during.status, during.json()) == (503, {"status": "draining"})


async def quick(front: Front) -> int:
    """Send a request through *front* and return its status."""
    async with front.client() as client:
        response = await ask(client, "ok;pace=0;tokens=1")
        await response.read()
        return response.status if response.end is End.CLEAN else 0


async def healthy(front: Front) -> None:
    """Wait until Caddy has looked at its upstreams once; before that it holds all of them to be down."""

    async def answered() -> bool:
        return await quick(front) == 200

    await until(answered, "Caddy's first health check")


async def until_done(task: asyncio.Task[None]) -> AsyncIterator[None]:
    while not task.done():
        yield
        await asyncio.sleep(0.02)
