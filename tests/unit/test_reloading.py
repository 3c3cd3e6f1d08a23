from __future__ import annotations

import pytest

from proxy.metrics import Metrics
from proxy.reloading import Reloading
from proxy.settings import Address, Settings, SettingsError
from proxy.settings.problems import Problem
from tests.support.house import settings

HERE = Address("127.0.0.1", 8080)
ANYWHERE = Address("0.0.0.0", 8080)
OPEN = settings(auth={"api_keys": []})


class Reader:
    """A configuration that is read again, and what of it was put in force."""

    def __init__(self, *read: Settings | SettingsError) -> None:
        self.read = list(read)
        self.in_force: list[Settings] = []
        self.metrics = Metrics()
        self.reloading = Reloading(self.load, self.metrics, self.put)

    def load(self) -> Settings:
        found = self.read.pop(0)
        if isinstance(found, SettingsError):
            raise found
        return found

    async def put(self, configured: Settings) -> None:
        self.in_force.append(configured)

    def shown(self, name: str) -> str:
        (line,) = [each for each in self.metrics.render().decode().splitlines() if each.startswith(name)]
        return line.rpartition(" ")[2]


async def test_what_is_good_is_put_in_force_and_counted() -> None:
    new = settings(limits={"streams": 3})
    reader = Reader(new)

    done = await reader.reloading.reload(settings(), HERE)

    assert done
    assert reader.in_force == [new]
    assert (reader.shown("llm_proxy_config_reloads_total"), reader.shown("llm_proxy_config_last")) == ("1.0", "1.0")


async def test_what_cannot_be_read_changes_nothing_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    problem = Problem("proxy.yaml:1:1", "listen", "expected host:port")
    reader = Reader(SettingsError([problem]))

    done = await reader.reloading.reload(settings(), HERE)

    assert not done
    assert reader.in_force == []
    assert [vars(record)["problems"] for record in caplog.records] == [[str(problem)]]
    assert (reader.shown("llm_proxy_config_reloads_total"), reader.shown("llm_proxy_config_last")) == ("1.0", "0.0")


@pytest.mark.parametrize(("listening", "done"), [(HERE, True), (ANYWHERE, False)])
async def test_an_open_door_is_refused_where_others_can_reach_it(listening: Address, done: bool) -> None:
    reader = Reader(OPEN)

    assert await reader.reloading.reload(settings(), listening) is done
    assert reader.in_force == [OPEN] * done


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("workers", {"workers": 3}),
        ("listen", {"listen": "127.0.0.1:1"}),
        ("admin.listen", {"admin": {"listen": "127.0.0.1:1"}}),
        ("limits.keepalive_timeout", {"limits": {"keepalive_timeout": "5s"}}),
        ("usage", {"usage": {"store": "sqlite:///usage.db"}}),
        ("log", {"log": {"level": "debug"}}),
    ],
)
async def test_what_waits_for_a_restart_is_told_for_as_long_as_it_waits(
    key: str, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    began, changed = settings(), settings(**change)
    reader = Reader(changed, changed, began)

    for now in (began, changed, changed):
        assert await reader.reloading.reload(now, HERE)

    told = [vars(record)["keys"] for record in caplog.records if "after a restart only" in record.message]
    assert told == [[key], [key]]


async def test_without_a_reader_nothing_is_reloaded() -> None:
    reader = Reader()
    reader.reloading.load = None

    assert not await reader.reloading.reload(settings(), HERE)
