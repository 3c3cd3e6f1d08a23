"""Behind Caddy, nginx and HAProxy as configured by this repository: streams, departures, closed doors, replicas that come and go."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from proxy.tasks import Tasks
from tests.e2e.front import address
from tests.e2e.parts import begun, demo, simulator, stopped
from tests.e2e.shipped import CADDYFILE, CURRENT, OLD, Caddy, Shipped, haproxy, nginx
from tests.integration.asking import listed, until
from tests.support.answers import KEEPALIVE
from tests.support.client import End, Response, refused
from tests.support.components import HOST, free_port, require
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house
from tests.support.upstream import DONE, Upstream, answer

Opener = Callable[[Path, House], AbstractAsyncContextManager[Shipped]]

PACE = 0.1
TOKENS = 6
PACED = f"ok;pace=100ms;tokens={TOKENS}"
LONG = json.dumps({"model": "demo", "stream": True, "input": "On tea", "instructions": "Be brief. " * 100}).encode()
ADMIN = ["/metrics", "/livez", "/readyz", "/upstreams", "/streams", "/config"]
KEPT = 8  # connections
LARGE = 20 * 1024 * 1024
HUGE = 64 * 1024 * 1024  # more than lies in all sockets on the way
FRONTS: dict[str, Opener] = {OLD.name: OLD, CURRENT.name: CURRENT, "nginx": nginx, "haproxy": haproxy}


def each(argument: str, *names: str) -> pytest.MarkDecorator:
    """Run a test with each of these web servers."""
    marked = [pytest.param(FRONTS[name], id=name, marks=pytest.mark.component(name)) for name in names]
    return pytest.mark.parametrize(argument, marked)


each_front = each("opener", *FRONTS)
each_watchful_front = each("opener", *(name for name in FRONTS if name != "haproxy"))
each_caddy = each("caddy", OLD.name, CURRENT.name)


@pytest.fixture
async def front(opener: Opener, tmp_path: Path, house: House) -> AsyncIterator[Shipped]:
    async with opener(tmp_path, house) as opened:
        await serving(opened)
        yield opened


async def ask(front: Shipped, scenario: str, *, path: str = CHAT, body: bytes = b"") -> Response:
    """Send a request (default: a streamed chat) on a connection of its own and read its answer to the end."""
    async with front.client() as client:
        headers = [*BEARER, ("X-Test-Scenario", scenario), ("Accept-Encoding", "gzip, zstd, br")]
        response = await client.request("POST", path, headers, body or chat(model="demo"))
        await response.read()
        return response


async def look(front: Shipped, target: str) -> Response:
    """Ask for *target* on a connection of its own."""
    async with front.client() as client:
        response = await client.request("GET", target, BEARER)
        await response.read()
        return response


async def serving(front: Shipped) -> None:
    """Wait until its first health check has passed."""

    async def answered() -> bool:
        return (await look(front, "/healthz")).status == 200

    await until(answered, "the first health check")


# All of them.


@each_front
@pytest.mark.parametrize(("path", "body"), [(CHAT, chat(model="demo")), ("/v1/responses", LONG)], ids=["chat", "responses"])
async def test_events_arrive_one_by_one(front: Shipped, path: str, body: bytes) -> None:
    """Also for a client that takes compressed answers, and also when the first event is long enough to be worth it."""
    response = await ask(front, PACED, path=path, body=body)

    assert (response.status, response.end) == (200, End.CLEAN)
    assert response.header("Content-Encoding") is None
    assert len(response.reads) >= TOKENS
    assert response.reads[-1].at - response.reads[0].at > PACE * TOKENS / 2


@each_front
async def test_head_and_keepalives_come_before_the_first_token(front: Shipped) -> None:
    async with front.client() as client:
        headers = [*BEARER, ("X-Test-Scenario", "slow_first_token;delay=60s"), ("Accept-Encoding", "gzip")]
        response = await client.request("POST", CHAT, headers, chat(model="demo"))
        await response.read_until(KEEPALIVE * 3)

    assert response.header("Content-Type") == "text/event-stream; charset=utf-8"


@each_front
@pytest.mark.parametrize("scenario", ["stall;after=2;pace=0", "slow_first_token;delay=60s", "ok;pace=20ms;tokens=1000"])
async def test_client_that_leaves_stops_the_backend(front: Shipped, house: House, scenario: str) -> None:
    async with front.client() as client:
        await client.request("POST", CHAT, [*BEARER, ("X-Test-Scenario", scenario)], chat(model="demo"))
        await begun(simulator(house))

        client.reset()

        assert await stopped(simulator(house)) < 1


@each_watchful_front
@pytest.mark.parametrize("commit_after", ["0s", "60s"])
async def test_client_that_leaves_in_a_silence_stops_the_backend(opener: Opener, tmp_path: Path, commit_after: str) -> None:
    """Without keepalives, at which it would be noticed, and before the head as well as after."""
    silent = demo(streaming={"keepalive_style": "off", "commit_after": commit_after})
    async with open_house(silent) as house, opener(tmp_path, house) as front, front.client() as client:
        await serving(front)
        await client.send_request("POST", CHAT, [*BEARER, ("X-Test-Scenario", "slow_first_token;delay=60s")], chat(model="demo"))
        await begun(simulator(house))

        client.reset()

        assert await stopped(simulator(house)) < 1


@each_front
@pytest.mark.parametrize("path", ADMIN)
async def test_what_is_for_operators_is_closed(front: Shipped, path: str) -> None:
    response = await look(front, path)

    assert response.status == 404
    assert b"not_found" not in response.body  # the front's own answer: the proxy was not even asked


@each_front
async def test_path_goes_on_byte_for_byte(opener: Opener, tmp_path: Path) -> None:
    """Below /upstream/ too, however much that looks like the operators' /upstreams."""
    target = "/v1/files//a%2Fb;c/%7euser?limit=2&after=%20"
    async with Upstream() as files, open_house(listed(files)) as house, opener(tmp_path, house) as front:
        files.always(answer({"ok": True}))
        await serving(front)

        response = await look(front, f"/upstream/a{target}")

        assert response.status == 200
        assert (await files.request()).target == target.encode()


