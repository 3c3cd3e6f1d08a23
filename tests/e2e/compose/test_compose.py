"""Image and compose file as a newcomer runs them, on a real engine: up, a stream, metrics, replicas, a rolling restart, down."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any, Final

import pytest

from proxy.tasks import Tasks
from tests.e2e.compose import images
from tests.e2e.compose.engine import Engine, engine
from tests.e2e.compose.stack import Stack, stack
from tests.support.client import End, Response
from tests.support.house import CHAT, chat
from tests.support.upstream import DONE
from tests.support.wire import WITHIN

IMAGE: Final = "llm-stream-proxy"
MOST: Final = 120_000_000  # bytes that the image may have beyond its base
REPLICAS: Final = 3
SCALED: Final = ("up", "--detach", "--wait", "--no-recreate", "--scale", f"proxy={REPLICAS}")
LIVE: Final = 12  # streams at a time
STREAM: Final = "ok;pace=100ms;tokens=70"
ADMIN: Final = ("/metrics", "/livez", "/readyz", "/upstreams", "/streams", "/config")

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(900),
    *(pytest.mark.component(name) for name in ("dockerd", "docker", "debootstrap", "iptables", "ip", "make", "git")),
    pytest.mark.skipif(os.geteuid() != 0, reason="A DOCKER ENGINE NEEDS ROOT, so image and compose file are not tested"),
]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("engine")) as running:
        images.make(running)
        yield running


@pytest.fixture(scope="module")
def services(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything that can be had here, up and healthy, as one command leaves it; Grafana cannot."""
    with stack(docker, tmp_path_factory.mktemp("project")) as project:
        project.compose("up", "--detach", "--build", "--wait", "caddy", "proxy", "prometheus", "redis")
        yield project


@pytest.fixture(scope="module")
def token(services: Stack) -> str:
    return services.inside("proxy", "llm-proxy", "token", "--sub", "alice").strip()


async def ask(services: Stack, credential: str, scenario: str) -> Response:
    """Send a streamed chat request through Caddy and read its answer to the end."""
    async with services.client() as client:
        headers = [("Authorization", f"Bearer {credential}"), ("X-Test-Scenario", scenario)]
        response = await client.request("POST", CHAT, headers, chat(model="demo"), within=30)
        await response.read(within=60)
        return response


def troubles(services: Stack) -> str:
    """Return what replicas and Caddy have said about requests that did not come to a good end."""
    said = [services.engine.docker("logs", each) for name in ("proxy", "caddy") for each in services.containers(name)]
    marks = ('"level":"warn', '"level":"error"', '"outcome":"client_gone"', "draining", "stopped")
    return "\n".join(line for log in said for line in log.splitlines() if any(mark in line for mark in marks))


# The image.


def test_image_is_small(docker: Engine, services: Stack) -> None:
    assert services.folder.exists()  # it has been built

    whole, base = (int(docker.docker("image", "inspect", "--format={{.Size}}", name)) for name in (IMAGE, images.PYTHON))

    assert whole - base < MOST


def test_image_runs_as_nobody_and_ends_by_sigterm(docker: Engine, services: Stack) -> None:
    assert services.folder.exists()

    config = json.loads(docker.docker("image", "inspect", "--format={{json .Config}}", IMAGE))

    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert (config["Entrypoint"], config["Cmd"]) == (["llm-proxy"], ["serve"])
    assert config["Healthcheck"]["Test"] == ["CMD", "llm-proxy", "healthcheck"]
    assert config["Labels"]["org.opencontainers.image.title"] == IMAGE


def test_image_can_still_sign_for_aws(services: Stack) -> None:
    """Most of botocore's data has been left out."""
    code = (
        "import botocore.session as s; session = s.get_session();"
        "[session.create_client(name, 'us-east-1') for name in ('bedrock-runtime', 'sts', 'sso', 'sso-oidc', 'signin')];"
        "print('made')"
    )

    assert services.inside("proxy", "python", "-c", code).strip() == "made"


# The stack.


