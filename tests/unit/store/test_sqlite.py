from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.store import StoreError
from proxy.store.sqlite import Sqlite
from tests.unit.store.databases import NOW, forgets_the_oldest_in_steps, keeps_what_it_is_given, row


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Sqlite]:
    opened = Sqlite(str(tmp_path / "data" / "usage.db"))
    yield opened
    await opened.close()


async def test_it_keeps_what_it_is_given(database: Sqlite) -> None:
    await keeps_what_it_is_given(database)


async def test_it_forgets_the_oldest_in_steps(database: Sqlite) -> None:
    await forgets_the_oldest_in_steps(database)


async def test_another_process_reads_what_was_written(database: Sqlite, tmp_path: Path) -> None:
    await database.write([row()])

    with sqlite3.connect(tmp_path / "data" / "usage.db") as reader:
        assert reader.execute("SELECT id, created_at, type, payload_json FROM telemetry_events").fetchall() == [
            (1, "2023-11-14T22:13:20.000000", "openai_call", "{}")
        ]
    reader.close()


async def test_a_database_that_fails_is_connected_to_anew(tmp_path: Path) -> None:
    place = tmp_path / "full"
    place.write_text("no folder")
    database = Sqlite(str(place / "usage.db"))
    with pytest.raises(StoreError):
        await database.write([row()])
    place.unlink()

    await database.write([row()])

    assert [at for at, _, _ in await database.read(0)] == [NOW]
    await database.close()


async def test_a_file_that_is_no_database_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "usage.db").write_bytes(b"something else entirely, and long enough to be looked at" * 9)
    database = Sqlite(str(tmp_path / "usage.db"))

    with pytest.raises(StoreError, match=r"usage\.db: file is not a database"):
        await database.write([row()])


async def test_who_only_reads_makes_no_file_and_is_told_that_there_is_none(tmp_path: Path) -> None:
    """Made by whoever asks for a report, it could be one that the proxy may not write to; and a mistyped path would go unnoticed."""
    database = Sqlite(str(tmp_path / "elsewhere" / "usage.db"))

    with pytest.raises(StoreError, match=r"elsewhere/usage\.db: no such file yet"):
        await database.read(0)

    assert not (tmp_path / "elsewhere").exists()
