"""Starting → Ready → Draining → Stopped, and who is in flight meanwhile."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from typing import Any, Protocol

from proxy.errors import Draining, TooManyStreams, TooManyStreamsOfSubject
from proxy.exchange import Exchange


class State(enum.Enum):
    """Where a process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"  # not ready any more; open connections are still served
    STOPPED = "stopped"


class InFlight(Protocol):
    """A request that is being served."""

    exchange: Exchange
    slot: str  # the subject whose slot it holds; empty: nobody's yet


class Peers(Protocol):
    """The other workers of this proxy, as far as a subject's slots and streams are concerned."""

    def leased(self, subject: str) -> int:
        """Return how many slots of *subject* this process may use without asking."""
        ...

    async def lease(self, subject: str, limit: int) -> bool:
        """Get more of them, of *limit* in all processes together; False if none is left."""
        ...

    async def end(self, subject: str, request_id: str) -> int:
        """End the streams of *subject* under that id in all other processes, and return how many there were."""
        ...

    async def departure(self, subject: str, request_id: str) -> dict[str, Any] | None:
        """Return what another process knows of *subject*'s test stream under that id; None if none knows it."""
        ...


class Lifecycle:
    """Admits requests and keeps account of them. Slots are given back in the handler's `finally`, whatever happened."""

    def __init__(self, max_streams: int) -> None:
        self.draining = False  # responses should close their connections
        self.reachable = True  # for new connections; afterwards another process may have the address
        self._state = State.STARTING
        self.max_streams = max_streams
        self.peers: Peers | None = None
        self._in_flight: dict[InFlight, None] = {}
        self._subjects: dict[str, int] = {}
        self._idle: asyncio.Event | None = None  # what somebody waits on until nothing is in flight

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def state(self) -> State:
        """Where the process is in its life."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self.draining = state in (State.DRAINING, State.STOPPED)

    @property
    def in_flight(self) -> Iterable[InFlight]:
        """Everything that is being served at the moment."""
        return tuple(self._in_flight)

    def of_subject(self, slot: str, request_id: str) -> list[InFlight]:
        """Return what is in flight under that id for the subject that holds *slot*, and for nobody else."""
        return [each for each in self._in_flight if each.slot == slot and each.exchange.request_id == request_id]

    def admit(self, request: InFlight) -> None:
        """Take a slot for *request*. Raises Draining or TooManyStreams; then no slot is taken."""
        if self.draining and self._state is State.STOPPED:
            raise Draining(retry_after=1)
        if len(self._in_flight) >= self.max_streams:
            raise TooManyStreams(f"{self.max_streams} requests in flight", retry_after=1)
        self._in_flight[request] = None

    def admit_subject(self, subject: str, limit: int) -> None:
        """Take a slot for *subject*, at most *limit* at a time. Raises TooManyStreamsOfSubject."""
        held = self._subjects.get(subject, 0)
        if held >= limit:
            raise TooManyStreamsOfSubject(f"{limit} requests in flight for this subject", retry_after=1)
        self._subjects[subject] = held + 1

    def held(self, subject: str) -> int:
        """Return how many slots *subject* has taken."""
        return self._subjects.get(subject, 0)

    async def share_subject(self, subject: str, limit: int) -> None:
        """Make sure that the slots taken for *subject* are within what it may have in all processes together.

        Raises TooManyStreamsOfSubject. The slot that `admit_subject` has taken stays taken until it is released.
        """
        peers = self.peers
        while peers is not None and self.held(subject) > peers.leased(subject):
            if not await peers.lease(subject, limit) and self.held(subject) > peers.leased(subject):
                raise TooManyStreamsOfSubject(f"{limit} requests in flight for this subject", retry_after=1)

    def release(self, request: InFlight) -> None:
        """Give a request's slot back. Idempotent."""
        self._in_flight.pop(request, None)
        if self._idle is not None and not self._in_flight:
            self._idle.set()

    def release_subject(self, subject: str) -> None:
        """Give a subject's slot back."""
        held = self._subjects.get(subject, 0) - 1
        if held > 0:
            self._subjects[subject] = held
        else:
            self._subjects.pop(subject, None)

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        while self._in_flight:
            self._idle = self._idle or asyncio.Event()
            self._idle.clear()
            await self._idle.wait()
