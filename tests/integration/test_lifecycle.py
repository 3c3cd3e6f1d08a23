"""The life of the real process, P31: start, reload, and an end that is orderly, honest, and in time."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asking import BUSY, WHOLE, until
from tests.integration.process import Process, running
from tests.support.answers import KEEPALIVE, TOKEN
from tests.support.client import End, RawClient
from tests.support.components import HOST, Program, free_port
from tests.support.house import BEARER, CHAT, chat
from tests.support.upstream import DONE, Gate, Hang, How, Upstream, answer, stream, verbatim

DRAIN = 3.0  # seconds, as in the harness of P31
GRACE = 2.0  # in which several requests have to be made, also on a busy machine
AT_ONCE = 2.0  # seconds
SLACK = 8.0  # seconds in which a process that has nothing left to do is gone, also on a busy machine; deadlines are far longer
BAD = """\
listen: nowhere
limits:
  streams: 0
  bodys: 1MiB
upstreams: {}
"""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


# The end.


async def test_p31_stream_that_runs_at_sigterm_completes_and_then_the_process_exits_with_0(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), TOKEN, DONE))
    async with running(tmp_path, upstream, drain={"deadline": f"{DRAIN:g}s"}) as process, process.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)
        ready = (await process.admin("/readyz"))[0]

        signalled = process.signal()
        await process.until_ready_says(503, within=AT_ONCE)
        await response.read_until(TOKEN + KEEPALIVE)
        upstream.open("rest")
        await response.read()
        code, exited = await process.exited()

        assert ready == 200
        assert bytes(response.body).replace(KEEPALIVE, b"") == TOKEN + WHOLE
        assert response.end is End.CLEAN
        assert (code, exited - signalled < DRAIN + 1) == (0, True)
        assert [(line["outcome"], line["status"]) for line in process.lines("request")] == [("completed", 200)]
        waiting = process.lines("waiting for requests in flight")
        assert waiting
        assert waiting[0]["in_flight"] == {"chat": 1}


async def test_idle_process_exits_with_0_at_once(tmp_path: Path, upstream: Upstream) -> None:
    async with running(tmp_path, upstream) as process:
        signalled = process.signal()
        code, exited = await process.exited()

        assert (code, exited - signalled < SLACK) == (0, True)
        assert "Traceback" not in process.program.output()


async def test_process_still_accepts_during_the_grace_and_not_after_it(tmp_path: Path, upstream: Upstream) -> None:
    """A load balancer needs that long to notice."""
    upstream.script(stream(TOKEN, Gate("rest"), DONE), answer({"during": "grace"}))
    async with running(tmp_path, upstream, drain={"grace": f"{GRACE:g}s"}) as process, process.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        signalled = process.signal()
        await process.until_ready_says(503, within=AT_ONCE)
        _, measured = await process.admin("/metrics")
        async with process.client() as late:
            response = await late.request("POST", CHAT, BEARER, chat(stream=False))
            await response.read()
            health = await late_health(process)
        await until(process.refuses, "the listener to close")
        closed = time.monotonic()
        upstream.open("rest")
        await held.read()
        code, _ = await process.exited()

        assert (response.status, response.json(), response.header("connection")) == (200, {"during": "grace"}, "close")
        assert health == 503
        assert "\nllm_proxy_draining 1.0\n" in measured
        assert 0.9 * GRACE < closed - signalled < GRACE + SLACK
        assert (held.end, code) == (End.CLEAN, 0)


async def late_health(process: Process) -> int:
    async with process.client() as client:
        return (await client.request("GET", "/healthz")).status


async def test_open_connections_are_served_while_the_process_drains_and_then_closed(tmp_path: Path, upstream: Upstream) -> None:
    """A front proxy's pooled connection must not see a refusal."""
    upstream.script(answer({"before": True}), stream(TOKEN, Gate("rest"), DONE), answer({"while": "draining"}))
    async with running(tmp_path, upstream) as process, process.client() as held, process.client() as pooled:
        before = await pooled.request("POST", CHAT, BEARER, chat(stream=False))
        await before.read()
        response = await held.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        process.signal()
        await until(process.refuses, "the listener to close")
        during = await pooled.request("POST", CHAT, BEARER, chat(stream=False))
        await during.read()
        closed = await pooled.closed()
        upstream.open("rest")
        await response.read()
        code, _ = await process.exited()

        assert (before.status, before.header("connection")) == (200, None)
        assert (during.status, during.json(), during.header("connection")) == (200, {"while": "draining"}, "close")
        assert (closed.how, response.end, code) == (How.FIN, End.CLEAN, 0)


