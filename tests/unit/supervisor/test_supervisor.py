from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from proxy.auth import Credential, Ticket
from proxy.process import listen
from proxy.settings import Address, Settings, SettingsError
from proxy.settings.problems import Problem
from proxy.supervisor import Supervisor
from proxy.supervisor.supervisor import run
from tests.support.components import HOST
from tests.support.house import settings
from tests.unit.supervisor.staff import SCRIPT, replaced, staffed


async def shown(supervisor: Supervisor, path: str) -> tuple[int, Any]:
    """What an admin page answers: its JSON, or its text."""

    def get() -> tuple[int, str]:
        try:
            with urlopen(supervisor.admin_url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    status, text = await asyncio.to_thread(get)
    return status, text if path == "/metrics" else json.loads(text)


async def metric(supervisor: Supervisor, start: str) -> float:
    _, text = await shown(supervisor, "/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


async def test_it_is_ready_when_every_worker_is_and_lists_what_each_of_them_does() -> None:
    async with staffed() as supervisor:
        pids = {worker.pid for worker in supervisor.workers.values()}

        assert len(pids) == 2
        assert await shown(supervisor, "/readyz") == (200, {"status": "ready"})
        assert {stream["id"] for stream in (await shown(supervisor, "/streams"))[1]} == pids
        assert (await shown(supervisor, "/config"))[1]["config"]["workers"] == 2
        assert await shown(supervisor, "/livez") == (200, {"status": "alive"})


async def test_metrics_are_the_sum_of_the_workers_and_those_that_ended_stay_counted() -> None:
    async with staffed() as supervisor:
        before = await metric(supervisor, "llm_proxy_config_reloads_total ")
        pid = supervisor.workers[0].pid
        supervisor.workers[0].kill()
        await replaced(supervisor, 0, pid)

        assert before == 6
        assert await metric(supervisor, "llm_proxy_config_reloads_total ") == 9
        assert await metric(supervisor, "llm_proxy_worker_restarts_total ") == 1
        assert await metric(supervisor, "llm_proxy_log_lines_dropped_total ") == 3
        assert await metric(supervisor, "llm_proxy_circuit_state{") == 1
        assert await metric(supervisor, "llm_proxy_build_info{") == 1
        assert await metric(supervisor, 'llm_proxy_worker_open_fds{worker="1"}') > 0


async def test_while_a_worker_is_replaced_connections_wait_in_its_socket_and_it_is_not_ready() -> None:
    async with staffed(workers=1) as supervisor:
        worker = supervisor.workers[0]
        worker.kill()
        await worker.ended()
        not_ready = (await shown(supervisor, "/readyz"))[0] if worker.number not in supervisor.workers else 503

        with socket.create_connection(supervisor.address, timeout=5):
            await replaced(supervisor, 0, worker.pid)

        assert not_ready == 503


async def test_a_worker_whose_numbers_cannot_be_read_is_replaced_all_the_same() -> None:
    """Its code may be newer than its supervisor's."""
    async with staffed(script=SCRIPT.replace("lost=", "other=")) as supervisor:
        pid = supervisor.workers[0].pid
        supervisor.workers[0].kill()

        await replaced(supervisor, 0, pid)


async def test_the_other_workers_live_on() -> None:
    async with staffed() as supervisor:
        other = supervisor.workers[1]
        pid = supervisor.workers[0].pid
        supervisor.workers[0].kill()
        await replaced(supervisor, 0, pid)

        assert supervisor.workers[1] is other
        assert other.ready


async def test_a_worker_that_hangs_is_killed_and_replaced_and_the_others_live_on(caplog: pytest.LogCaptureFixture) -> None:
    async with staffed(worker_timeout="2s") as supervisor:
        hanging, other = supervisor.workers.values()
        os.kill(hanging.pid, signal.SIGSTOP)
        await replaced(supervisor, hanging.number, hanging.pid)

        assert supervisor.workers[other.number] is other
        assert await metric(supervisor, "llm_proxy_worker_hangs_total ") == 1
        assert await metric(supervisor, "llm_proxy_worker_restarts_total ") == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "worker does not answer and is killed",
        "worker ended, another takes its place",
    ]


@pytest.mark.parametrize(("number", "grace"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
async def test_at_the_first_signal_all_workers_are_told_to_stop_and_it_is_over_when_they_have(
    number: signal.Signals, grace: bool
) -> None:
    async with staffed() as supervisor:
        supervisor.on_stop(number)
        status, word = await shown(supervisor, "/readyz")
        async with asyncio.timeout(10):
            await supervisor.serve()

        assert supervisor._graceful is grace
        assert (status, word) == (503, {"status": "draining"})
        assert supervisor.workers == {}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(supervisor.address, timeout=5)


async def test_the_second_signal_means_now() -> None:
    async with staffed(deaf=True) as supervisor:
        supervisor.on_stop(signal.SIGTERM)
        assert len(supervisor.workers) == 2
        supervisor.on_stop(signal.SIGTERM)
        async with asyncio.timeout(10):
            await supervisor.serve()

        assert supervisor.workers == {}


async def test_workers_that_obey_nothing_are_killed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.supervisor.supervisor.MARGIN", 0.5)
    async with staffed(deaf=True) as supervisor:
        workers = list(supervisor.workers.values())
        supervisor.on_stop(signal.SIGTERM)
        await supervisor.serve()
        await supervisor.close()

        assert [await worker.ended() for worker in workers] == [-signal.SIGKILL] * 2


async def test_a_worker_that_cannot_start_ends_the_start() -> None:
    async with staffed(script="") as supervisor:
        assert not any(worker.ready for worker in supervisor.workers.values())


async def test_a_good_reload_reaches_every_worker_and_those_that_come_later() -> None:
    new = settings(limits={"streams": 7})
    async with staffed(load=lambda: new) as supervisor:
        done = await supervisor.reload()
        reloads = [await worker.channel.ask("end") - 1 for worker in supervisor.workers.values()]

        assert done
        assert reloads == [1, 1]
        assert supervisor.settings is new
        assert (await shown(supervisor, "/readyz"))[0] == 200  # its file says one worker, but that waits for a restart


async def test_a_bad_reload_reaches_nobody() -> None:
    def load() -> Settings:
        raise SettingsError([Problem("proxy.yaml:1:1", "listen", "expected host:port")])

    async with staffed(load=load) as supervisor:
        before = supervisor.settings
        done = await supervisor.reload()

        assert not done
        assert [await worker.channel.ask("end") - 1 for worker in supervisor.workers.values()] == [0, 0]
        assert supervisor.settings is before
        assert await metric(supervisor, "llm_proxy_config_last_reload_success") == 0


async def test_what_one_worker_does_not_use_is_called_back_for_another_and_then_none_is_left() -> None:
    async with staffed() as supervisor:
        first, second = supervisor.workers.values()
        facts = {"subject": "ann", "limit": 2}
        lent = [await supervisor._lease(first, facts) for _ in range(2)]

        more = [await supervisor._lease(second, facts) for _ in range(3)]

        assert lent == [1, 1]
        assert more == [1, 1, 0]  # the script returns one at each call, as long as it holds any


async def test_the_slots_of_a_worker_that_died_are_free() -> None:
    async with staffed() as supervisor:
        first, second = supervisor.workers.values()
        await supervisor._lease(first, {"subject": "ann", "limit": 1})
        first.kill()
        await replaced(supervisor, first.number, first.pid)

        assert await supervisor._lease(second, {"subject": "ann", "limit": 1}) == 1


async def test_a_ticket_of_one_worker_is_good_once_at_any_of_them_also_when_it_has_died() -> None:
    ticket = Ticket(slot="ann", credential=Credential("x-api-key", "k"), path="/", origin=None, own=False, until=130.0)
    async with staffed() as supervisor:
        first, second = supervisor.workers[0], supervisor.workers[1]
        kept = await supervisor._keep_ticket(first, {"digest": "d", "ticket": ticket.facts(), "now": 100.0})
        pid = first.pid
        first.kill()
        await replaced(supervisor, 0, pid)

        found = [await supervisor._take_ticket(each, {"digest": "d", "now": 101.0}) for each in (second, supervisor.workers[0])]

        assert (kept, found) == (True, [ticket.facts(), "used_ticket"])


async def test_a_stream_is_looked_for_in_every_other_worker() -> None:
    async with staffed(workers=3) as supervisor:
        assert await supervisor._end_elsewhere(supervisor.workers[0], {"subject": "ann", "request_id": "r"}) == 2


async def test_a_worker_that_only_starts_is_not_asked_for_streams() -> None:
    async with staffed(workers=3) as supervisor:
        first, second, third = supervisor.workers.values()
        third.ready = False

        assert await supervisor._end_elsewhere(first, {"subject": "ann", "request_id": "r"}) == 1
        assert await supervisor._departure_elsewhere(first, {"worker": third.pid}) is None
        assert await supervisor._departure_elsewhere(first, {"worker": second.pid}) == {"state": "left"}


async def test_a_test_stream_is_looked_for_in_every_other_worker() -> None:
    async with staffed(workers=3) as supervisor:
        first, _, third = supervisor.workers.values()

        assert await supervisor._departure_elsewhere(first, {"worker": third.pid}) == {"state": "left"}
        assert await supervisor._departure_elsewhere(first, {"worker": first.pid}) is None


@pytest.mark.parametrize("key", ["listen", "admin"])
def test_an_address_that_is_taken_ends_the_start_with_1_and_one_clear_line(capfd: pytest.CaptureFixture[str], key: str) -> None:
    with listen(Address(HOST, 0)) as taken:
        taken.listen()
        address = f"{HOST}:{taken.getsockname()[1]}"
        configured = settings(workers=2, **{key: address if key == "listen" else {"listen": address}})

        code = run(configured, lambda: configured, lambda *_: None)

    (line,) = capfd.readouterr().err.splitlines()
    assert code == 1
    assert line.startswith("llm-proxy: cannot listen: ")
    assert address.rpartition(":")[2] in line
