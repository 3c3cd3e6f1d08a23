"""Finds the database that `usage.store` names."""

from __future__ import annotations

from typing import Final

from proxy.store.database import Database
from proxy.store.postgres import Postgres
from proxy.store.sqlite import Sqlite

_SQLITE: Final = "sqlite:///"


def open_database(url: str) -> Database:
    """Return the database at *url*, unconnected: `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`."""
    return Sqlite(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else Postgres(url)
