"""The tickets that are out: each is good once, for a moment, in place of a credential that a browser's EventSource cannot send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from proxy.auth.credential import Credential
from proxy.auth.reasons import Reason

MOST: Final = 4096  # tickets; with the longest of credentials and paths 45 MiB
MOST_OF_SUBJECT: Final = 512
MOST_PAST: Final = 4096  # of those that are good no more, so many are remembered, to say why


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket is good for. It stands in for `credential`, which is checked again when it is redeemed.

    So its bearer is who asked for it, with whatever the configuration in force then allows, and for no longer than a token lives.
    """

    slot: str  # whom it counts for
    credential: Credential | None  # None: that of a caller who needs none
    path: str
    origin: str | None  # None: from anywhere
    own: bool  # whether that origin is the proxy's own
    until: float

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, for another process."""
        return asdict(self)


def ticket_of(facts: Mapping[str, Any]) -> Ticket:
    """Return the ticket of which `facts` has told."""
    credential = facts["credential"]
    return Ticket(**{**facts, "credential": None if credential is None else Credential(**credential)})


class Tickets(Protocol):
    """Where tickets are kept between two requests, under the SHA-256 of their text. *now* is monotonic."""

    async def keep(self, digest: str, ticket: Ticket, now: float) -> bool:
        """Keep a ticket and tell whether there was room for it."""
        ...

    async def take(self, digest: str, now: float) -> Ticket | Reason:
        """Return the ticket, which is spent with that, or why there is none."""
        ...


class TicketStore:
    """The tickets of one process, or of all workers together. No method waits for anything, so nobody comes in between."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}  # the oldest first
        self._held: Counter[str] = Counter()  # by slot
        self._past: dict[str, Reason] = {}

    def __repr__(self) -> str:
        return f"<TicketStore tickets={len(self._tickets)} subjects={len(self._held)} past={len(self._past)}>"

    async def keep(self, digest: str, ticket: Ticket, now: float) -> bool:
        """Keep a ticket and tell whether there was room for it."""
        self._expire(now)
        if len(self._tickets) >= MOST or self._held[ticket.slot] >= MOST_OF_SUBJECT:
            return False
        self._tickets[digest] = ticket
        self._held[ticket.slot] += 1
        return True

    async def take(self, digest: str, now: float) -> Ticket | Reason:
        """Return the ticket, which is spent with that, or why there is none."""
        self._expire(now)
        ticket = self._tickets.get(digest)
        if ticket is None:
            return self._past.get(digest, Reason.TICKET_UNKNOWN)
        if now >= ticket.until:  # one that was kept before it lives longer
            self._retire(digest, Reason.TICKET_EXPIRED)
            return Reason.TICKET_EXPIRED
        self._retire(digest, Reason.TICKET_USED)
        return ticket

    def _expire(self, now: float) -> None:
        """Let go of the oldest that are over. Nearly all live equally long, so those behind the first that is not are not either."""
        while self._tickets:
            digest, ticket = next(iter(self._tickets.items()))
            if now < ticket.until:
                return
            self._retire(digest, Reason.TICKET_EXPIRED)

    def _retire(self, digest: str, reason: Reason) -> None:
        slot = self._tickets.pop(digest).slot
        self._held[slot] -= 1
        if not self._held[slot]:
            del self._held[slot]
        if len(self._past) >= MOST_PAST:
            del self._past[next(iter(self._past))]
        self._past[digest] = reason
