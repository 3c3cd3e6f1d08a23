from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiohttp.http_parser import HttpRequestParserPy

from proxy import server as server_module
from proxy.exchange import Exchange
from proxy.lifecycle import State
from proxy.server import Server, introduce, run
from proxy.settings import Settings, SettingsError
from proxy.settings.problems import Problem
from proxy.tasks import Tasks
from tests.support.answers import TOKEN
from tests.support.client import End, RawClient, Response
from tests.support.components import HOST, free_port
from tests.support.house import BEARER, CHAT, House, chat, merged, open_house, settings
from tests.support.limits import Limits
from tests.support.loops import both_loops
from tests.support.transports import turns
from tests.support.upstream import DONE, Gate, Hang, Upstream, answer, stream
from tests.support.wire import WITHIN

DEMO = {"upstreams": {"demo": {"kind": "simulator"}}, "models": [{"name": "*", "targets": [{"upstream": "demo"}]}]}
SOON = 1.0  # seconds in which something that waits for nothing is over, also on a busy machine


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server((HOST, 0)) as other:
        yield other.getsockname()[1]


@asynccontextmanager
async def reloadable(configured: Settings, load: Callable[[], Settings]) -> AsyncIterator[House]:
    """A house whose configuration is read again with *load*."""
    async with open_house(configured) as house:
        house.server._reloading.load = load
        yield house


async def ask(house: House, **body: Any) -> Response:
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(**body))
        await response.read()
        return response


async def admin(house: House, path: str) -> tuple[int, Any]:
    host, _, port = house.server.admin_url.removeprefix("http://").rpartition(":")
    async with RawClient(host, int(port)) as client:
        response = await client.request("GET", path)
        await response.read()
        return response.status, response.json()


async def ended(work: asyncio.Task[Any], within: float = SOON) -> None:
    await asyncio.wait_for(work, within)


# Periods and limits.


@pytest.mark.parametrize(
    "key",
    [
        "commit_after", "keepalive_interval", "attempt_timeout", "first_token_timeout", "response_timeout",
        "idle_timeout", "content_timeout", "json_keepalive_after", "drain_limit",
    ],
)  # fmt: skip
@pytest.mark.parametrize("of_model", [False, True], ids=["general", "of a model"])
async def test_the_ticker_keeps_up_with_the_smallest_duration_of_a_stream(key: str, of_model: bool) -> None:
    section = {"streaming": {key: "40ms"}}
    model = {"name": "*", "targets": [{"upstream": "demo"}]}
    configured = Settings.model_validate({**DEMO, "models": [{**model, **section}]} if of_model else {**DEMO, **section})

    assert min(each for each in server_module._durations(configured) if each) == 0.04


@pytest.mark.parametrize("key", ["header_timeout", "write_stall", "stream_age"])
async def test_the_ticker_keeps_up_with_the_smallest_limit(key: str) -> None:
    configured = Settings.model_validate({**DEMO, "limits": {key: "40ms"}})

    assert min(each for each in server_module._durations(configured) if each) == 0.04


@pytest.mark.parametrize(("interval", "period"), [("40ms", 0.01), ("200ms", 0.05), ("600ms", 0.15), ("10s", 0.2)])
async def test_the_ticker_s_period_follows_from_the_settings(interval: str, period: float) -> None:
    async with open_house(settings(streaming={"keepalive_interval": interval})) as house:
        assert house.server.ticker.period == period


@both_loops
async def test_a_head_that_does_not_come_in_time_is_refused_by_the_ticker() -> None:
    async with open_house(settings(limits={"header_timeout": "50ms"})) as house, house.client() as client:
        await client.send(b"GET / HTTP/1.1\r\n")

        response = await client.response()

        assert response.status == 408


