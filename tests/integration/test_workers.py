"""Several real workers behind one port: what one of them does is no other's business, and together they are one proxy."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.store import open_database
from tests.integration.asking import WHOLE, until
from tests.integration.process import Process
from tests.support.answers import KEEPALIVE, TOKEN
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, KEY, chat
from tests.support.upstream import DONE, Gate, Upstream, answer, stream

MANY = 16  # connections: that all of them come to one of two workers happens once in thirty thousand times
HELD = stream(TOKEN, Gate("rest"), DONE)
PATIENCE = 20.0  # seconds for processes to start, on a machine that may be busy with something else


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        server.always(HELD)
        yield server


@asynccontextmanager
async def working(folder: Path, upstream: Upstream, **changes: Any) -> AsyncIterator[Process]:
    """Two workers, both ready."""
    process = Process(folder, upstream, workers=2, **changes)
    async with process.program:
        await process.until_ready_says(200, within=PATIENCE)
        await restarted(process, times=0)  # the log is written a moment later, and says who they are
        yield process


class Clients:
    """Connections of their own, one for each request."""

    def __init__(self, process: Process, stack: AsyncExitStack) -> None:
        self._process = process
        self._stack = stack

    async def ask(self, *, name: str = "", version: str = "1.1", held: bool = True) -> Response:
        client = await self._stack.enter_async_context(self._process.client())
        headers = [*BEARER, ("X-Request-Id", name)] if name else BEARER
        response = await client.request("POST", CHAT, headers, chat(), version=version, within=PATIENCE)
        if held and response.status == 200:
            await response.read_until(TOKEN)
        return response

    async def hold(self, count: int = MANY, *, version: str = "1.1") -> list[Response]:
        """Open so many streams, which stay open until the gate is."""
        return list(await asyncio.gather(*(self.ask(name=f"held-{number}", version=version) for number in range(count))))


@asynccontextmanager
async def clients(process: Process) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(process, stack)


def pids(process: Process) -> dict[int, int]:
    """The process of each worker, as the log says."""
    return {line["worker"]: line["pid"] for line in process.lines("worker ready")}


async def restarted(process: Process, times: int = 1) -> None:
    async def seen() -> bool:
        return len(process.lines("worker ready")) >= 2 + times

    await until(seen, "a worker to be replaced", within=PATIENCE)


async def metric(process: Process, start: str) -> float:
    _, text = await process.admin("/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


def text_of(response: Response) -> bytes:
    return bytes(response.body).replace(KEEPALIVE, b"")


async def test_connections_come_to_all_workers_and_the_pages_show_all_of_them(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream) as process, clients(process) as them:
        await them.hold()
        shares = [len(await asyncio.to_thread(_sockets_of, pid, process.port)) for pid in pids(process).values()]
        streams = (await process.admin("/streams"))[1]
        upstreams = (await process.admin("/upstreams"))[1]

        assert sum(shares) == MANY
        assert min(shares) > 0
        assert all(f'"held-{number}"' in streams for number in range(MANY))
        assert f'"in_use": {MANY}' in upstreams
        assert await metric(process, "llm_proxy_streams_in_flight{") == MANY
        assert await metric(process, "llm_proxy_build_info{") == 1
        upstream.open("rest")


async def test_a_worker_that_is_killed_is_replaced_and_nobody_else_notices(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold()
        before = await metric(process, "llm_proxy_upstream_silence_seconds_total")

        os.kill(pids(process)[0], signal.SIGKILL)
        during = await asyncio.gather(*(them.ask(held=False) for _ in range(MANY)))  # some wait for the new one
        await restarted(process)
        upstream.open("rest")
        for response in [*held, *during]:
            await response.read(within=PATIENCE)

        ends = Counter(response.end for response in held)
        assert [(response.status, response.end) for response in during] == [(200, End.CLEAN)] * MANY
        assert 0 < ends[End.CLEAN] < MANY
        assert {text_of(response) for response in held if response.end is End.CLEAN} == {WHOLE}
        assert {DONE in response.body for response in held if response.end is not End.CLEAN} == {False}
        assert before > 0
        assert await metric(process, "llm_proxy_upstream_silence_seconds_total") >= before
        assert await metric(process, "llm_proxy_requests_total{") == MANY + ends[End.CLEAN]
        assert await metric(process, "llm_proxy_worker_restarts_total ") == 1
        await process.until_ready_says(200)
        (ended,) = process.lines("worker ended, another takes its place")
        assert (ended["ended_with"], ended["in_s"]) == (-signal.SIGKILL, 0)


async def test_a_worker_that_hangs_is_replaced_and_nobody_else_notices(tmp_path: Path, upstream: Upstream) -> None:
    """It runs no more, but does not end, and the kernel would go on giving it connections."""
    async with working(tmp_path, upstream, worker_timeout="3s") as process, clients(process) as them:
        held, stopped = await them.hold(), pids(process)[0]

        os.kill(stopped, signal.SIGSTOP)
        during = await asyncio.gather(*(them.ask(held=False) for _ in range(MANY)))
        await restarted(process)
        upstream.open("rest")
        for response in [*held, *during]:
            await response.read(within=PATIENCE)

        ends = Counter(response.end for response in held)
        assert 0 < ends[End.CLEAN] < MANY
        assert {text_of(response) for response in held if response.end is End.CLEAN} == {WHOLE}
        assert [(response.status, response.end) for response in during] == [(200, End.CLEAN)] * MANY
        assert await metric(process, "llm_proxy_worker_hangs_total ") == 1
        assert await metric(process, "llm_proxy_worker_restarts_total ") == 1
        (hung,) = process.lines("worker does not answer and is killed")
        assert (hung["worker"], hung["pid"]) == (0, stopped)


async def test_who_reads_to_the_end_of_the_connection_sees_a_reset_when_its_worker_dies(
    tmp_path: Path, upstream: Upstream
) -> None:
    """A FIN, which is what the kernel sends for a process that has died, would be the good end of such a body."""
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold(version="1.0")

        os.kill(pids(process)[0], signal.SIGKILL)
        await restarted(process)
        upstream.open("rest")
        for response in held:
            await response.read()

        whole = [response for response in held if DONE in response.body]
        assert 0 < len(whole) < MANY
        assert {response.end for response in whole} == {End.CLEAN}
        assert {response.end for response in held if response not in whole} == {End.RESET}


@pytest.mark.parametrize("group", [False, True], ids=["supervisor", "group"])
async def test_at_sigterm_all_streams_of_all_workers_complete(tmp_path: Path, upstream: Upstream, group: bool) -> None:
    """A service manager may send it to every process of the group."""
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold()

        if group:
            os.killpg(process.program.pid, signal.SIGTERM)
        else:
            process.signal()
        await process.until_ready_says(503)
        draining = await metric(process, "llm_proxy_draining ")
        await until(process.refuses, "the listeners to close")
        upstream.open("rest")
        for response in held:
            await response.read()
        code, _ = await process.exited()

        assert [response.end for response in held] == [End.CLEAN] * MANY
        assert (code, draining) == (0, 1)
        assert {line["outcome"] for line in process.lines("request")} == {"completed"}
        assert len(process.lines("request")) == MANY
        assert "Traceback" not in process.program.output()


async def test_a_second_sigterm_ends_everything_now_and_honestly(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold(4)

        process.signal()
        await until(process.refuses, "the listeners to close")
        process.signal()
        for response in held:
            await response.read()
        code, _ = await process.exited()
        upstream.open("rest")

        assert code == 0
        assert {(response.end is End.CLEAN, DONE in response.body) for response in held} == {(False, False)}
        assert {line["outcome"] for line in process.lines("request")} == {"drained"}


async def test_when_the_supervisor_is_killed_the_workers_finish_what_they_have_and_leave(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold(4)
        workers = pids(process).values()

        process.signal(signal.SIGKILL)
        await until(process.refuses, "the listeners to close")
        upstream.open("rest")
        for response in held:
            await response.read()

        async def gone() -> bool:
            return not any(_runs(pid) for pid in workers)

        await until(gone, "the workers to end", within=PATIENCE)
        assert [response.end for response in held] == [End.CLEAN] * 4


async def test_a_reload_is_for_all_workers_and_a_bad_one_for_none(tmp_path: Path, upstream: Upstream) -> None:
    other = {"auth": {"api_keys": [{"id": "other", "sha256": hashlib.sha256(b"other").hexdigest()}]}}
    mine = {"auth": {"api_keys": [{"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}}
    upstream.open("rest")
    async with working(tmp_path, upstream) as process:
        process.write(**other)
        process.signal(signal.SIGHUP)
        await until(lambda: _said(process, "configuration reloaded"), "the reload")
        good = await _who(process, "other")

        process.write(**mine)
        process.file.write_text(process.file.read_text().replace('"limits"', '"limts"') + "nonsense: [")
        process.signal(signal.SIGHUP)
        await until(lambda: _said(process, "configuration not reloaded, the old one stays in force"), "the refusal")
        os.kill(pids(process)[0], signal.SIGKILL)
        await restarted(process)
        bad = await _who(process, "other")

        assert good == bad == {200: MANY}
        assert await metric(process, "llm_proxy_config_reloads_total ") == 2
        assert await metric(process, "llm_proxy_config_last_reload_success ") == 0


async def test_a_subject_has_its_limit_once_and_not_in_each_worker(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream, limits={"streams_per_subject": 5}) as process, clients(process) as them:
        first = Counter(response.status for response in await them.hold())
        live = await metric(process, "llm_proxy_streams_in_flight{")

        os.kill(pids(process)[0], signal.SIGKILL)
        await restarted(process)
        left = await metric(process, "llm_proxy_streams_in_flight{")
        second = Counter(response.status for response in await them.hold())
        upstream.open("rest")

        assert first == {200: 5, 429: MANY - 5}
        assert live == 5
        assert second == {200: 5 - left, 429: MANY - 5 + left}


async def test_slots_that_were_given_back_are_there_for_every_worker(tmp_path: Path, upstream: Upstream) -> None:
    upstream.always(answer({"quick": True}))
    async with working(tmp_path, upstream, limits={"streams_per_subject": 1}) as process, clients(process) as them:
        statuses = []
        for _ in range(MANY):  # each a connection of its own, one after the other
            response = await them.ask(held=False)
            await response.read()
            statuses.append(response.status)

        assert statuses == [200] * MANY


async def test_a_stream_is_ended_by_its_owner_from_whichever_worker_is_asked(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream) as process, clients(process) as them:
        held = await them.hold()
        statuses = []
        for number in range(MANY):
            async with process.client() as client:
                response = await client.request("DELETE", f"/streams/held-{number}", BEARER)
                await response.read()
                statuses.append((response.status, response.json()))
        for response in held:
            await response.read()
        async with process.client() as client:
            again = await client.request("DELETE", "/streams/held-0", BEARER)
        upstream.open("rest")

        assert statuses == [(200, {"stopped": 1})] * MANY
        assert again.status == 404
        assert all(DONE not in response.body for response in held)


async def test_departure_is_told_by_whichever_worker_is_asked(tmp_path: Path, upstream: Upstream) -> None:
    async with working(tmp_path, upstream) as process:
        async with process.client() as client:
            await (await client.request("GET", "/test/stream?count=1", [*BEARER, ("X-Request-Id", "mine")])).read()
        states = []
        for _ in range(MANY):
            async with process.client() as client:
                told = await client.request("GET", "/test/departures/mine", BEARER)
                await told.read()
                states.append(told.json().get("state"))

        assert states == ["ended"] * MANY


async def test_a_ticket_of_one_worker_is_redeemed_once_at_whichever_is_asked(tmp_path: Path, upstream: Upstream) -> None:
    wish = b'{"method": "GET", "path": "/auth/ping"}'
    async with working(tmp_path, upstream, auth={"tickets": {"ttl": "5m"}}) as process:

        async def ask(method: str, target: str, body: bytes = b"") -> Response:
            async with process.client() as client:  # a connection of its own, and so by chance either worker
                response = await client.request(method, target, BEARER if body else [], body, within=PATIENCE)
                await response.read()
                return response

        issued = await asyncio.gather(*(ask("POST", "/auth/tickets", wish) for _ in range(MANY)))
        targets = [f"/auth/ping?ticket={response.json()['ticket']}" for response in issued]
        process.signal(signal.SIGHUP)
        await until(lambda: _said(process, "configuration reloaded"), "the reload")
        used = await asyncio.gather(*(ask("GET", target) for target in targets * 2))

        assert Counter(response.status for response in used) == {200: MANY, 401: MANY}
        assert {response.json()["subject"] for response in used if response.status == 200} == {"tester"}
        assert await metric(process, 'llm_proxy_auth_failures_total{reason="used_ticket"}') == MANY


def _sockets_of(pid: int, port: int) -> list[str]:
    """The connections on *port* that the process has accepted."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(descriptor))
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    established = "01"
    return [
        row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == established and f"socket:[{row[9]}]" in inodes
    ]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def _said(process: Process, event: str) -> bool:
    return bool(process.lines(event))


async def _who(process: Process, key: str) -> dict[int, int]:
    """The statuses that as many new connections get with *key*."""
    statuses: Counter[int] = Counter()
    for _ in range(MANY):
        async with process.client() as client:
            response = await client.request("GET", "/auth/ping", [("Authorization", f"Bearer {key}")])
            statuses[response.status] += 1
    return statuses


async def test_all_workers_keep_what_was_used_in_one_store(tmp_path: Path, upstream: Upstream) -> None:
    store = f"sqlite:///{tmp_path}/usage.db"
    upstream.always(stream(WHOLE))
    async with working(tmp_path, upstream, usage={"store": store}) as process, clients(process) as them:
        for _ in range(3):
            for response in await asyncio.gather(*(them.ask(held=False) for _ in range(MANY))):
                await response.read()
        process.signal()
        code, _ = await process.exited()

    assert code == 0
    database = open_database(store)
    kept = [kind for _, kind, _ in await database.read(0)]
    await database.close()
    assert kept == ["openai_call"] * 3 * MANY
