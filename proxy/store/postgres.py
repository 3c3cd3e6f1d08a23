"""PostgreSQL: one database for several replicas, over asyncpg, which comes with the extra `postgres`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from proxy.store.database import Database, StoreError
from proxy.store.rows import Row

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 5.0  # seconds
COMMAND_TIMEOUT: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS telemetry_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    type TEXT NOT NULL,
    payload_json JSONB NOT NULL
);
CREATE INDEX IF NOT EXISTS telemetry_events_created_at ON telemetry_events (created_at);
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(7021904)"  # of replicas that start at once one makes the table, the others find it
_INSERT: Final = "INSERT INTO telemetry_events (created_at, type, payload_json) VALUES ($1, $2, $3)"
_FORGET: Final = "DELETE FROM telemetry_events WHERE id IN (SELECT id FROM telemetry_events WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
_READ: Final = "SELECT created_at, type, payload_json FROM telemetry_events WHERE created_at >= $1 ORDER BY created_at"


class Postgres(Database):
    """The database at *url*, which may hold a password and is never shown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    def __repr__(self) -> str:
        return "<Postgres ***>"

    async def write(self, rows: Sequence[Row]) -> None:
        values = [(_instant(row.created_at), row.type, row.payload.decode()) for row in rows]

        async def insert(connection: Any) -> None:
            await connection.executemany(_INSERT, values)  # in one transaction

        await self._within(insert)

    async def forget(self, before: float, most: int) -> int:
        async def delete(connection: Any) -> int:
            return int((await connection.execute(_FORGET, _instant(before), most)).split()[-1])

        return await self._within(delete)

    async def read(self, since: float) -> list[tuple[float, str, dict[str, Any]]]:
        async def select(connection: Any) -> Any:
            return await connection.fetch(_READ, _instant(since))

        found = await self._within(select)
        return [(at.timestamp(), kind, json.loads(payload)) for at, kind, payload in found]

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()  # nothing is under way; a server that does not answer is not waited for

    async def _within(self, work: Callable[[Any], Awaitable[T]]) -> T:
        import asyncpg  # type: ignore[import-untyped]

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT + COMMAND_TIMEOUT):
                return await work(self._connection or await self._connect(asyncpg))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as exc:
            await self.close()
            # the driver's words may hold the address, never the password
            raise StoreError(f"{type(exc).__name__}: {str(exc)[:200]}") from exc

    async def _connect(self, asyncpg: Any) -> Any:
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT)
        self._connection = connection
        async with connection.transaction():
            await connection.execute(_LOCK)
            await connection.execute(_SCHEMA)
        return connection


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