@pytest.mark.parametrize(("configured", "admitted"), [(7, 7), (5000, 450)])
async def test_no_more_streams_are_admitted_than_there_are_files_for(
    monkeypatch: pytest.MonkeyPatch, configured: int, admitted: int
) -> None:
    limits = Limits(1000, 1000, fixed=False)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)

    async with open_house(settings(limits={"streams": configured})) as house:
        at_start = house.server.lifecycle.max_streams
        house.server._reloading.load = lambda: settings(limits={"streams": configured + 1})
        await house.server.reload()

        assert at_start == admitted
        assert house.server.lifecycle.max_streams == min(configured + 1, 450)


# The start.


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("key", ["listen", "admin"])
def test_an_address_that_is_taken_ends_the_start_with_1_and_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], loop: str, key: str
) -> None:
    if loop == "asyncio":
        monkeypatch.setattr(server_module, "uvloop", None)
    with taken() as port:
        address = f"{HOST}:{port}"
        configured = settings(**{key: address if key == "listen" else {"listen": address}})

        code = run(lambda: configured)

    (line,) = capfd.readouterr().err.splitlines()
    assert code == 1
    setting, variable = ("listen", "LLM_PROXY_LISTEN") if key == "listen" else ("admin.listen", "LLM_PROXY_ADMIN__LISTEN")
    assert line == (
        f"llm-proxy: cannot listen: http://{address}: Address already in use; {setting} or {variable} chooses another address"
    )


def test_an_address_of_another_machine_ends_the_start_with_1(capfd: pytest.CaptureFixture[str]) -> None:
    code = run(lambda: settings(listen="192.0.2.1:8080"))

    assert code == 1
    told = capfd.readouterr().err
    assert told.startswith("llm-proxy: cannot listen: http://192.0.2.1:8080: Cannot assign requested address; listen or ")


def test_settings_that_cannot_be_read_are_the_caller_s_to_tell() -> None:
    def load() -> Settings:
        raise SettingsError([Problem("proxy.yaml:1:1", "listen", "expected host:port")])

    with pytest.raises(SettingsError):
        run(load)


@pytest.fixture
def collector() -> Iterator[None]:
    """Serving tunes the collector of its process, and this one is the tests'."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize(("fmt", "terminal", "shown"), [("text", False, True), ("json", False, False), ("json", True, True)])
def test_a_process_serves_until_it_is_told_to_stop_and_exits_with_0(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fmt: str, terminal: bool, shown: bool
) -> None:
    """The banner is for people; where lines are read by machines it is left out."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    port = free_port()

    def stop_when_it_listens() -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop_when_it_listens)
    stopper.start()
    code = run(lambda: settings(listen=f"{HOST}:{port}", log={"format": fmt}))
    stopper.join()

    said = capfd.readouterr().err
    assert code == 0
    assert (f"http://{HOST}:{port}" in said) is shown
    assert shown or said == ""


async def test_a_parser_that_reads_otherwise_than_the_one_we_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HttpRequestParser", HttpRequestParserPy)

    with pytest.raises(RuntimeError, match="AIOHTTP_NO_EXTENSIONS"):
        Server(settings())


async def test_before_the_start_there_is_nothing_to_measure_and_nothing_fails() -> None:
    server = Server(settings())

    shown = server.metrics.render().decode()

    assert "llm_proxy_build_info" in shown
    assert "llm_proxy_circuit_state{" not in shown
    await server.close()


async def until(seen: Callable[[], bool], within: float = WITHIN) -> None:
    """Wait for the log, which is written by a thread of its own."""
    deadline = time.monotonic() + within
    while not seen():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_the_banner_shows_the_addresses_that_were_had_and_the_simulator(capfd: pytest.CaptureFixture[str]) -> None:
    introduce(settings(**DEMO, log={"format": "text"}), "http://127.0.0.1:1", "http://127.0.0.1:2")

    text = capfd.readouterr().err
    assert "listening  http://127.0.0.1:1\n" in text
    assert "admin      http://127.0.0.1:2\n" in text
    assert "simulator " in text


# The end.