async def test_health_is_asked_of_the_successor_once_the_listener_is_closed(tmp_path: Path, upstream: Upstream) -> None:
    """Which may have the address by then, while a load balancer still has old connections to it."""
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with running(tmp_path, upstream) as process, process.client() as held, process.client() as pooled:
        before = await pooled.request("GET", "/healthz")
        await before.read()
        response = await held.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        process.signal()
        await until(process.refuses, "the listener to close")
        await pooled.send_request("GET", "/healthz")
        closed = await pooled.closed()
        upstream.open("rest")
        await response.read()

        assert (before.status, closed.how, list(pooled.wire.inbox)) == (200, How.FIN, [])
        assert response.end is End.CLEAN


async def test_connection_that_is_only_kept_alive_does_not_keep_the_process(tmp_path: Path, upstream: Upstream) -> None:
    async with running(tmp_path, upstream) as process, process.client() as pooled:
        await (await pooled.request("GET", "/auth/ping", BEARER)).read()

        signalled = process.signal()
        code, exited = await process.exited()

        assert (code, exited - signalled < SLACK) == (0, True)
        assert (await pooled.closed()).how is How.FIN


@pytest.mark.parametrize("in_event", [False, True], ids=["between events", "inside an event"])
async def test_stream_that_is_there_at_the_deadline_is_ended_honestly(tmp_path: Path, upstream: Upstream, in_event: bool) -> None:
    half = TOKEN[:-9] if in_event else b""
    upstream.script(stream(TOKEN, *([half] if half else []), Hang()))
    async with running(tmp_path, upstream, drain={"deadline": "1s"}) as process, process.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN + half)

        signalled = process.signal()
        await response.read()
        ended = time.monotonic()
        code, exited = await process.exited()

        told = bytes(response.body).replace(KEEPALIVE, b"").removeprefix(TOKEN)
        assert response.end in (End.ABORTED, End.RESET)
        assert told == half if in_event else b'"code":"drained"' in told
        assert b"[DONE]" not in response.body
        assert 0.9 < ended - signalled < 1 + SLACK
        assert (code, exited - signalled < 1 + SLACK) == (0, True)
        record = process.lines("request")[0]
        assert (record["outcome"], record["code"]) == ("drained", "drained")
        await upstream.closed()


async def test_request_that_still_waits_at_the_deadline_gets_a_503(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(verbatim(Hang()))
    async with running(tmp_path, upstream, drain={"deadline": "500ms"}) as process, process.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat(stream=False))
        await upstream.request()

        process.signal()
        response = await client.response()
        await response.read()
        code, _ = await process.exited()

        assert (response.status, response.json()["error"]["code"], code) == (503, "drained", 0)
        assert process.lines("request")[0]["outcome"] == "drained"


async def test_what_has_no_upstream_is_cut_at_the_deadline_too(tmp_path: Path, upstream: Upstream) -> None:
    async with running(tmp_path, upstream, drain={"deadline": "300ms"}) as process, process.client() as client:
        response = await client.request("GET", "/test/stream?count=10&interval=60", BEARER)
        await response.read_until(b"tick")

        signalled = process.signal()
        await response.read()
        code, exited = await process.exited()

        assert response.end in (End.ABORTED, End.RESET)
        assert (code, exited - signalled < 0.3 + SLACK) == (0, True)
        assert process.lines("request")[0]["outcome"] == "drained"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_that_comes_as_soon_as_the_process_listens_finds_it_ready(
    tmp_path: Path, upstream: Upstream, number: signal.Signals
) -> None:
    """Whoever started it may be in a hurry; the default action would end it with a signal's exit code."""
    async with running(tmp_path, upstream) as process:
        process.signal(number)
        if number is signal.SIGHUP:
            process.signal()
        code, _ = await process.exited()

        assert code == 0
        assert "Traceback" not in process.program.output()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_means_now(tmp_path: Path, upstream: Upstream, first: signal.Signals) -> None:
    upstream.script(stream(TOKEN, Hang()))
    async with running(tmp_path, upstream, drain={"grace": "20s", "deadline": "60s"}) as process, process.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)
        process.signal(first)
        await process.until_ready_says(503)

        signalled = process.signal()
        await response.read()
        code, exited = await process.exited()

        assert (code, exited - signalled < SLACK) == (0, True)
        assert b'"code":"drained"' in response.body
        assert response.end in (End.ABORTED, End.RESET)
        assert process.lines("request")[0]["outcome"] == "drained"


async def test_sigint_has_no_grace(tmp_path: Path, upstream: Upstream) -> None:
    async with running(tmp_path, upstream, drain={"grace": "20s", "deadline": "60s"}) as process:
        signalled = process.signal(signal.SIGINT)
        code, exited = await process.exited()

        assert (code, exited - signalled < SLACK) == (0, True)


# Reload.


async def metric(process: Process, name: str) -> float:
    lines = (await process.admin("/metrics"))[1].splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0] == name)


async def until_reloaded(process: Process, count: int) -> None:
    async def seen() -> bool:
        return await metric(process, "llm_proxy_config_reloads_total") == count

    await until(seen, f"reload {count}")


