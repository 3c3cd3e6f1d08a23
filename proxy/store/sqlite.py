"""SQLite: one file beside the process, written by a thread."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.store.database import Database, StoreError
from proxy.store.rows import Row

T = TypeVar("T")

_BUSY: Final = 5.0  # seconds to wait for another process that writes
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS telemetry_events (
    id INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL,
    type TEXT NOT NULL,
    payload_json TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS telemetry_events_created_at ON telemetry_events (created_at);
"""
_INSERT: Final = "INSERT INTO telemetry_events (created_at, type, payload_json) VALUES (?, ?, ?)"
_FORGET: Final = (
    "DELETE FROM telemetry_events WHERE id IN (SELECT id FROM telemetry_events WHERE created_at < ? ORDER BY created_at LIMIT ?)"
)
_READ: Final = "SELECT created_at, type, payload_json FROM telemetry_events WHERE created_at >= ? ORDER BY created_at"


class Sqlite(Database):
    """The file at *path*, made with its folder where there is none. Times are UTC, as `2026-01-31T12:00:00.000000`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"<Sqlite {self._path}>"

    async def write(self, rows: Sequence[Row]) -> None:
        values = [(_text(row.created_at), row.type, row.payload.decode()) for row in rows]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, values)

        await self._within(insert)

    async def forget(self, before: float, most: int) -> int:
        return await self._within(lambda connection: connection.execute(_FORGET, (_text(before), most)).rowcount)

    async def read(self, since: float) -> list[tuple[float, str, dict[str, Any]]]:
        def rows(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(_READ, (_text(since),)).fetchall()

        found = await self._within(rows, make=False)
        return [(_seconds(at), kind, json.loads(payload)) for at, kind, payload in found]

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.to_thread(connection.close)

    async def _within(self, work: Callable[[sqlite3.Connection], T], *, make: bool = True) -> T:
        """Run *work* in one transaction, in a thread. With *make* there is a file afterwards."""
        try:
            return await asyncio.to_thread(self._transaction, work, make)
        except (sqlite3.Error, OSError) as exc:
            await self.close()
            raise StoreError(f"{self._path}: {exc}") from exc

    def _transaction(self, work: Callable[[sqlite3.Connection], T], make: bool) -> T:
        if not make and not Path(self._path).exists():  # made by who reads, it could be one that the proxy may not write to
            raise FileNotFoundError("no such file yet: it is made with the first request that is recorded")
        connection = self._connection or self._connect()
        with connection:
            return work(connection)

    def _connect(self) -> sqlite3.Connection:
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for us, nor we for them
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        return connection


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