def test_nothing_but_caddy_can_be_reached_and_nothing_has_more_than_it_needs(docker: Engine, services: Stack) -> None:
    for service in ("caddy", "proxy", "prometheus", "redis"):
        (container,) = services.containers(service)
        host: dict[str, Any] = services.inspect(container)["HostConfig"]

        assert bool(host["PortBindings"]) == (service == "caddy")
        assert all(bound["HostIp"] == "127.0.0.1" for ports in host["PortBindings"].values() for bound in ports)
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0
        assert host["NanoCpus"] > 0


async def test_stream_comes_through_caddy_token_by_token(services: Stack, token: str) -> None:
    response = await ask(services, token, "ok;pace=100ms;tokens=10")

    assert (response.status, response.end) == (200, End.CLEAN)
    assert response.body.endswith(DONE)
    assert response.reads[-1].at - response.reads[0].at > 0.5


async def test_nobody_comes_in_without_a_credential(services: Stack) -> None:
    assert (await ask(services, "lp_wrong", STREAM)).status == 401


async def test_what_is_for_operators_is_closed(services: Stack) -> None:
    for path in ADMIN:
        async with services.client() as client:
            assert (await client.request("GET", path)).status == 404


async def test_log_is_json_and_holds_no_credential(docker: Engine, services: Stack, token: str) -> None:
    subjects: set[str] = set()
    async with asyncio.timeout(WITHIN):
        while not subjects:  # the proxy gathers lines for a moment before it writes them
            await asyncio.sleep(0.1)
            said = "".join(docker.docker("logs", *services.containers(service)) for service in ("proxy", "caddy"))
            lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            subjects = {line["subject"] for line in lines if line.get("event") == "request" and "subject" in line}

    assert subjects == {"alice"}
    assert any(line.get("msg") == "handled request" for line in lines)
    assert token not in said


async def test_rolling_restart_of_several_replicas_loses_no_stream_and_refuses_none(services: Stack, token: str) -> None:
    await asyncio.to_thread(services.compose, *SCALED, "caddy", "proxy", "prometheus")
    await asyncio.to_thread(services.until_asked, 'sum(up{job="llm-proxy"})', REPLICAS)
    tasks, over = Tasks(), asyncio.Event()

    async def visits(scenario: str) -> list[tuple[int, End | None, bool]]:
        seen = []
        while not over.is_set():
            response = await ask(services, token, scenario)
            seen.append((response.status, response.end, response.body.endswith(DONE)))
        return seen

    long = [tasks.spawn(visits(STREAM), name=f"stream {number}") for number in range(LIVE)]
    short = [tasks.spawn(visits("ok;pace=5ms;tokens=4"), name=f"answer {number}") for number in range(2)]
    for container in services.containers("proxy"):
        await asyncio.to_thread(services.engine.docker, "restart", "-t", "150", container)
        await asyncio.to_thread(services.compose, *SCALED, "proxy")
    over.set()
    seen = [each for task in (*long, *short) for each in await task]

    assert set(seen) == {(200, End.CLEAN, True)}, troubles(services)
    assert len(seen) > 100


async def test_requests_of_every_replica_are_counted(services: Stack, token: str) -> None:
    """By the recording rules as well, so they are loaded."""
    await asyncio.gather(*(ask(services, token, "ok;pace=0") for _ in range(40)))

    await asyncio.to_thread(services.until_asked, 'count(sum by (instance) (llm_proxy_requests_total{stream="true"}))', REPLICAS)
    await asyncio.to_thread(services.until_asked, 'count(llm_proxy:requests:rate5m{outcome="completed"} > 0)', 1)


def test_what_they_used_is_in_one_store(services: Stack) -> None:
    used = json.loads(services.inside("proxy", "llm-proxy", "usage", "--json"))

    assert sum(row["calls"] for row in used if row["subject"] == "alice") > 100


def test_down_leaves_nothing(docker: Engine, services: Stack) -> None:
    services.compose("down", "--volumes")

    for kind in ("container", "network", "volume"):
        assert "llm-proxy" not in docker.docker(kind, "ls", *(["--all"] if kind == "container" else []))
