"""Keeps a row for every finished exchange and every error, in SQLite or PostgreSQL, without ever delaying one."""

from proxy.store import report
from proxy.store.database import Database, StoreError
from proxy.store.rows import Row
from proxy.store.urls import open_database
from proxy.store.writer import UsageWriter

__all__ = ["Database", "Row", "StoreError", "UsageWriter", "open_database", "report"]
