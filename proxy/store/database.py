"""What a database must be able to do for the usage store."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from proxy.store.rows import Row


class StoreError(Exception):
    """The database did not do what it was asked; nothing of the batch is in it. The cause is the driver's own error."""


class Database(abc.ABC):
    """One database. Everything but `close` raises StoreError; after one, the next call connects anew."""

    @abc.abstractmethod
    async def write(self, rows: Sequence[Row]) -> None:
        """Write all of *rows*, or nothing. Makes the table where there is none."""

    @abc.abstractmethod
    async def forget(self, before: float, most: int) -> int:
        """Delete at most *most* rows from before that time (seconds since the epoch) and return how many those were."""

    @abc.abstractmethod
    async def read(self, since: float) -> list[tuple[float, str, dict[str, Any]]]:
        """Return time, type and payload of every row since then, the oldest first."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of the connection. Idempotent."""
