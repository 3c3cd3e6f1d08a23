"""The command itself, from the first start to the last signal, as a newcomer meets it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.e2e.command import ADMIN, Ended, Serving, run, serve
from tests.support.answers import FINISH, TOKEN
from tests.support.components import HOST, free_port, require
from tests.support.upstream import DONE, Upstream, stream

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "proxy.example.yaml"
READY_WITHIN = 1.5
BAD = """\
listen: 127.0.0.1:{port}
workers: many
upstreams:
  demo: {{kind: simulator, colour: blue}}
"""


async def paste(line: str, env: dict[str, str] | None = None) -> list[tuple[float, bytes]]:
    """Run *line* in a shell and return when each line of its output came."""
    shell = await asyncio.create_subprocess_exec(
        *(require("bash"), "-c", line),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    assert shell.stdout is not None
    async with asyncio.timeout(20):
        lines = [(time.monotonic(), line) async for line in shell.stdout]
        assert await shell.wait() == 0
    return lines


async def whoami(serving: Serving, credential: str) -> tuple[int, Any]:
    """Ask the proxy who this is, and return status and answer."""
    async with serving.client() as client:
        response = await client.request("GET", "/auth/ping", [("Authorization", f"Bearer {credential}")])
        await response.read()
        return response.status, response.json()


# serve


async def test_starts_with_nothing_and_is_ready_at_once(tmp_path: Path) -> None:
    waits = []

    for _ in range(3):  # the best of them: this machine may be busy with something else
        began = time.monotonic()
        async with serve(tmp_path) as serving, serving.client() as client:
            response = await client.request("GET", "/healthz")
            waits.append(time.monotonic() - began - waited_for_a_core(serving.program.pid))
            assert response.status == 200
        if waits[-1] < READY_WITHIN:
            break

    assert min(waits) < READY_WITHIN


def waited_for_a_core(pid: int) -> float:
    """Return the seconds for which others ran although this process could have."""
    _ran, waited, _times = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    return waited / 1e9


@pytest.mark.component("curl")
async def test_the_line_in_the_banner_shows_tokens_one_by_one(tmp_path: Path) -> None:
    async with serve(tmp_path) as serving:
        assert serving.err.count("curl -N") == 1
        lines = await paste(serving.line("curl -N"))

    events = [(at, line) for at, line in lines if line.startswith(b"data:")]
    times = [at for at, _ in events]
    assert len(events) > 10
    assert events[-1][1].strip() == b"data: [DONE]"
    assert median(later - at for at, later in itertools.pairwise(times)) > 0.01
    assert times[-1] - times[0] > 0.3


async def test_the_banner_says_what_listens_what_answers_and_who_may_ask(tmp_path: Path) -> None:
    async with serve(tmp_path) as serving:
        assert serving.line("listening").endswith(serving.url)
        assert re.search(r"http://127\.0\.0\.1:[1-9]\d*$", serving.line("admin"))
        assert "demo" in serving.line("upstreams")
        assert "no credential is configured" in serving.line("clients")
        assert "scripted text" in serving.line("simulator")
        assert "curl" not in serving.out


async def test_openai_key_in_the_environment_is_all_it_takes(tmp_path: Path) -> None:
    key = "sk-secret-0123456789abcdef"
    async with Upstream() as openai:
        openai.script(stream(TOKEN, FINISH, DONE))
        env = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{openai.url}/v1"}
        async with serve(tmp_path, env) as serving:
            async with AsyncOpenAI(base_url=f"{serving.url}/v1", api_key="anything") as client:
                chunks = await client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], stream=True
                )
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
            serving.program.signal(signal.SIGINT)
            await serving.program.exited()

            assert text == "Hi"
            assert (await openai.request()).header("authorization") == f"Bearer {key}"
            assert re.search(r"openai +openai +key present", serving.line("upstreams"))
            assert "simulator" not in serving.err
            assert '"outcome":"completed"' in serving.out
            assert key not in serving.err + serving.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    async with serve(tmp_path, {"LLM_PROXY_DRAIN__GRACE": "0s"}) as serving:
        serving.program.signal(number)

        assert await serving.program.exited() == 0
    assert "Traceback" not in serving.err + serving.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_workers_introduce_themselves_once_and_are_asked_and_ended_together(tmp_path: Path, number: signal.Signals) -> None:
    admin = {"LLM_PROXY_ADMIN__LISTEN": f"{HOST}:{free_port()}"}
    async with serve(tmp_path, {**admin, "LLM_PROXY_WORKERS": "2", "LLM_PROXY_DRAIN__GRACE": "0s"}) as serving:
        health = await run("healthcheck", folder=tmp_path, env=admin)
        answers = [await whoami(serving, "anything") for _ in range(8)]
        os.killpg(serving.program.pid, number)  # as a terminal does

        assert await serving.program.exited() == 0
        assert health == Ended(0, "", "")
        assert {status for status, _ in answers} == {200}
        assert serving.err.count("listening") == 1
        assert serving.line("listening").endswith(serving.url)
        assert "scripted text" in serving.line("simulator")
    assert "Traceback" not in serving.err + serving.out


async def test_a_worker_is_nothing_that_people_start(tmp_path: Path) -> None:
    assert "worker" not in (await run("--help", folder=tmp_path)).out


async def test_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"

        ended = await run("serve", "--listen", address, folder=tmp_path, env=ADMIN)

    assert ended.code == 1
    assert ended.err.startswith("llm-proxy: cannot listen: ")
    assert address in ended.err
    assert ended.err.count("\n") == 1


async def test_wrong_settings_are_told_before_anything_listens(tmp_path: Path) -> None:
    """The port is taken: whoever listens first and reads afterwards fails with another code and other words."""
    with socket.create_server((HOST, 0)) as taken:
        (tmp_path / "bad.yaml").write_text(BAD.format(port=taken.getsockname()[1]))

        ended = await run("serve", "--config", "bad.yaml", folder=tmp_path)

    assert ended.code == 2
    assert [line.split(" ")[:2] for line in ended.err.splitlines()] == [
        ["bad.yaml:2:10", "workers:"],
        ["bad.yaml:4:27", "upstreams.demo.colour:"],
    ]


async def test_serving_beyond_loopback_without_a_credential_is_refused(tmp_path: Path) -> None:
    ended = await run("serve", "--listen", "0.0.0.0:0", folder=tmp_path, env=ADMIN)

    assert ended.code == 2
    assert "allow_anonymous" in ended.err


# check, schema


async def test_example_configuration_is_valid(tmp_path: Path) -> None:
    ended = await run("check", "--config", EXAMPLE, folder=tmp_path, env={"JWT_SECRET": "s" * 32})

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"ok: {EXAMPLE}\n")


async def test_missing_variable_is_told_with_its_place(tmp_path: Path) -> None:
    ended = await run("check", "--config", EXAMPLE, folder=tmp_path)

    line = next(n for n, text in enumerate(EXAMPLE.read_text().splitlines(), 1) if "${JWT_SECRET}" in text)
    assert ended.code == 2
    assert ended.out == ""
    assert re.match(rf"{re.escape(str(EXAMPLE))}:{line}:\d+ auth\.jwt\.1\.secret: .*JWT_SECRET", ended.err)


async def test_installed_command_is_the_same_program(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "llm-proxy", "--version", stdout=asyncio.subprocess.PIPE
    )

    out, _ = await process.communicate()

    assert out.decode() == (await run("--version", folder=tmp_path)).out


# healthcheck


async def test_healthcheck_tells_a_ready_proxy_from_none(tmp_path: Path) -> None:
    admin = {"LLM_PROXY_ADMIN__LISTEN": f"{HOST}:{free_port()}"}

    before = await run("healthcheck", folder=tmp_path, env=admin)
    async with serve(tmp_path, admin) as serving:
        during = await run("healthcheck", folder=tmp_path, env=admin)
        by_url = await run("healthcheck", "--url", serving.line("admin").split()[-1], folder=tmp_path)

    assert (before.code, during.code, by_url.code) == (1, 0, 0)
    assert "does not answer" in before.err
    assert during == by_url == Ended(0, "", "")


async def test_healthcheck_fails_while_the_proxy_drains(tmp_path: Path) -> None:
    admin = {"LLM_PROXY_ADMIN__LISTEN": f"{HOST}:{free_port()}"}
    async with serve(tmp_path, {**admin, "LLM_PROXY_DRAIN__GRACE": "30s", "LLM_PROXY_DRAIN__DEADLINE": "30s"}) as serving:
        serving.program.signal(signal.SIGTERM)
        ended = await run("healthcheck", folder=tmp_path, env=admin)
        serving.program.signal(signal.SIGTERM)

        assert await serving.program.exited() == 0
    assert ended.code == 1
    assert "is not ready: status 503" in ended.err


# key, token


async def test_key_that_was_made_is_let_in_and_no_other(tmp_path: Path) -> None:
    made = await run("key", "--id", "me", folder=tmp_path)
    key, entry = made.out.splitlines()
    found = re.search(r"\{id: me, sha256: ([0-9a-f]{64})\}", entry)
    assert found is not None

    async with serve(tmp_path, {"LLM_PROXY_API_KEYS": f"me:{found[1]}"}) as serving:
        mine = await whoami(serving, key)
        other = await whoami(serving, key[:-1] + ("0" if key[-1] != "0" else "1"))

        assert serving.line("clients").endswith("1 API key")

    assert made.code == 0
    assert mine[0] == 200
    assert mine[1]["subject"] == "me"
    assert (other[0], other[1]["error"]["code"]) == (401, "invalid_credentials")
    assert key not in serving.err + serving.out


@pytest.mark.component("curl")
async def test_the_line_in_the_banner_takes_the_key_from_the_shell(tmp_path: Path) -> None:
    key, entry = (await run("key", folder=tmp_path)).out.splitlines()
    digest = entry.partition("sha256: ")[2].rstrip("}")

    async with serve(tmp_path, {"LLM_PROXY_API_KEYS": f"me:{digest}"}) as serving:
        line = serving.line("curl -N")
        allowed, refused = await asyncio.gather(*(paste(line, {"LLM_PROXY_KEY": each}) for each in (key, "lp_wrong")))

    assert b"data: [DONE]\n" in [line for _, line in allowed]
    assert b"invalid_credentials" in refused[0][1]


async def test_token_that_was_signed_is_let_in_with_its_subject(tmp_path: Path) -> None:
    env = {"LLM_PROXY_JWT_SECRET": "0123456789abcdef0123456789abcdef"}
    made = await run("token", "--sub", "alice", "--ttl", "5m", folder=tmp_path, env=env)
    token = made.out.strip()

    async with serve(tmp_path, env) as serving:
        good = await whoami(serving, token)
        forged = await whoami(serving, token[:-6] + "AAAAAA")

    assert made.code == 0
    assert good[0] == 200
    assert good[1]["subject"] == "alice"
    assert good[1]["expires_at"].endswith("Z")
    assert forged[0] == 401
    assert token not in serving.err + serving.out
