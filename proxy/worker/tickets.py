"""The tickets of all workers, which their supervisor keeps: one that a worker gives out is good once, at whichever of them it comes in."""

from __future__ import annotations

from typing import Any, Final

from proxy.auth import Reason, Ticket, ticket_of
from proxy.errors import Draining
from proxy.supervisor import Channel, ChannelClosed

WITHIN: Final = 5.0  # seconds; on a machine that is overloaded a request rather waits than spends its ticket in vain


class SharedTickets:
    """The tickets as one worker reaches them. Without a supervisor it is about to end, and says so."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def keep(self, digest: str, ticket: Ticket, now: float) -> bool:
        """Keep a ticket and tell whether there was room for it. Raises Draining."""
        kept: bool = await self._ask("keep ticket", digest=digest, ticket=ticket.facts(), now=now)
        return kept

    async def take(self, digest: str, now: float) -> Ticket | Reason:
        """Return the ticket, which is spent with that, or why there is none. Raises Draining."""
        found = await self._ask("take ticket", digest=digest, now=now)
        return Reason(found) if isinstance(found, str) else ticket_of(found)

    async def _ask(self, word: str, **facts: Any) -> Any:
        try:
            return await self._channel.ask(word, within=WITHIN, **facts)
        except (ChannelClosed, TimeoutError) as exc:
            raise Draining("the supervisor does not answer", retry_after=1) from exc
