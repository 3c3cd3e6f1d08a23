"""The doctor as an operator runs it, through real web servers that let a stream pass, hold it back, or stand in its way."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import shipped
from tests.e2e.command import Ended, run
from tests.e2e.front import Front, caddy, nginx
from tests.e2e.parts import demo
from tests.support.certificates import Authority
from tests.support.components import HOST, free_port
from tests.support.house import CHAT, KEY, House, chat, open_house

QUICK = ("--count", "4", "--interval", "0.6")  # on a busy machine a stall of a quarter of a second must not look like a burst
EVENTS_HELD = "proxy_ignore_headers X-Accel-Buffering;"  # else nginx obeys the proxy, whatever its `proxy_buffering` is

pytestmark = pytest.mark.timeout(180)  # an examination takes seconds, and on a busy machine many

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


@caddy_needed
async def test_lines_of_json_stream_as_events_do(tmp_path: Path, house: House) -> None:
    async with caddy(tmp_path, house) as front:
        code, report = await examined(tmp_path, url(front), "--format", "ndjson")

    assert (code, words(report)) == (0, ["STREAMING"])


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


@haproxy_needed
async def test_haproxy_that_holds_bytes_for_a_moment_is_found(tmp_path: Path, house: House) -> None:
    async with shipped.haproxy(tmp_path, house, without="option http-no-delay") as front:
        code, report = await examined(tmp_path, house.url, url(front))

    assert (code, words(report)) == (0, ["STREAMING", "STREAMING"])
    assert [(note["hop"], note["fix"]["symptom"]) for note in report["notes"]] == [(2, "late")]
    assert "option http-no-delay" in report["notes"][0]["fix"]["text"]


@nginx_needed
async def test_server_that_gives_up_on_silence_is_found(tmp_path: Path, house: House) -> None:
    async with nginx(tmp_path, house, location="proxy_read_timeout 500ms;") as front:
        ended = await doctor(tmp_path, url(front), "--count", "3", "--interval", "2", "--json")

    report = json.loads(ended.out)
    assert words(report) == ["CUT"]
    assert report["blame"]["fix"]["symptom"] == "silence"


async def test_terminal_that_lacks_the_symbols_gets_the_words(tmp_path: Path) -> None:
    ended = await doctor(tmp_path, f"http://{HOST}:{free_port()}", PYTHONIOENCODING="ascii")

    assert (ended.code, ended.err) == (1, "")
    assert "? REFUSED  nothing listens there (connection refused)" in ended.out


async def test_wrong_credential_is_said(tmp_path: Path, house: House) -> None:
    ended = await doctor(tmp_path, house.url, "--key", "nonsense")

    assert ended.code == 1
    assert "REFUSED  the credential is missing or wrong: --key, or LLM_PROXY_KEY (status 401)" in ended.out


# Further probes.


async def probed(folder: Path, at: str, *words: str) -> dict[str, dict[str, Any]]:
    """Return what the probes find at one hop, by their names."""
    _, report = await examined(folder, at, *words)
    return {probe["probe"]: probe for probe in report["hops"][0]["probes"]}


@nginx_needed
@haproxy_needed
async def test_servers_as_we_ship_them_pass_the_probes(tmp_path: Path) -> None:
    probes = ("--post", "--compression", "--disconnect", "--reconnect", "--websocket", "--clock", "--headers=4", "--bodies=2,12")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        open_house(demo(limits={"body": "32MiB"})) as house,
        shipped.nginx(tmp_path / "a", house) as one,
        shipped.haproxy(tmp_path / "b", house) as two,
    ):
        code, report = await examined(tmp_path, house.url, url(one), url(two), *probes)

    found = [{probe["probe"]: probe["ok"] for probe in hop["probes"]} for hop in report["hops"]]
    assert found == [dict.fromkeys((word.strip("-").partition("=")[0] for word in probes), True)] * 3
    assert code == 0
    silent = [probe["said"] for hop in report["hops"] for probe in hop["probes"] if probe["probe"] == "disconnect"]
    assert [said.startswith("noticed") for said in silent] == [True, True, False]  # HAProxy tells at the next byte only


@nginx_needed
async def test_limit_on_silence_is_found(tmp_path: Path, house: House) -> None:
    async with nginx(tmp_path, house, location="proxy_read_timeout 1s;") as front:
        found = await probed(tmp_path, url(front), "--idle", "0.5,3")

    assert found["idle"]["ok"]
    assert "keepalives keep them open" in found["idle"]["said"]
    passed, cut = found["idle"]["facts"]["without_keepalives"]
    assert passed["cut_ms"] is None
    assert 900 < cut["cut_ms"] < 3000


@nginx_needed
async def test_limits_of_nginx_on_requests_are_found_and_their_settings_named(tmp_path: Path, house: House) -> None:
    async with nginx(tmp_path, house) as front:
        found = await probed(tmp_path, url(front), "--headers", "--bodies", "0.05,2")  # the proxy itself takes 64 KiB here

    assert [found[name]["fix"]["text"] for name in ("headers", "bodies")] == [
        "set `large_client_header_buffers 4 16k;`",
        "set `client_max_body_size 32m;`",
    ]
    assert found["headers"]["facts"] == {"passed": 7, "refused": 15}
    assert found["bodies"]["facts"] == {"passed": 0.05, "refused": 2}


@caddy_needed
async def test_compression_that_spares_small_events_is_found_by_its_probe(tmp_path: Path, house: House) -> None:
    async with caddy(tmp_path, house, site="encode gzip zstd") as front:
        code, report = await examined(tmp_path, url(front), "--compression")

    [probe] = report["hops"][0]["probes"]
    assert (code, words(report), probe["ok"]) == (1, ["STREAMING"], False)
    assert probe["facts"]["encoding"] in ("gzip", "zstd")
    assert "encode" in probe["fix"]["text"]


# Other streams, other ends.


@caddy_needed
async def test_certificate_that_nobody_vouches_for_is_said_and_can_be_vouched_for(tmp_path: Path, house: House) -> None:
    authority = Authority(tmp_path)
    async with caddy(tmp_path, house, certificate=authority.issue()) as front:
        at = f"https://{HOST}:{front.port}"
        refused = await doctor(tmp_path, at, *QUICK)
        code, report = await examined(tmp_path, at, "--cafile", str(authority.path))

    assert refused.code == 1
    assert "REFUSED  its certificate is not trusted (" in refused.out
    assert (code, report["hops"][0]["answer"]["tls"], report["hops"][0]["answer"]["http_2_offered"]) == (0, "TLSv1.3", True)


@caddy_needed
async def test_stream_of_a_model_is_compared_on_two_ways(tmp_path: Path, house: House) -> None:
    async with caddy(tmp_path, house) as front:
        ways = [f"{at}{CHAT}" for at in (house.url, url(front))]
        ended = await doctor(tmp_path, "--url-is-stream", "--data", chat(model="demo").decode(), *ways)

    assert ended.code == 0
    lines = ended.out.splitlines()
    at = next(number for number, line in enumerate(lines) if "gap 95 %" in line)
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["1", "2"]
    assert all(line.endswith("STREAMING") for line in lines[at + 1 : at + 3])


async def test_stream_without_an_end_is_left(tmp_path: Path, house: House) -> None:
    ended = await doctor(tmp_path, "--url-is-stream", "--for", "1", f"{house.url}/test/stream?count=1000&interval=0.1")

    assert ended.code == 0
    assert "STREAMING  it was still open when we stopped listening" in ended.out


@pytest.mark.parametrize("words", [("http://user:secret@x",), ("gopher://x",), ("--idle", "http://x")])
async def test_wrong_use_is_said_and_has_its_exit_code(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = await doctor(tmp_path, *words)

    assert (ended.code, ended.out) == (2, "")
    assert "secret" not in ended.err
    assert "Traceback" not in ended.err


async def test_terminal_shows_a_bar_and_an_interrupted_doctor_leaves_quietly(tmp_path: Path, house: House) -> None:
    ours, its = pty.openpty()
    started = ("env", "--default-signal=INT", sys.executable)  # a shell's background job would ignore it
    process = await asyncio.create_subprocess_exec(
        *started,
        "-m",
        "proxy",
        "doctor",
        f"{house.url}",
        "--interval",
        "30",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=its,
        env={"LLM_PROXY_KEY": KEY},
        cwd=tmp_path,
    )
    os.close(its)
    try:
        shown = b""
        while b"left" not in shown:
            shown += await asyncio.to_thread(os.read, ours, 4096)
        process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(process.wait(), 10)
        rest = await asyncio.to_thread(os.read, ours, 65536)
    finally:
        os.close(ours)

    assert "░" in shown.decode()
    assert code == 1
    assert b"Traceback" not in rest
