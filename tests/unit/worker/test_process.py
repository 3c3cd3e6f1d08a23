from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.metrics import Metrics
from proxy.process import listen_shared
from proxy.server import Place
from proxy.settings import Address
from proxy.supervisor import Channel, ChannelClosed, pack
from proxy.supervisor.channel import Facts, Handler
from proxy.supervisor.worker import WHERE
from proxy.tasks import Tasks
from proxy.worker.process import Worker, run
from tests.support.answers import TOKEN, until
from tests.support.client import End, RawClient
from tests.support.components import HOST
from tests.support.house import BEARER, CHAT, chat, settings
from tests.support.upstream import DONE, Gate, Upstream, stream


class Office:
    """A supervisor's end of the channel to a worker that runs in this process."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self.port = port
        self.tasks = Tasks()
        self.metrics: list[Facts] = []
        self.ready = asyncio.Event()
        self.beat = asyncio.Event()
        self.lent = 5
        handlers: dict[str, Handler] = {
            "ready": lambda _: self.ready.set(),
            "metrics": self.metrics.append,
            "beat": lambda _: self.beat.set(),
            "lease": self.lease,
            "returned": lambda _: None,
        }
        self.channel = Channel(handlers, self.tasks)
        self.serving = self.tasks.spawn(worker.serve(), name="worker")

    def lease(self, facts: Facts) -> int:
        if self.lent:
            self.channel.tell("lent", subject=facts["subject"], count=self.lent)
        return self.lent

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.wait([self.serving])

    def client(self) -> RawClient:
        return RawClient(HOST, self.port)


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    """A worker without its settings."""
    with contextlib.ExitStack() as stack:
        listener, _ = (stack.enter_context(each) for each in listen_shared(Address(HOST, 0), 2))
        turns = stack.enter_context(tempfile.TemporaryFile())
        ours, theirs = socket.socketpair()
        tasks = Tasks()
        worker = Worker(Place(listener=listener, log_turns=turns.fileno()), tasks)
        await worker.channel.open(theirs)
        it = Office(worker, listener.getsockname()[1])
        await it.channel.open(ours)
        try:
            yield it
        finally:
            it.channel.close()
            await it.ended()
            worker.channel.close()
            await tasks.close()
            await it.tasks.close()


@asynccontextmanager
async def serving(*upstreams: str) -> AsyncIterator[Office]:
    async with office() as it:
        it.channel.tell("settings", parcel=pack(settings(*upstreams, workers=2)))
        async with asyncio.timeout(10):
            await it.ready.wait()
        yield it


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Serving tunes the collector of its process, and this one is the tests'."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture(autouse=True)
def standard_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A worker logs to it, by its file."""
    with (tmp_path / "log").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        yield


async def test_it_serves_on_the_socket_that_it_was_given_and_opens_no_admin_pages() -> None:
    async with serving() as it, it.client() as client:
        response = await client.request("GET", "/auth/ping", BEARER)
        await response.read()

        assert response.status == 200
        assert it.worker._server.admin_url == ""