@both_loops
async def test_close_may_be_repeated_and_frees_what_was_open() -> None:
    async with open_house(settings(**DEMO)) as house:
        server, address = house.server, house.server.address

        await server.close()
        await server.close()

        assert server.lifecycle.state is State.STOPPED
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        assert not [thread for thread in threading.enumerate() if thread.name == "log-writer"]


@both_loops
@pytest.mark.parametrize("key", ["listen", "admin"])
async def test_close_after_a_failed_start_frees_what_was_open(key: str) -> None:
    other = free_port()
    with taken() as port:
        public, private = (port, other) if key == "listen" else (other, port)
        configured = settings(listen=f"{HOST}:{public}", admin={"listen": f"{HOST}:{private}"}, **DEMO)
        with tempfile.TemporaryFile() as sink:
            server = Server(configured, log_to=sink.fileno())
            with pytest.raises(OSError, match=str(port)):
                await server.start()

            await server.close()
            await server.close()

    assert server.lifecycle.state is State.STOPPED
    assert not [thread for thread in threading.enumerate() if thread.name == "log-writer"]
    for number in (port, other):
        with socket.create_server((HOST, number)):
            pass


async def test_a_server_that_is_closed_again_leaves_the_next_one_its_log() -> None:
    async with open_house(settings()) as first:
        pass
    async with open_house(settings()) as second:
        await first.server.close()

        await second.server.drain()

        await until(lambda: "stopped" in second.log_text())


async def test_close_without_a_start_has_nothing_to_do() -> None:
    server = Server(settings())

    await server.close()

    assert server.lifecycle.state is State.STOPPED


# The drain.


@both_loops
async def test_a_drain_waits_for_a_live_stream_and_refuses_new_connections_meanwhile(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    tasks = Tasks()
    async with open_house(settings(upstream.url, drain={"deadline": "20s"})) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        drain = tasks.spawn(house.server.drain(), name="drain")
        await until(lambda: "waiting for requests in flight" in house.log_text())
        during, ready = house.server.lifecycle.state, await admin(house, "/readyz")
        with pytest.raises(ConnectionRefusedError):
            await ask(house)
        upstream.open("rest")
        await response.read()
        await ended(drain, 3)

        (line,) = [line for line in house.log_lines() if line["event"] == "waiting for requests in flight"]
        assert (during, ready) == (State.DRAINING, (503, {"status": "draining"}))
        assert line["in_flight"] == {"chat": 1}
        assert response.end is End.CLEAN
        assert (await house.records())[0]["outcome"] == "completed"
        assert house.server.lifecycle.state is State.STOPPED


@both_loops
async def test_a_stream_that_is_there_at_the_deadline_is_ended_honestly(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Hang()))
    async with open_house(settings(upstream.url, drain={"deadline": "200ms"})) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        began = time.monotonic()
        await house.server.drain()
        took = time.monotonic() - began
        await response.read()

        assert 0.2 <= took < 0.2 + SOON
        assert response.end in (End.ABORTED, End.RESET)
        assert b'"code":"drained"' in response.body
        assert b"[DONE]" not in response.body
        assert (await house.records())[0]["outcome"] == "drained"
        assert len(house.server.lifecycle) == 0
        await upstream.closed()


@both_loops
async def test_a_process_without_requests_drains_at_once() -> None:
    async with open_house(settings(drain={"deadline": "20s"})) as house:
        began = time.monotonic()

        await house.server.drain()

        assert time.monotonic() - began < SOON
        assert house.server.lifecycle.state is State.STOPPED


async def test_connections_that_are_only_kept_alive_hold_a_drain_up_for_a_moment_only() -> None:
    async with open_house(settings(drain={"deadline": "20s"})) as house, house.client() as client:
        await (await client.request("GET", "/auth/ping", BEARER)).read()
        began = time.monotonic()

        await house.server.drain()

        assert server_module.QUIET <= time.monotonic() - began < server_module.QUIET + SOON


