"""Each example for browsers in a real Chromium: the answer once, a button that stops, errors in words, and no second question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.example_page import Chat, open_chat
from tests.e2e.node_client import install
from tests.e2e.parts import begun, break_connections, kept_alive, simulator, stopped
from tests.e2e.python_client import chat_whole, direct
from tests.support.house import KEY
from tests.support.upstream import Reply, RequestSeen, Upstream, answer, stream

pytestmark = [pytest.mark.component("chromium", "npm"), pytest.mark.timeout(300)]  # the first run installs

BEGINNING = 5  # pieces before the silence of `stall`
STOPPED = "The answer was stopped on request."
CUT = "The connection was lost before the end of the answer."


def way(name: str, client: str, package: str = "program:chromium") -> Any:
    return pytest.param(name, id=name, marks=pytest.mark.client(client, package))


WAYS = [
    way("fetch", "fetch in Chromium"),
    way("eventsource", "EventSource in Chromium"),
    way("fetch-event-source", "@microsoft/fetch-event-source", "npm:@microsoft/fetch-event-source"),
    way("eventsource-parser", "eventsource-parser in Chromium", "npm:eventsource-parser"),
    way("xhr", "XMLHttpRequest in Chromium"),
]


def cut_in_good_order(request: RequestSeen) -> Reply:
    allowed = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "authorization, content-type")]
    if request.method == "OPTIONS":
        return answer({}, headers=allowed)
    if request.target == b"/auth/tickets":
        return answer({"ticket": "t"}, headers=allowed)
    return stream(b'event: token\ndata: {"text":"Hi"}\n\n', headers=allowed)


@pytest.fixture(params=WAYS)
async def chat(request: pytest.FixtureRequest, chromium: str) -> AsyncIterator[Chat]:
    install()
    async with open_chat(chromium, request.param) as opened:
        yield opened


@pytest.mark.shows("text")
async def test_the_whole_answer_is_written_once_also_while_the_page_is_hidden(chat: Chat) -> None:
    await chat.open("ok")
    await chat.page.run("() => glance()")

    await chat.ask()

    assert await chat.ended() == (await direct(chat.house, chat_whole), "")
    assert [record["outcome"] for record in await chat.asked()] == ["completed"]
    assert await chat.page.run("() => sources.every(source => source.readyState === EventSource.CLOSED)")


@pytest.mark.shows("silence")
async def test_keepalives_change_nothing(chat: Chat) -> None:
    """To some of these readers they are events without a name and without data."""
    await chat.open("stall")
    await chat.ask()
    await chat.pieces(BEGINNING)

    await kept_alive(chat.house, 3)

    await chat.pieces(BEGINNING)
    await chat.stop()
    assert (await chat.ended())[1] == STOPPED


@pytest.mark.shows("leaving")
async def test_the_button_stops_the_backend_and_the_page_says_so(chat: Chat) -> None:
    backend = simulator(chat.house)
    await chat.open("stall")
    await chat.ask()
    await chat.pieces(BEGINNING)
    assert backend.live

    await chat.stop()

    await stopped(backend)
    assert (await chat.ended())[1] == STOPPED
    assert [record["code"] for record in await chat.asked()] == ["stopped"]


@pytest.mark.shows("cut")
async def test_a_cut_answer_is_no_end_and_only_a_person_asks_again(chat: Chat) -> None:
    await chat.open("stall")
    await chat.ask()
    await chat.pieces(BEGINNING)

    break_connections(chat.house)

    begun_with, problem = await chat.ended()
    assert problem == CUT
    assert len(await chat.asked()) == 1
    assert await chat.page.run("() => sources.every(source => source.readyState === EventSource.CLOSED)")
    await chat.ask()
    await begun(simulator(chat.house))
    await chat.pieces(BEGINNING)
    await chat.stop()
    assert (await chat.ended())[0] == begun_with
    assert len(await chat.asked()) == 2


@pytest.mark.shows("cut")
async def test_an_answer_without_its_last_event_is_cut_however_well_its_connection_ends(chat: Chat) -> None:
    """Old versions of Caddy end a stream that the proxy has cut as if it were whole."""
    async with Upstream() as front:
        front.always(cut_in_good_order)
        await chat.open("ok", at=front.url)

        await chat.ask()

        assert await chat.ended() == ("Hi", CUT)


@pytest.mark.shows("errors")
async def test_errors_are_told_in_words(chat: Chat) -> None:
    await chat.open("rate-limit")

    await chat.ask("lp_wrong")
    denied = await chat.ended()
    await chat.ask()
    limited = await chat.ended()

    assert denied[0] == limited[0] == ""
    assert "credential" in denied[1]
    assert limited[1] == "Overloaded, please try again soon."


@pytest.mark.client("EventSource in Chromium", "program:chromium")
async def test_an_eventsource_that_nobody_closes_gets_one_answer(chromium: str) -> None:
    """Its browser connects again after the good end, some seconds later, and is turned away for good."""
    connect = """url => new Promise(done => {
        const source = new EventSource(url);
        source.onerror = () => { if (source.readyState === EventSource.CLOSED) done(); };
    })"""
    async with open_chat(chromium, "", query_token=True) as chat:
        await chat.open("ok")

        await chat.page.run(connect, f"{chat.house.url}/ok?message=hi&access_token={KEY}")

        assert [record["status"] for record in await chat.asked()] == [200, 204]