async def test_it_tells_its_metrics_and_its_streams_when_asked(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with serving(upstream.url) as it, it.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        await it.channel.ask("measure", within=5)
        streams = await it.channel.ask("/streams", within=5)
        upstreams = await it.channel.ask("/upstreams", within=5)
        upstream.open("rest")
        await response.read()

        shown = Metrics(others=lambda: [it.metrics[-1]]).render().decode()  # type: ignore[list-item]
        assert 'llm_proxy_streams_in_flight{route="chat",upstream="a"} 1.0' in shown
        assert [each["subject"] for each in streams] == ["tester"]
        assert [(each["name"], each["in_use"]) for each in upstreams] == [("a", 1)]


async def test_a_test_stream_is_told_of_to_its_caller_who_asked_elsewhere(upstream: Upstream) -> None:
    async with serving(upstream.url) as it, it.client() as client:
        response = await client.request("GET", "/test/stream?count=1", [*BEARER, ("X-Request-Id", "mine-1")])
        await response.read()

        none = await it.channel.ask("departure", within=5, subject="api_key:other", request_id="mine-1")
        one = await it.channel.ask("departure", within=5, subject="api_key:tester", request_id="mine-1")

        assert none is None
        assert one["state"] == "ended"


async def test_it_answers_as_long_as_its_loop_does() -> None:
    async with serving() as it:
        it.channel.tell("beat")

        async with asyncio.timeout(5):
            await it.beat.wait()


async def test_a_stream_is_ended_for_a_caller_who_asked_elsewhere(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with serving(upstream.url) as it, it.client() as client:
        response = await client.request("POST", CHAT, [*BEARER, ("X-Request-Id", "mine-1")], chat())
        await response.read_until(TOKEN)

        none = await it.channel.ask("end", within=5, subject="api_key:other", request_id="mine-1")
        one = await it.channel.ask("end", within=5, subject="api_key:tester", request_id="mine-1")
        await response.read()
        upstream.open("rest")

        assert (none, one) == (0, 1)
        assert response.end is not End.CLEAN


async def test_a_subject_gets_no_more_than_the_supervisor_lends(upstream: Upstream) -> None:
    async with serving(upstream.url) as it, it.client() as client:
        it.lent = 0

        response = await client.request("GET", "/auth/ping", BEARER)
        await response.read()

        assert (response.status, response.json()["error"]["code"]) == (429, "too_many_streams_of_subject")


async def test_a_reload_is_in_force_before_it_is_answered_and_unused_slots_go_back() -> None:
    async with serving() as it, it.client() as client:
        before = await client.request("GET", "/auth/ping", BEARER)
        await before.read()

        await it.channel.ask("reload", within=5, parcel=pack(settings(auth={"api_keys": []}, workers=2)))

        assert it.worker._shares.leased("api_key:tester") == 0
        response = await client.request("GET", "/auth/ping")
        await response.read()

        assert response.json()["subject"] == "anonymous"


async def test_a_reload_that_comes_while_it_starts_is_in_force_when_it_serves() -> None:
    """A worker that takes another's place gets what was in force when it was begun, and perhaps at once what is by now."""
    async with office() as it:
        it.channel.tell("settings", parcel=pack(settings(workers=2, upstreams={"demo": {"kind": "simulator"}})))

        await it.channel.ask("reload", within=5, parcel=pack(settings(auth={"api_keys": []}, workers=2)))
        async with it.client() as client:
            response = await client.request("GET", "/auth/ping")
            await response.read()

        assert response.json()["subject"] == "anonymous"


async def test_told_to_stop_it_lets_what_runs_come_to_its_end_and_tells_its_last_metrics(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with serving(upstream.url) as it, it.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        it.channel.tell("stop", grace=True)
        upstream.open("rest")
        await response.read()
        await it.ended()

        shown = Metrics(others=lambda: [it.metrics[-1]]).render().decode()  # type: ignore[list-item]
        assert response.end is End.CLEAN
        assert 'outcome="completed"' in shown


async def test_what_it_cuts_at_its_very_end_is_in_its_last_metrics_too() -> None:
    """A request without a stream ends with its connection, when nothing is waited for any more."""
    async with serving() as it, it.client() as client:
        await client.send_request("POST", CHAT, [*BEARER, ("Content-Length", "100")])
        await client.send(b"{")
        await until(lambda: len(it.worker._server.lifecycle) == 1)

        it.channel.tell("stop", grace=False)
        it.channel.tell("hurry")
        await it.ended()
        it.worker.channel.close()
        await it.channel.closed()

        shown = Metrics(others=lambda: [it.metrics[-1]]).render().decode()  # type: ignore[list-item]
        assert 'outcome="drained"' in shown


async def test_hurried_it_ends_what_runs_honestly(upstream: Upstream) -> None:
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with serving(upstream.url) as it, it.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        it.channel.tell("stop", grace=True)
        it.channel.tell("hurry")
        await response.read()
        await it.ended()
        upstream.open("rest")

        assert response.end is not End.CLEAN


@pytest.mark.parametrize("told", [False, True])
async def test_without_a_supervisor_it_ends(told: bool) -> None:
    async with office() as it:
        if told:
            it.channel.tell("settings", parcel=pack(settings(workers=2)))

        it.channel.close()
        await it.ended()

        assert it.serving.exception() is None


async def test_settings_that_it_cannot_serve_end_it(caplog: pytest.LogCaptureFixture) -> None:
    async with office() as it:
        it.channel.tell("settings", parcel="nonsense")
        await it.ended()

        assert isinstance(it.serving.exception(), Exception)
    assert "background task failed" in caplog.text


def test_signals_are_left_to_the_supervisor_but_the_one_that_asks_where_it_hangs(capfd: pytest.CaptureFixture[str]) -> None:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    listener, other = listen_shared(Address(HOST, 0), 2)
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as turns, other, ours:
        ours.shutdown(socket.SHUT_WR)  # a supervisor that has left
        try:
            code = run(theirs.detach(), listener.detach(), turns.fileno())
            for number in (*(number for number, _ in before), WHERE):
                signal.raise_signal(number)
        finally:
            faulthandler.unregister(WHERE)
            for number, handler in before:
                signal.signal(number, handler)

    assert code == 0
    assert "most recent call first" in capfd.readouterr().err


async def test_a_question_it_does_not_know_is_not_answered() -> None:
    async with serving() as it:
        with pytest.raises(ChannelClosed):
            await it.channel.ask("weather", within=5)
