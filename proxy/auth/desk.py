"""Gives tickets out and takes them in: single use, a moment long, for one path, and for the page that asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from proxy.auth.browsers import from_own_page, is_page_of, told_origin
from proxy.auth.credential import Credential, RequestHead
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.auth.tickets import Ticket, Tickets
from proxy.errors import TooManyTickets, Unauthenticated

BYTES: Final = 32  # of chance in a ticket


class Issued(NamedTuple):
    """A ticket as its bearer gets it; nobody else ever sees `text`. `lifetime` is in seconds."""

    text: str
    lifetime: float


class TicketDesk:
    """The desk of one configuration; what it gives out is kept in *tickets*, which outlive it. *clock* is monotonic."""

    def __init__(self, tickets: Tickets, lifetime: float, clock: Callable[[], float]) -> None:
        self._tickets = tickets
        self._lifetime = lifetime
        self._clock = clock

    async def issue(
        self, path: bytes, caller: Principal, credential: Credential | None, request: RequestHead, now: float
    ) -> Issued:
        """Return a ticket for a GET of *path*, for *caller*, who has asked for it in *request* with *credential*.

        *now* is seconds since the epoch, by which the caller's token ends. Raises TooManyTickets.
        """
        lifetime, begun = self._lifetime, self._clock()
        if caller.expires_at is not None:
            lifetime = max(0.0, min(lifetime, caller.expires_at - now))
        origin = told_origin(request.headers)
        ticket = Ticket(
            slot=caller.slot,
            credential=credential,
            path=path.decode("latin-1"),
            origin=origin,
            own=origin is not None and from_own_page(request.headers),
            until=begun + lifetime,
        )
        text = secrets.token_urlsafe(BYTES)
        if not await self._tickets.keep(_digest(text), ticket, begun):
            raise TooManyTickets("tickets that nobody has used", retry_after=lifetime)
        return Issued(text, lifetime)

    async def redeem(self, text: str, request: RequestHead) -> Credential | None:
        """Return the credential that a ticket stands for; the ticket is spent, whether or not it fits. Raises `Unauthenticated`."""
        ticket = await self._tickets.take(_digest(text), self._clock())
        if isinstance(ticket, Reason):
            raise Unauthenticated(ticket, "the ticket is not good, or not any more")
        if ticket.path.encode("latin-1") != request.path:
            raise Unauthenticated(Reason.TICKET_PATH, "the ticket is for another path")
        if not is_page_of(request.headers, ticket.origin, own=ticket.own):
            raise Unauthenticated(Reason.TICKET_ORIGIN, "the ticket was given to a page of another origin")
        return ticket.credential


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
