"""Tickets are good once and for a moment, say why when they are not, and take no more memory than they may."""

from __future__ import annotations

import pytest

from proxy.auth import Credential, Reason, Ticket, TicketStore, ticket_of
from proxy.auth import tickets as module

NOW = 100.0


def ticket(slot: str = "jwt:ann", until: float = NOW + 30) -> Ticket:
    credential = Credential("authorization", "secret-token")
    return Ticket(slot=slot, credential=credential, path="/api", origin=None, own=False, until=until)


async def test_a_ticket_is_good_once() -> None:
    store = TicketStore()
    await store.keep("one", ticket(), NOW)

    assert await store.take("one", NOW + 29) == ticket()
    assert [await store.take("one", NOW + seconds) for seconds in (29, 31)] == [Reason.TICKET_USED] * 2


async def test_a_ticket_that_nobody_has_given_out_is_unknown() -> None:
    assert await TicketStore().take("one", NOW) is Reason.TICKET_UNKNOWN


@pytest.mark.parametrize("younger", ["", "two"], ids=["alone", "behind one that lives longer"])
async def test_a_ticket_ends(younger: str) -> None:
    store = TicketStore()
    if younger:
        await store.keep(younger, ticket(until=NOW + 99), NOW)
    await store.keep("one", ticket(), NOW)

    assert await store.take("one", NOW + 30) is Reason.TICKET_EXPIRED
    assert await store.take("one", NOW + 31) is Reason.TICKET_EXPIRED


async def test_one_subject_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_SUBJECT", 2)
    store = TicketStore()

    kept = [await store.keep(name, ticket(), NOW) for name in ("one", "two", "three")]
    another = await store.keep("four", ticket("api_key:bob"), NOW)
    await store.take("one", NOW)
    after_use = await store.keep("five", ticket(), NOW)

    assert (kept, another, after_use) == ([True, True, False], True, True)
    assert isinstance(await store.take("two", NOW), Ticket)


async def test_many_subjects_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    store = TicketStore()

    kept = [await store.keep(name, ticket(name), NOW) for name in ("one", "two", "three")]
    later = await store.keep("three", ticket("three"), NOW + 30)

    assert (kept, later) == ([True, True, False], True)


async def test_what_is_over_takes_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PAST", 2)
    store = TicketStore()
    for name in ("one", "two", "three"):
        await store.keep(name, ticket(), NOW)
        await store.take(name, NOW)

    assert repr(store) == "<TicketStore tickets=0 subjects=0 past=2>"
    assert await store.take("one", NOW) is Reason.TICKET_UNKNOWN
    assert await store.take("three", NOW) is Reason.TICKET_USED


@pytest.mark.parametrize("credential", [Credential("x-api-key", "k"), None])
def test_a_ticket_is_the_same_in_another_process(credential: Credential | None) -> None:
    here = Ticket(slot="a", credential=credential, path="/api", origin="https://a.example", own=True, until=1.5)

    assert ticket_of(here.facts()) == here


def test_no_ticket_shows_its_credential() -> None:
    assert "secret" not in repr(ticket())
