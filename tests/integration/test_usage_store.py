"""The usage store at work: rows of real requests, the queries of the docs, and a database that is not there."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.settings import Settings
from proxy.store import open_database
from tests.integration.asking import ask, until
from tests.support.answers import ERROR_EVENT, FINISH, TOKEN, USAGE
from tests.support.house import open_house, settings
from tests.support.postgresql import PASSWORD, postgresql
from tests.support.upstream import DONE, Upstream, answer, stream

ROOT: Final = Path(__file__).resolve().parent.parent.parent
QUERIES: Final = dict(
    zip(
        ("sqlite retries", "postgresql retries", "sqlite errors", "postgresql errors"),
        re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "usage.md").read_text(), re.DOTALL),
        strict=True,
    )
)
GOOD: Final = stream(TOKEN, FINISH, USAGE, DONE)


def storing(url: str, store: str) -> Settings:
    return settings(
        url, usage={"store": store}, models=[{"name": "gpt-*", "targets": [{"upstream": "a"}], "price": {"input": 1}}]
    )


async def some_requests(store: str) -> str:
    """Ask for a good answer, one that needs a second attempt, and one that is refused; return everything that was logged."""
    async with Upstream() as upstream, open_house(storing(upstream.url, store)) as house:
        upstream.script(
            GOOD,
            stream(ERROR_EVENT),
            GOOD,
            answer({"error": {"message": "slow down"}}, status=429, headers=[("Retry-After", "60")]),
        )
        for _ in range(3):
            await ask(house)
        await house.records(3)
        return house.log_text() + await house.admin("/config")


async def rows(store: str) -> list[tuple[str, dict[str, Any]]]:
    database = open_database(store)
    try:
        return [(kind, payload) for _, kind, payload in await database.read(0)]
    finally:
        await database.close()


async def test_every_finished_request_is_a_row_and_every_failure_one_more(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/usage.db"

    await some_requests(store)

    kept = await rows(store)
    assert [kind for kind, _ in kept] == ["openai_call", "openai_call", "openai_call", "error"]
    good, retried, refused, _ = (payload for _, payload in kept)
    assert (good["tokens_in"], good["tokens_out"], good["outcome"], good["provider_retry_count"]) == (3, 5, "completed", 0)
    assert (retried["attempts"], retried["provider_retry_count"], retried["outcome"]) == (2, 1, "completed")
    assert (refused["status"], refused["outcome"]) == (429, "upstream_error")


async def test_the_queries_of_the_docs_answer_on_sqlite(tmp_path: Path) -> None:
    await some_requests(f"sqlite:///{tmp_path}/usage.db")

    with sqlite3.connect(tmp_path / "usage.db") as database:
        ((_, average, maximum, share),) = database.execute(QUERIES["sqlite retries"]).fetchall()
        ((_, timeouts, rate_limits),) = database.execute(QUERIES["sqlite errors"]).fetchall()
    database.close()

    assert (average, maximum, share) == (pytest.approx(1 / 3), 1, pytest.approx(1 / 3))
    assert (timeouts, rate_limits) == (0, 1)


async def test_the_queries_of_the_docs_answer_on_postgresql() -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with postgresql() as url:
        log = await some_requests(url)

        database = await asyncpg.connect(url)
        ((_, average, maximum, share),) = await database.fetch(QUERIES["postgresql retries"])
        ((_, timeouts, rate_limits),) = await database.fetch(QUERIES["postgresql errors"])
        await database.close()

    assert (average, maximum, share) == (pytest.approx(1 / 3), 1, pytest.approx(1 / 3))
    assert (timeouts, rate_limits) == (0, 1)
    assert PASSWORD not in log


async def test_a_store_that_cannot_be_written_to_is_told_and_traffic_goes_on(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("no folder")
    async with Upstream() as upstream, open_house(storing(upstream.url, f"sqlite:///{tmp_path}/place/usage.db")) as house:
        upstream.script(GOOD)

        assert (await ask(house)).status == 200

        async def told() -> bool:
            return "usage store cannot be written" in house.log_text()

        await until(told, "the store's complaint")
