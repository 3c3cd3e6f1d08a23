"""The doctor as an operator runs it, through real web servers that let a stream pass, hold it back, or stand in its way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import shipped
from tests.e2e.command import Ended, run
from tests.e2e.front import Front, caddy, nginx
from tests.support.components import HOST
from tests.support.house import KEY, House

QUICK = ("--count", "6", "--interval", "0.3")
EVENTS_HELD = "proxy_ignore_headers X-Accel-Buffering;"  # else nginx obeys the proxy, whatever its `proxy_buffering` is

nginx_needed = pytest.mark.component("nginx")
caddy_needed = pytest.mark.component("caddy")
haproxy_needed = pytest.mark.component("haproxy")


def url(front: Front | shipped.Shipped) -> str:
    return f"http://{HOST}:{front.port}"


async def doctor(folder: Path, *words: str, **environ: str) -> Ended:
    desk = folder / "desk"  # nginx has a folder named `proxy` in its own, which would be taken for the package
    desk.mkdir(exist_ok=True)
    return await run("doctor", *words, folder=desk, env={"LLM_PROXY_KEY": KEY, **environ})


async def examined(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report for machines."""
    ended = await doctor(folder, *words, *QUICK, "--json")
    assert ended.err == ""
    return ended.code, json.loads(ended.out)


def words(report: dict[str, Any]) -> list[str]:
    return [hop["verdict"]["word"] for hop in report["hops"]]


@nginx_needed
@caddy_needed
@haproxy_needed
async def test_servers_as_we_ship_them_stream(tmp_path: Path, house: House) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    async with (
        shipped.OLD(tmp_path / "a", house) as one,
        shipped.nginx(tmp_path / "b", house) as two,
        shipped.haproxy(tmp_path / "c", house) as three,
    ):
        code, report = await examined(tmp_path, house.url, url(one), url(two), url(three))

    assert words(report) == ["STREAMING"] * 4
    assert (code, report["good"], report["blame"]) == (0, True, None)
    assert [hop["products"] for hop in report["hops"]] == [[], ["Caddy"], ["nginx"], []]
    assert all(hop["answer"]["headers_lost"] == [] for hop in report["hops"])


@nginx_needed
async def test_nginx_that_buffers_is_found_and_its_setting_named(tmp_path: Path, house: House) -> None:
    async with nginx(tmp_path, house, location=EVENTS_HELD) as front:
        code, report = await examined(tmp_path, house.url, url(front))
        told = await doctor(tmp_path, house.url, url(front), *QUICK)

    assert words(report) == ["STREAMING", "BUFFERED"]
    assert (code, report["blame"]["hop"], report["blame"]["fix"]["product"]) == (1, 2, "nginx")
    assert report["hops"][1]["answer"]["http_at_the_proxy"] == "1.0"
    assert told.code == 1
    assert f"{url(front)} is the first that is worse than the one before it: nginx holds bytes back." in told.out
    assert "proxy_buffering off" in told.out
    assert "BUFFERED (all at once after 1." in told.out


@caddy_needed
async def test_caddy_that_compresses_streams_is_found_and_its_setting_named(tmp_path: Path, house: House) -> None:
    async with caddy(tmp_path, house, site="encode gzip") as front:
        code, report = await examined(tmp_path, house.url, url(front), "--size", "600")

    assert words(report) == ["STREAMING", "BUFFERED"]
    assert code == 1
    assert report["blame"]["fix"]["product"] == "Caddy"
    assert "encode" in report["blame"]["fix"]["text"]
    assert report["hops"][1]["answer"]["encoding"] == "gzip"


@nginx_needed
async def test_server_that_gives_up_on_silence_is_found(tmp_path: Path, house: House) -> None:
    async with nginx(tmp_path, house, location="proxy_read_timeout 500ms;") as front:
        ended = await doctor(tmp_path, url(front), "--count", "3", "--interval", "2", "--json")

    report = json.loads(ended.out)
    assert words(report) == ["CUT"]
    assert report["blame"]["fix"]["symptom"] == "silence"


async def test_wrong_credential_is_said(tmp_path: Path, house: House) -> None:
    ended = await doctor(tmp_path, house.url, "--key", "nonsense")

    assert ended.code == 1
    assert "REFUSED  the credential is missing or wrong: --key, or LLM_PROXY_KEY (status 401)" in ended.out
