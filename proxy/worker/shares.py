"""A worker's part of what is limited for all workers together: the slots of subjects that the supervisor has lent it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from proxy.lifecycle import Lifecycle
from proxy.supervisor import Channel, ChannelClosed
from proxy.tasks import Tasks

LEASE_WITHIN: Final = 5.0  # on a machine that is overloaded a request rather waits than is refused


class Shares:
    """The peers of a worker. Where there is room a request needs no word with the supervisor; near a limit it does."""

    def __init__(self, channel: Channel, lifecycle: Lifecycle, tasks: Tasks) -> None:
        self._channel = channel
        self._lifecycle = lifecycle
        self._tasks = tasks
        self._lent: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}

    def leased(self, subject: str) -> int:
        """Return how many slots of *subject* are lent to this worker."""
        return self._lent.get(subject, 0)

    async def lease(self, subject: str, limit: int) -> bool:
        """Ask for more, with one question for all who wait for slots of *subject*: many would take them all, from other workers too."""
        asking = self._asking.get(subject)
        if asking is None:
            asking = self._asking[subject] = self._tasks.spawn(self._ask(subject, limit), name="lease")
        return await asyncio.shield(asking)

    async def _ask(self, subject: str, limit: int) -> bool:
        # What is lent is counted when its own message comes, so that nothing is lost when this comes too late.
        try:
            return bool(await self._channel.ask("lease", within=LEASE_WITHIN, subject=subject, limit=limit))
        except (ChannelClosed, TimeoutError):
            return False
        finally:
            del self._asking[subject]  # at once: who came upon a question that has its answer would never wait

    async def end(self, subject: str, request_id: str) -> int:
        """End the streams of *subject* under that id in the other workers, and return how many there were."""
        try:
            count: int = await self._channel.ask("end", subject=subject, request_id=request_id)
        except (ChannelClosed, TimeoutError):
            return 0
        return count

    async def departure(self, subject: str, request_id: str) -> dict[str, Any] | None:
        """Return what another worker knows of *subject*'s test stream under that id; None if none knows it."""
        try:
            view: dict[str, Any] | None = await self._channel.ask("departure", subject=subject, request_id=request_id)
        except (ChannelClosed, TimeoutError):
            return None
        return view

    def lent(self, subject: str, count: int) -> None:
        """Count what the supervisor has lent."""
        self._lent[subject] = self.leased(subject) + count

    def give_back(self, subject: str) -> None:
        """Give back what is not in use of *subject*'s slots."""
        held = self._lifecycle.held(subject)
        unused = self.leased(subject) - held
        if unused <= 0:
            return
        if held:
            self._lent[subject] = held
        else:
            self._lent.pop(subject, None)
        self._channel.tell("returned", subject=subject, count=unused)

    def sweep(self) -> None:
        """Give back the slots of subjects that have nothing in flight here."""
        for subject in [subject for subject in self._lent if not self._lifecycle.held(subject)]:
            self.give_back(subject)

    def give_all_back(self) -> None:
        """Give back everything unused: limits may have changed."""
        for subject in tuple(self._lent):
            self.give_back(subject)