@pytest.mark.parametrize(("grace", "accepted"), [(True, True), (False, False)])
async def test_only_during_the_grace_new_connections_are_accepted(upstream: Upstream, grace: bool, accepted: bool) -> None:
    upstream.always(answer({"during": "grace"}))
    tasks = Tasks()
    async with open_house(settings(upstream.url, drain={"grace": "300ms"})) as house:
        drain = tasks.spawn(house.server.drain(grace=grace), name="drain")
        await until(lambda: house.server.lifecycle.state is not State.READY)
        try:
            status = (await ask(house, stream=False)).status
        except (ConnectionRefusedError, ConnectionResetError):  # the second: it came while the listener was closing
            status = 0
        await ended(drain, 3)

        assert (status == 200) is accepted
        with pytest.raises(ConnectionRefusedError):
            await ask(house)


@pytest.mark.parametrize("so_many_turns", [2, 3], ids=["accepted in this very turn", "accepted before"])
async def test_a_connection_that_is_accepted_when_the_listener_closes_is_served(so_many_turns: int) -> None:
    """The standard loop, left to itself, neither serves nor closes one that it has accepted in the turn before."""
    loop = asyncio.get_running_loop()
    async with open_house(settings()) as house:
        with socket.create_connection(house.server.address) as client:
            client.sendall(f"GET /auth/ping HTTP/1.1\r\nHost: p\r\n{': '.join(BEARER[0])}\r\n\r\n".encode())
            client.setblocking(False)
            await turns(so_many_turns)

            await house.server.drain()

            assert (await asyncio.wait_for(loop.sock_recv(client, 4096), 5)).startswith(b"HTTP/1.1 200 ")


async def test_the_grace_is_cut_by_the_deadline() -> None:
    async with open_house(settings(drain={"grace": "30s", "deadline": "100ms"})) as house:
        began = time.monotonic()

        await house.server.drain()

        assert 0.1 <= time.monotonic() - began < 0.1 + SOON


# Signals.


@both_loops
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_what_the_first_lets_run(upstream: Upstream, number: signal.Signals) -> None:
    upstream.script(stream(TOKEN, Hang()))
    tasks = Tasks()
    configured = settings(upstream.url, drain={"grace": "20s", "deadline": "60s"})
    async with open_house(configured) as house, house.client() as client:
        with house.server.signals():
            serving = tasks.spawn(house.server.serve(), name="serve")
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read_until(TOKEN)

            os.kill(os.getpid(), number)
            await until(lambda: house.server.lifecycle.state is State.DRAINING)
            lives = response.end is None
            os.kill(os.getpid(), signal.SIGTERM)
            await ended(serving)
            await response.read()

        assert lives
        assert b'"code":"drained"' in response.body
        assert response.end in (End.ABORTED, End.RESET)


@pytest.mark.parametrize(("number", "grace"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
async def test_only_sigterm_has_a_grace(number: signal.Signals, grace: bool) -> None:
    tasks = Tasks()
    async with open_house(settings(drain={"grace": "300ms"})) as house:
        with house.server.signals():
            serving = tasks.spawn(house.server.serve(), name="serve")
            began = time.monotonic()

            os.kill(os.getpid(), number)
            await ended(serving, 3)

        assert (time.monotonic() - began >= 0.3) is grace


@both_loops
async def test_sighup_reloads_a_process_that_is_ready() -> None:
    async with reloadable(settings(), lambda: settings(limits={"streams": 3})) as house:
        with house.server.signals():
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: house.server.lifecycle.max_streams == 3)

            assert house.server.settings.limits.streams == 3


@both_loops
@pytest.mark.parametrize("state", [State.STARTING, State.DRAINING])
async def test_sighup_at_the_start_or_the_end_reloads_nothing(state: State) -> None:
    read: list[State] = []

    def load() -> Settings:
        read.append(state)
        return settings()

    async with reloadable(settings(), load) as house:
        with house.server.signals():
            house.server.lifecycle.state = state
            os.kill(os.getpid(), signal.SIGHUP)
            await turns(10)
            house.server.lifecycle.state = State.READY
            await house.server.reload()  # behind any other that has begun

    assert len(read) == 1


async def test_outside_its_context_a_server_takes_no_signal() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    async with open_house(settings()) as house:
        with house.server.signals():
            inside = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]

        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == [before[0], before[2]]
        assert all(now is not then for now, then in zip(inside, before, strict=True))


