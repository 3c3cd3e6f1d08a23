from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from proxy.admin import AdminListener, Views
from proxy.metrics import Metrics
from proxy.settings import Address
from tests.unit.metrics.exchanges import refused, streaming

LOOPBACK = Address("127.0.0.1", 0)


class House:
    """An admin listener, and what its pages are told."""

    def __init__(self) -> None:
        self.state = "ready"
        self.upstreams: Sequence[Mapping[str, Any]] = [{"name": "openai", "circuit": "closed"}]
        self.metrics = Metrics()
        views = Views(ready=self.ready, upstreams=self.ups, streams=self.live, config=self.config)
        self.listener = AdminListener(LOOPBACK, self.metrics, views)
        self.url = ""

    def ready(self) -> str:
        return self.state

    def ups(self) -> Sequence[Mapping[str, Any]]:
        return self.upstreams

    def live(self) -> Sequence[Mapping[str, Any]]:
        return [{"id": "r1", "phase": "streaming"}]

    def config(self) -> Mapping[str, Any]:
        return {"listen": "127.0.0.1:8080", "file": Path("/etc/proxy.yaml"), "upstreams": {"openai": {"api_key": "***"}}}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    house.url = "http://" + await house.listener.start()
    yield house
    await house.listener.close()


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_metrics_are_served_in_the_text_format(house: House, client: ClientSession) -> None:
    house.metrics.record(refused())
    house.metrics.live = lambda: [streaming()]

    async with client.get(house.url + "/metrics") as response:
        text = await response.text()

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'llm_proxy_auth_failures_total{reason="expired"} 1.0\n' in text
    assert 'llm_proxy_streams_in_flight{route="chat",upstream="openai"} 1.0\n' in text
    assert "process_cpu_seconds_total " in text


@pytest.mark.parametrize("state", ["starting", "ready", "draining"])
async def test_the_process_is_alive_in_every_state(house: House, client: ClientSession, state: str) -> None:
    house.state = state

    async with client.get(house.url + "/livez") as response:
        body = await response.json()

    assert (response.status, body) == (200, {"status": "alive"})


@pytest.mark.parametrize(("state", "status"), [("ready", 200), ("starting", 503), ("draining", 503), ("stopped", 503)])
async def test_it_is_ready_only_when_it_is(house: House, client: ClientSession, state: str, status: int) -> None:
    house.state = state

    async with client.get(house.url + "/readyz") as response:
        body = await response.json()

    assert (response.status, body) == (status, {"status": state})


async def test_upstreams_and_config_are_json(house: House, client: ClientSession) -> None:
    async with client.get(house.url + "/upstreams") as response:
        upstreams = await response.json()
    async with client.get(house.url + "/config") as response:
        config = await response.json()

    assert upstreams == [{"name": "openai", "circuit": "closed"}]
    assert config == {
        "listen": "127.0.0.1:8080",
        "file": "/etc/proxy.yaml",
        "upstreams": {"openai": {"api_key": "***"}},
    }


@pytest.mark.parametrize("path", ["/", "/metrics/", "/METRICS", "/v1/models"])
async def test_another_path_is_not_found(house: House, client: ClientSession, path: str) -> None:
    async with client.get(house.url + path) as response:
        body = await response.json()

    assert response.status == 404
    assert body["error"]["code"] == "not_found"
    assert body["error"]["paths"] == ["/metrics", "/livez", "/readyz", "/upstreams", "/streams", "/config"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_nothing_can_be_changed(house: House, client: ClientSession, method: str) -> None:
    async with client.request(method, house.url + "/config", data=b"{}") as response:
        body = await response.json()

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert body["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/upstreams", "/streams", "/config"])
async def test_head_answers_without_a_body(house: House, client: ClientSession, path: str) -> None:
    async with client.head(house.url + path) as response:
        body = await response.read()

    assert response.status == 200
    assert body == b""


@pytest.mark.parametrize("path", ["/metrics", "/config", "/nowhere"])
async def test_a_page_from_another_origin_is_given_nothing(house: House, client: ClientSession, path: str) -> None:
    async with client.get(house.url + path, headers={"Origin": "https://example.com"}) as response:
        await response.read()

    assert not [name for name in response.headers if name.lower().startswith("access-control-")]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_page_that_fails_says_so_in_json_and_keeps_the_reason(
    house: House, client: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    house.upstreams = [{"broken": 1 << 70}]

    async with client.get(house.url + "/upstreams") as response:
        body = await response.json()

    assert (response.status, body) == (500, {"error": {"code": "internal_error"}})
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.ERROR, "an admin page failed")]


async def test_an_address_in_use_is_an_error_at_the_start(house: House) -> None:
    port = int(house.url.rpartition(":")[2])
    second = AdminListener(Address("127.0.0.1", port), Metrics(), Views(ready=str, upstreams=list, streams=list, config=dict))

    with pytest.raises(
        OSError, match=r"Address already in use; admin\.listen or LLM_PROXY_ADMIN__LISTEN chooses another address"
    ):
        await second.start()

    await second.close()


async def test_after_closing_nobody_listens() -> None:
    house = House()
    address = Address.parse(await house.listener.start())

    await house.listener.close()
    await house.listener.close()

    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect((address.host, address.port))


async def test_pages_are_json_for_machines_and_people(house: House, client: ClientSession) -> None:
    async with client.get(house.url + "/readyz") as response:
        text = await response.text()

    assert response.headers["Content-Type"] == "application/json"
    assert text == json.dumps({"status": "ready"}, indent=2) + "\n"


async def test_what_a_page_shows_is_got_before_it_is_rendered(house: House, client: ClientSession) -> None:
    asked = []

    async def refresh(path: str) -> None:
        asked.append(path)
        house.upstreams = [{"name": "fresh"}]

    house.listener._views = replace(house.listener._views, refresh=refresh)

    async with client.get(house.url + "/upstreams") as response:
        shown = await response.json()

    assert (asked, shown) == (["/upstreams"], [{"name": "fresh"}])