@each_front
async def test_whole_answers_and_refusals_pass(front: Shipped) -> None:
    answer = await ask(front, "ok;pace=0", body=chat(model="demo", stream=False))
    busy = await ask(front, "rate_limit;retry_after=60")

    assert (answer.status, answer.json()["object"]) == (200, "chat.completion")
    assert (busy.status, busy.header("Retry-After")) == (429, "60")


@each_front
async def test_long_header_passes(front: Shipped) -> None:
    """Tokens of an identity provider that lists all groups of its people are as long."""
    async with front.client() as client:
        response = await client.request("GET", "/auth/ping", [*BEARER, ("X-Long", "x" * 15_500)])
        await response.read()

        assert response.status == 200


@each_front
async def test_page_of_the_same_address_may_use_its_cookie(opener: Opener, tmp_path: Path) -> None:
    """On plain HTTP it is the `Host` that tells the proxy's own pages, and the port is a part of it."""
    keys = [{"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]
    async with open_house(demo(auth={"api_keys": keys, "cookie": "session"})) as house, opener(tmp_path, house) as front:
        await serving(front)
        async with front.client() as client:
            headers = [("Cookie", f"session={KEY}"), ("Origin", f"http://{HOST}:{front.port}")]
            response = await client.request("GET", "/auth/ping", headers)
            await response.read()

    assert response.status == 200


@each_front
async def test_large_request_passes(opener: Opener, tmp_path: Path) -> None:
    async with open_house(demo(limits={"body": "32MiB"})) as house, opener(tmp_path, house) as front:
        await serving(front)

        response = await ask(front, "ok;pace=0", body=chat(model="demo", user="x" * LARGE))

    assert (response.status, response.end) == (200, End.CLEAN)


@each_front
async def test_client_that_reads_nothing_is_noticed(opener: Opener, tmp_path: Path) -> None:
    """What holds the backend back is not taken off its hands: a front that keeps answers in files lets it run to its end for nobody."""
    async with Upstream() as files, open_house(listed(files, limits={"write_stall": "500ms"})) as house:
        files.always(answer(b"x" * HUGE))
        async with opener(tmp_path, house) as front, front.client() as client:
            await serving(front)
            client.pause()
            await client.send_request("GET", "/upstream/a/v1/files/huge", BEARER)

            await files.closed(within=20)
            await until(lambda: recorded(house), "its record")

        (record,) = of_upstream(house)
        assert record["outcome"] == "client_stalled"


def of_upstream(house: House) -> list[dict[str, Any]]:
    """Return the records of requests to an upstream by its name; health checks leave others."""
    return [line for line in house.log_lines() if line.get("route") == "upstream"]


async def recorded(house: House) -> bool:
    """Tell whether there is such a record."""
    return bool(of_upstream(house))


@each_front
async def test_broken_stream_tells_its_failure(front: Shipped) -> None:
    response = await ask(front, "truncate;pace=0")

    assert b'"code":"upstream_truncated"' in response.body
    assert DONE not in response.body


# The Caddyfile.


@each_caddy
@pytest.mark.parametrize("found", ["static", "dns"])
def test_caddyfile_is_valid(caddy: Caddy, found: str, tmp_path: Path) -> None:
    command: list[str | Path] = [require(caddy.name), "validate", "--config", CADDYFILE, "--adapter", "caddyfile"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**caddy.env, "FIND_PROXY": found, "HOME": str(tmp_path)}
    )

    assert done.returncode == 0, done.stderr


@each_caddy
def test_caddyfile_is_in_caddys_own_format(caddy: Caddy) -> None:
    done = subprocess.run([require(caddy.name), "fmt", CADDYFILE], capture_output=True, text=True, check=False)

    assert done.stdout == CADDYFILE.read_text()


@each_caddy
async def test_caddy_secures_a_site_with_a_name(caddy: Caddy, tmp_path: Path, house: House) -> None:
    authority = tmp_path / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    async with caddy.secure(tmp_path, house) as (secure, plain):
        await until(lambda: secured(secure, authority), "a certificate")
        redirect = await look(plain, "/healthz")

    assert redirect.status == 308
    assert (redirect.header("Location") or "").startswith("https://")


async def secured(front: Shipped, authority: Path) -> bool:
    """Tell whether *front* answers over TLS with a certificate of this *authority*."""
    try:
        async with front.client(tls=ssl.create_default_context(cafile=str(authority))) as client:
            response = await client.request("GET", "/healthz")
            return response.status == 200
    except OSError:
        return False


@each_caddy
async def test_caddy_that_stops_lets_streams_come_to_their_end(caddy: Caddy, tmp_path: Path, house: House) -> None:
    async with caddy(tmp_path, house) as front, front.client() as client:
        await serving(front)
        headers = [*BEARER, ("X-Test-Scenario", "ok;pace=100ms;tokens=20")]
        response = await client.request("POST", CHAT, headers, chat(model="demo"))
        front.program.signal(signal.SIGTERM)

        body = await response.read()

        assert (response.end, body.endswith(DONE)) == (End.CLEAN, True)
        assert await front.program.exited() == 0


@each_caddy
async def test_caddy_hands_over_from_a_draining_replica_without_a_lost_request(caddy: Caddy, tmp_path: Path) -> None:
    patient = demo(drain={"grace": "1500ms", "deadline": "5s"})
    tasks = Tasks()
    async with open_house(patient) as old, open_house(patient) as new, caddy(tmp_path, old, new) as front:
        await serving(front)
        drained = tasks.spawn(old.server.drain(), name="drain")
        statuses = []
        while not drained.done():
            statuses.append((await ask(front, "ok;pace=0;tokens=1")).status)
        after = [(await ask(front, "ok;pace=0;tokens=1")).status for _ in range(5)]

        assert set(statuses + after) == {200}
        assert len(await new.records(5)) >= 5


@each_caddy
async def test_caddy_uses_a_replica_at_the_address_of_one_that_still_drains(caddy: Caddy, tmp_path: Path) -> None:
    """Its health checks go over the connections that it has kept to the old one, as long as there are any."""
    tasks = Tasks()
    async with open_house(demo(drain={"deadline": "60s"})) as old, caddy(tmp_path, old) as front, front.client() as client:
        await serving(front)
        await asyncio.gather(*(ask(front, PACED) for _ in range(KEPT)))
        held = await client.request("POST", CHAT, [*BEARER, ("X-Test-Scenario", "stall;after=1;pace=0")], chat(model="demo"))
        await held.read_until(b"data: ")
        drained = tasks.spawn(old.server.drain(), name="drain")
        await until(lambda: refused(*old.server.address), "the listener to close")

        async with open_house(demo(listen=address(old))) as new:

            async def watched() -> bool:
                return await new.metric("llm_proxy_requests_total", route="health", status="200") >= 2

            await until(watched, "health checks of the new one")
            statuses = [(await ask(front, "ok;pace=0;tokens=1")).status for _ in range(KEPT)]
            draining = not drained.done()
            client.reset()
            await drained

    assert (statuses, draining) == ([200] * KEPT, True)


@each_caddy
async def test_caddy_waits_for_a_replica_that_it_knows_by_name(caddy: Caddy, tmp_path: Path) -> None:
    """Nothing listens when the request comes."""
    port = free_port()
    named = {"FIND_PROXY": "dns", "PROXY_NAME": "localhost", "PROXY_PORT": str(port)}
    async with caddy(tmp_path, **named) as front, front.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat(model="demo"))
        waited = await client.silent(0.5)

        async with open_house(demo(listen=f"{HOST}:{port}")):
            response = await client.response()
            await response.read()

    assert waited
    assert (response.status, response.end) == (200, End.CLEAN)