async def test_sighup_puts_a_new_configuration_in_force_and_leaves_what_runs_alone(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE), answer({"new": True}))
    async with running(tmp_path, upstream) as process, process.client() as held, process.client() as pooled:
        response = await held.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)
        before = await pooled.request("POST", CHAT, BEARER, chat(model="new", stream=False))
        await before.read()

        process.write(models=[{"name": "new", "targets": [{"upstream": "a", "model": "real"}]}])
        process.signal(signal.SIGHUP)
        await until_reloaded(process, 1)
        after = await pooled.request("POST", CHAT, BEARER, chat(model="new", stream=False))
        await after.read()
        gone = await pooled.request("POST", CHAT, BEARER, chat(stream=False))
        await gone.read()
        upstream.open("rest")
        await response.read()

        assert (before.status, after.status, gone.status) == (404, 200, 404)
        assert (await upstream.request(1)).json()["model"] == "real"
        assert response.end is End.CLEAN
        assert bytes(response.body).replace(KEEPALIVE, b"") == WHOLE
        assert await metric(process, "llm_proxy_config_last_reload_success") == 1


@pytest.mark.parametrize(
    "text", [BAD, "listen: [", "upstreams: {a: {kind: openai}, a: {kind: openai}}"], ids=["wrong", "torn", "twice"]
)
async def test_sighup_with_a_bad_file_changes_nothing_and_says_why(tmp_path: Path, upstream: Upstream, text: str) -> None:
    upstream.script(answer(BUSY))
    async with running(tmp_path, upstream) as process, process.client() as client:
        process.file.write_text(text)
        process.signal(signal.SIGHUP)
        await until_reloaded(process, 1)
        response = await client.request("POST", CHAT, BEARER, chat(stream=False))

        assert response.status == 200
        assert await metric(process, "llm_proxy_config_last_reload_success") == 0
        said = await errors_said(process)
        assert len(said) == 1
        assert any(str(process.file) in problem for problem in said[0]["problems"])

        process.write()
        process.signal(signal.SIGHUP)
        await until_reloaded(process, 2)

        assert await metric(process, "llm_proxy_config_last_reload_success") == 1


async def errors_said(process: Process) -> list[dict[str, Any]]:
    """Return what it has logged as errors, once there is something."""

    def said() -> list[dict[str, Any]]:
        return [line for line in process.lines() if line["level"] == "error"]

    async def seen() -> bool:
        return bool(said())

    await until(seen, "a word in the log")
    return said()


async def test_reload_that_would_let_everybody_in_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    """By itself the file is good: it names an address that only this machine can reach."""
    port = free_port()
    async with running(tmp_path, upstream, listen=f"0.0.0.0:{port}") as process, RawClient(HOST, port) as client:
        process.file.write_text(f"{{listen: '{HOST}:{port}', upstreams: {{demo: {{kind: simulator}}}}}}")
        process.signal(signal.SIGHUP)
        await until_reloaded(process, 1)
        response = await client.request("GET", "/auth/ping")

        assert response.status == 401
        assert await metric(process, "llm_proxy_config_last_reload_success") == 0
        assert str(port) in (await errors_said(process))[0]["problems"][0]


# The start.


async def test_bad_configuration_refuses_the_start_before_anything_listens(tmp_path: Path, upstream: Upstream) -> None:
    process = Process(tmp_path, upstream)
    process.file.write_text(BAD)
    async with Program([sys.executable, "-m", "proxy", "serve", "--config", process.file], log=tmp_path / "log") as program:
        code = await program.exited()

        said = program.output()
        assert code == 2
        for place in ("1:9", "3:12", "4:3"):
            assert f"{process.file}:{place}" in said, "all mistakes are shown together"
        assert "Traceback" not in said
        assert "{" not in said.replace("${", ""), "not a line of the log: nothing was started"


async def test_missing_file_refuses_the_start(tmp_path: Path) -> None:
    async with Program(
        [sys.executable, "-m", "proxy", "serve", "--config", tmp_path / "none.yaml"], log=tmp_path / "log"
    ) as program:
        code = await program.exited()

        assert code == 2
        assert "none.yaml" in program.output()
        assert "Traceback" not in program.output()


@pytest.mark.parametrize("taken", ["port", "admin_port"])
async def test_address_that_is_taken_fails_the_start_and_leaves_nothing_behind(
    tmp_path: Path, upstream: Upstream, taken: str
) -> None:
    async with Upstream() as squatter:
        process = Process(tmp_path, upstream)
        address = f"{HOST}:{squatter.port}"
        process.write(**({"listen": address} if taken == "port" else {"admin": {"listen": address}}))
        async with Program([sys.executable, "-m", "proxy", "serve", "--config", process.file], log=tmp_path / "log") as program:
            code = await program.exited()

            assert code == 1
            assert str(squatter.port) in program.output()
            assert "Traceback" not in program.output()
