"""What is given out at the desk is taken in there once, for the same path and page, and tells nobody what it stands for."""

from __future__ import annotations

import re

import pytest

from proxy.auth import Credential, Principal, RequestHead, TicketStore
from proxy.auth import tickets as module
from proxy.auth.desk import TicketDesk
from proxy.errors import TooManyTickets, Unauthenticated
from proxy.headers import noted
from tests.unit.auth.issuing import NOW, Clock

KEY = Credential("authorization", "the-key")
APP = (b"Origin", b"https://app.example")
OWN = (b"Origin", b"https://api.example")
HOST = (b"Host", b"api.example")
PATH = b"/api/v1/ch%61t"


def caller(expires_at: float | None = None) -> Principal:
    return Principal(subject="ann", method="jwt", models=None, max_streams=9, expires_at=expires_at)


def asking(*headers: tuple[bytes, bytes], path: bytes = PATH) -> RequestHead:
    return RequestHead(noted([HOST, *headers]), path=path)


def desk(clock: Clock | None = None, tickets: TicketStore | None = None) -> TicketDesk:
    return TicketDesk(tickets or TicketStore(), 30.0, clock or Clock())


async def ticket(at: TicketDesk, *headers: tuple[bytes, bytes]) -> str:
    return (await at.issue(PATH, caller(), KEY, asking(*headers, path=b"/auth/tickets"), NOW)).text


async def refused(at: TicketDesk, text: str, request: RequestHead) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await at.redeem(text, request)
    return caught.value.reason


async def test_a_ticket_gives_back_the_credential_once() -> None:
    at = desk()
    text = await ticket(at)

    assert await at.redeem(text, asking()) == KEY
    assert await refused(at, text, asking()) == "used_ticket"


async def test_a_ticket_is_256_bits_of_chance() -> None:
    texts = [await ticket(desk()) for _ in range(9)]

    assert len(set(texts)) == 9
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", text) for text in texts)


async def test_what_is_kept_does_not_tell_the_ticket() -> None:
    store = TicketStore()
    text = await ticket(desk(tickets=store))

    assert text not in str(vars(store))


async def test_a_ticket_ends_with_its_time() -> None:
    clock = Clock()
    at = desk(clock)
    text = await ticket(at)

    clock.now += 30

    assert await refused(at, text, asking()) == "expired_ticket"


@pytest.mark.parametrize(("expires_at", "lifetime"), [(NOW + 99, 30), (NOW + 7, 7), (NOW - 1, 0), (None, 30)])
async def test_a_ticket_never_lives_longer_than_the_token_it_stands_for(expires_at: float | None, lifetime: float) -> None:
    clock = Clock()
    at = desk(clock)

    issued = await at.issue(PATH, caller(expires_at), KEY, asking(), NOW)
    clock.now += lifetime

    assert issued.lifetime == lifetime
    assert await refused(at, issued.text, asking()) == "expired_ticket"


@pytest.mark.parametrize("path", [b"/api/v1/chat", b"/api/v1/ch%61t/", b"/API/v1/ch%61t", b"/"])
async def test_a_ticket_is_for_its_own_path_byte_for_byte_and_spent_at_any_other(path: bytes) -> None:
    at = desk()
    text = await ticket(at)

    assert await refused(at, text, asking(path=path)) == "ticket_for_another_path"
    assert await refused(at, text, asking()) == "used_ticket"


@pytest.mark.parametrize("headers", [[], [OWN], [(b"Origin", b"null")]], ids=["none", "own", "null"])
async def test_a_page_s_ticket_is_for_pages_of_its_origin(headers: list[tuple[bytes, bytes]]) -> None:
    at = desk()
    good, bad = await ticket(at, APP), await ticket(at, APP)

    assert await at.redeem(good, asking(APP)) == KEY
    assert await refused(at, bad, asking(*headers)) == "ticket_for_another_origin"


async def test_a_ticket_that_a_server_has_asked_for_is_for_any_page() -> None:
    at = desk()

    assert [await at.redeem(await ticket(at), asking(*each)) for each in ([APP], [])] == [KEY, KEY]


async def test_the_proxy_s_own_page_uses_its_ticket_without_an_origin() -> None:
    at = desk()
    good, bad = await ticket(at, OWN), await ticket(at, OWN)

    assert await at.redeem(good, asking((b"Sec-Fetch-Site", b"same-origin"))) == KEY
    assert await refused(at, bad, asking((b"Sec-Fetch-Site", b"cross-site"))) == "ticket_for_another_origin"


async def test_who_has_too_many_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_SUBJECT", 1)
    at = desk()
    await ticket(at)

    with pytest.raises(TooManyTickets) as caught:
        await ticket(at)

    assert caught.value.retry_after == 30
