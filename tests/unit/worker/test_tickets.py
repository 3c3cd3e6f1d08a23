"""A worker's tickets are its supervisor's, for all workers together."""

from __future__ import annotations

import socket

import pytest

from proxy.auth import Credential, Reason, Ticket
from proxy.errors import Draining
from proxy.supervisor import Channel
from proxy.supervisor.channel import Facts
from proxy.tasks import Tasks
from proxy.worker.tickets import SharedTickets

TICKET = Ticket(
    slot="jwt:ann", credential=Credential("x-api-key", "k"), path="/api", origin="https://\xe9", own=False, until=130.0
)


async def test_a_ticket_goes_to_the_supervisor_and_comes_back_from_there() -> None:
    asked: list[Facts] = []
    answers = [True, TICKET.facts(), Reason.TICKET_USED.value]

    def answer(facts: Facts) -> object:
        asked.append(facts)
        return answers.pop(0)

    tasks = Tasks()
    near, far = Channel({}, tasks), Channel({"keep ticket": answer, "take ticket": answer}, tasks)
    for channel, sock in zip((near, far), socket.socketpair(), strict=True):
        await channel.open(sock)
    tickets = SharedTickets(near)

    assert await tickets.keep("digest", TICKET, 100.0) is True
    assert await tickets.take("digest", 101.0) == TICKET
    assert await tickets.take("digest", 102.0) is Reason.TICKET_USED
    assert asked == [
        {"digest": "digest", "ticket": TICKET.facts(), "now": 100.0},
        {"digest": "digest", "now": 101.0},
        {"digest": "digest", "now": 102.0},
    ]
    near.close()
    await far.closed()
    with pytest.raises(Draining):
        await tickets.take("digest", 103.0)
    await tasks.close()