# Reload.


@both_loops
async def test_a_good_reload_is_in_force_for_new_requests(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE), answer({"new": True}))
    model = {"name": "new", "targets": [{"upstream": "a"}]}
    configured = settings(upstream.url)
    reloaded = settings(upstream.url, models=[model], limits={"streams": 5}, streaming={"keepalive_interval": "80ms"})
    async with reloadable(configured, lambda: reloaded) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        done = await house.server.reload()
        new, old = await ask(house, model="new", stream=False), await ask(house)
        upstream.open("rest")
        await response.read()

        assert done
        assert (new.status, old.status) == (200, 404)
        assert response.end is End.CLEAN
        assert house.server.settings is reloaded
        assert (house.server.lifecycle.max_streams, house.server.ticker.period) == (5, 0.02)
        assert await house.metric("llm_proxy_config_reloads_total") == 1
        assert await house.metric("llm_proxy_config_last_reload_success") == 1


async def test_a_bad_reload_changes_nothing_and_says_why(upstream: Upstream) -> None:
    def load() -> Settings:
        raise SettingsError([Problem("proxy.yaml:3:1", "listen", "expected host:port"), Problem("proxy.yaml:9:1", "", "unknown")])

    upstream.script(answer({"old": True}))
    configured = settings(upstream.url)
    async with reloadable(configured, load) as house:
        done = await house.server.reload()
        response = await ask(house, stream=False)
        await until(lambda: "not reloaded" in house.log_text())

        (line,) = [line for line in house.log_lines() if line["level"] == "error"]
        assert not done
        assert response.status == 200
        assert house.server.settings is configured
        assert line["problems"] == ["proxy.yaml:3:1 listen: expected host:port", "proxy.yaml:9:1: unknown"]
        assert await house.metric("llm_proxy_config_last_reload_success") == 0


async def test_a_server_without_a_loader_has_nothing_to_reload() -> None:
    async with open_house(settings()) as house:
        done = await house.server.reload()

        assert not done
        assert await house.metric("llm_proxy_config_reloads_total") == 0


async def test_a_reload_that_would_let_everybody_in_is_refused() -> None:
    """By itself the new configuration is good: it names an address that only this machine can reach."""
    configured, opened = settings(listen="0.0.0.0:0"), Settings.model_validate(DEMO)
    async with reloadable(configured, lambda: opened) as house:
        done = await house.server.reload()

        assert not done
        assert house.server.settings is configured


