"""The same as SQLite, against a real server: also one that goes away and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.store import StoreError
from proxy.store.postgres import Postgres
from tests.support.components import free_port
from tests.support.postgresql import PASSWORD, postgresql
from tests.unit.store.databases import NOW, forgets_the_oldest_in_steps, keeps_what_it_is_given, row


async def test_it_keeps_what_it_is_given_and_forgets_the_oldest_in_steps() -> None:
    async with postgresql() as url:
        database = Postgres(url)
        await keeps_what_it_is_given(database)
        await database.forget(NOW + 9, 9)
        await forgets_the_oldest_in_steps(database)
        await database.close()


async def test_two_replicas_write_into_one_table() -> None:
    async with postgresql() as url:
        first, second = Postgres(url), Postgres(url)

        await first.write([row(NOW)])
        await second.write([row(NOW + 1)])

        assert len(await first.read(0)) == 2
        await first.close()
        await second.close()


async def test_a_server_that_went_away_is_connected_to_anew(tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "data"
    async with postgresql(port, data) as url:
        database = Postgres(url)
        await database.write([row(NOW)])
    with pytest.raises(StoreError) as told:
        await database.write([row(NOW + 1)])
    assert PASSWORD not in str(told.value)

    async with postgresql(port, data):
        await database.write([row(NOW + 2)])

        assert [at for at, _, _ in await database.read(0)] == [NOW, NOW + 2]
        await database.close()