async def test_a_reload_on_loopback_may_do_without_credentials() -> None:
    opened = Settings.model_validate(merged(DEMO, {"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}}))
    async with reloadable(settings(), lambda: opened) as house:
        assert await house.server.reload()


@pytest.mark.parametrize(
    ("changes", "warned"),
    [({}, False), ({"listen": "127.0.0.1:1"}, True), ({"admin": {"listen": "127.0.0.1:1"}}, True), ({"workers": 2}, True)],
)
async def test_a_reload_says_what_takes_a_restart(changes: dict[str, Any], warned: bool) -> None:
    async with reloadable(settings(), lambda: settings(**changes)) as house:
        address = house.server.address

        done = await house.server.reload()
        await until(lambda: "configuration reloaded" in house.log_text())

        assert done
        assert house.server.address == address
        assert ("after a restart only" in house.log_text()) is warned


async def test_reloads_come_one_after_the_other() -> None:
    inside = 0
    most = 0

    def load() -> Settings:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.02)  # in a thread of its own
        inside -= 1
        return settings()

    async with reloadable(settings(), load) as house:
        done = await asyncio.gather(house.server.reload(), house.server.reload(), house.server.reload())

    assert (list(done), most) == ([True, True, True], 1)


async def test_a_reload_starts_a_simulator_that_was_not_there_and_keeps_one_that_was() -> None:
    more = {**DEMO, "upstreams": {"demo": {"kind": "simulator"}, "second": {"kind": "simulator"}}}
    async with reloadable(settings(**DEMO), lambda: settings(**more)) as house:
        before = dict(house.server._simulated)

        await house.server.reload()

        assert house.server._simulated.keys() == {"demo", "second"}
        assert house.server._simulated["demo"] == before["demo"]


# What the admin listener shows.


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        (State.STARTING, 503, "starting"),
        (State.READY, 200, "ready"),
        (State.DRAINING, 503, "draining"),
        (State.STOPPED, 503, "draining"),
    ],
)
async def test_readyz_says_the_state_in_the_words_of_its_page(state: State, status: int, word: str) -> None:
    async with open_house(settings()) as house:
        house.server.lifecycle.state = state

        assert await admin(house, "/readyz") == (status, {"status": word})


async def test_upstreams_are_shown_with_their_circuit_and_their_connections(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with open_house(settings(upstream.url, upstreams={"google": {"kind": "gemini"}})) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)
        _, during = await admin(house, "/upstreams")
        upstream.open("rest")
        await response.read()
        _, after = await admin(house, "/upstreams")

        quiet = {"state": "closed", "failures": 0, "open_for_s": 0.0, "cooling_for_s": 0.0}
        google = {"name": "google", "kind": "gemini", **quiet, "in_use": 0, "idle": 0}
        assert during == [{"name": "a", "kind": "openai", **quiet, "in_use": 1, "idle": 0}, google]
        assert after == [{"name": "a", "kind": "openai", **quiet, "in_use": 0, "idle": 1}, google]


async def test_an_upstream_that_fails_is_shown_as_such(upstream: Upstream) -> None:
    upstream.always(answer({"error": "broken"}, 500))
    configured = settings(upstream.url, circuit={"failures": 2, "open_for": "30s"}, retry={"attempts": 1})
    async with open_house(configured) as house:
        await ask(house)
        _, (once,) = await admin(house, "/upstreams")
        closed = await house.metric("llm_proxy_circuit_state", upstream="a")
        await ask(house)
        _, (twice,) = await admin(house, "/upstreams")

        assert (once["state"], once["failures"], once["open_for_s"], closed) == ("closed", 1, 0.0, 0)
        assert twice["state"] == "open"
        assert 29 <= twice["open_for_s"] <= 30
        assert await house.metric("llm_proxy_circuit_state", upstream="a") > 0


async def test_the_configuration_is_shown_without_its_secrets(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        status, shown = await admin(house, "/config")

        assert status == 200
        assert shown.keys() == {"version", "source", "config"}
        assert shown["config"]["upstreams"]["a"]["api_key"] == "***"
        assert shown["config"]["upstreams"]["a"]["base_url"] == f"{upstream.url}/v1"
        assert "sk-upstream" not in str(shown)


async def test_the_configuration_that_is_shown_is_the_one_in_force() -> None:
    async with reloadable(settings(), lambda: settings(limits={"streams": 77})) as house:
        await house.server.reload()

        assert (await admin(house, "/config"))[1]["config"]["limits"]["streams"] == 77


@both_loops
async def test_a_live_stream_is_measured(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with open_house(settings(upstream.url)) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)
        during = await house.metric("llm_proxy_streams_in_flight", route="chat")
        live = list(house.server._live())
        upstream.open("rest")
        await response.read()
        await house.records()

        assert during == 1
        assert [type(each) for each in live] == [Exchange]
        assert await house.metric("llm_proxy_streams_in_flight", route="chat") == 0
