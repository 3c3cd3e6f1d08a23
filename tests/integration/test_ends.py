"""How a live stream ends: a finished answer in good order, any other never so that it could be taken for one (P12 to P14)."""

from __future__ import annotations

import asyncio
import http.client
from dataclasses import replace
from typing import get_args

import pytest

from proxy.dialects.chat import ChatObserver
from proxy.streaming import stream as streaming_module
from tests.support.answers import (
    CREATED,
    ERROR_EVENT,
    FINISH,
    KEEPALIVE,
    RESPONSES,
    TEXT_DELTA,
    TOKEN,
    USAGE,
    ask,
    intervals_pass,
    only_record,
    quick,
)
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, House, chat, open_house
from tests.support.loops import both_loops
from tests.support.steps import Framing
from tests.support.upstream import DONE, Fin, Gate, Hang, How, Pause, Rst, Send, Upstream, answer, stream
from tests.support.whatwg import events

pytestmark = both_loops

HALF = b'data: {"choices": [{"del'
NOT_A_CHUNK = Send(b"not a chunk\r\n", raw=True)
JSON = b'{"choices": [{"message": {"content": "Hi"}}]}'

framings = pytest.mark.parametrize("framing", [framing for framing in get_args(Framing) if framing != "raw"])
deaths = pytest.mark.parametrize(
    ("death", "outcome"), [(Fin(), "upstream_truncated"), (Rst(), "upstream_reset")], ids=["FIN", "RST"]
)
versions = pytest.mark.parametrize("version", ["1.1", "1.0"])


@framings
@deaths
@versions
async def test_p12_a_stream_that_dies_between_events_says_so_and_is_aborted(
    framing: Framing, death: Fin | Rst, outcome: str, version: str
) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(replace(stream(TOKEN, TOKEN, death, framing=framing), length=10_000))

        response = await ask(client, version=version)
        body = await response.read()

        assert body.startswith(TOKEN * 2)
        assert DONE not in body
        assert unfinished(response, version)
        if version == "1.1":  # a reset may overtake what was written last
            assert f'"code":"{outcome}"' in events(body)[2].data
        assert (await only_record(house))["outcome"] == outcome


@deaths
async def test_p12_a_client_library_reports_an_incomplete_read(death: Fin | Rst, outcome: str) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house:
        upstream.script(stream(TOKEN, TOKEN, death))

        with pytest.raises(http.client.IncompleteRead) as caught:
            await asyncio.to_thread(read_whole, house)

        assert caught.value.partial.replace(KEEPALIVE, b"").startswith(TOKEN * 2)
        assert (await only_record(house))["outcome"] == outcome


@framings
@deaths
@versions
async def test_p13_half_an_event_is_never_completed(framing: Framing, death: Fin | Rst, outcome: str, version: str) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(replace(stream(TOKEN, HALF, death, framing=framing), length=10_000))

        response = await ask(client, version=version)
        body = await response.read()

        assert body == TOKEN + HALF
        assert unfinished(response, version)
        assert (await only_record(house))["outcome"] == outcome


@versions
async def test_p13_broken_framing_ends_a_stream_like_a_broken_connection(version: str) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, HALF, NOT_A_CHUNK, Hang()))

        response = await ask(client, version=version)
        body = await response.read()

        assert body == TOKEN + HALF
        assert unfinished(response, version)
        assert (await only_record(house))["code"] == "upstream_malformed"
        assert (await upstream.closed()).how is not How.LOCAL


@pytest.mark.parametrize(
    ("framing", "death", "outcome"),
    [
        ("chunked", Fin(), "upstream_truncated"),
        ("length", Fin(), "upstream_truncated"),
        ("chunked", Rst(), "upstream_reset"),
        ("length", Rst(), "upstream_reset"),
        ("close", Rst(), "upstream_reset"),  # a FIN would be the good end of such a body
    ],
)
@versions
async def test_p13_a_whole_answer_that_breaks_off_is_aborted(
    framing: Framing, death: Fin | Rst, outcome: str, version: str
) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(replace(answer(JSON), body=[JSON[:9], death], framing=framing, length=len(JSON)))

        response = await ask(client, stream=False, version=version)
        body = await response.read()

        assert body == JSON[:9]
        assert response.end is (End.RESET if response.header("content-length") is None and version == "1.0" else End.ABORTED)
        assert (await only_record(house))["outcome"] == outcome


@framings
async def test_p14_a_finished_stream_ends_in_good_order_and_its_connection_goes_on(framing: Framing) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, DONE, framing=framing), answer(JSON))

        response = await ask(client)
        body = await response.read()
        following = await ask(client, stream=False)

        assert body == TOKEN + DONE
        assert response.end is End.CLEAN
        assert await following.read() == JSON
        assert (await upstream.request(1)).fresh is (framing == "close")
        assert [record["outcome"] for record in await house.records(2)] == ["completed", "completed"]


async def test_p14_over_http_1_0_a_finished_stream_ends_with_its_connection() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, DONE))

        response = await ask(client, version="1.0")
        body = await response.read()

        assert response.header("transfer-encoding") is None
        assert body == TOKEN + DONE
        assert response.end is End.CLEAN
        assert (await only_record(house))["outcome"] == "completed"


async def test_a_finish_reason_and_a_clean_end_are_enough_and_no_done_is_invented() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, FINISH))

        response = await ask(client)

        assert await response.read() == TOKEN + FINISH
        assert response.end is End.CLEAN
        assert (await only_record(house))["outcome"] == "completed"


@deaths
async def test_a_finish_reason_alone_does_not_excuse_a_broken_connection(death: Fin | Rst, outcome: str) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, FINISH, death))

        response = await ask(client)
        body = await response.read()

        assert body.startswith(TOKEN + FINISH)
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == outcome


@deaths
async def test_behind_the_last_event_it_no_longer_matters_how_the_upstream_goes(death: Fin | Rst, outcome: str) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, DONE, death), stream(TOKEN, DONE))

        response = await ask(client)
        body = await response.read()
        following = await ask(client)
        await following.read()

        assert body == TOKEN + DONE
        assert response.end is following.end is End.CLEAN
        assert (await upstream.request(1)).fresh, f"{outcome}: that connection was fit for nothing"


async def test_an_upstream_that_stays_open_behind_its_last_event_does_not_keep_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming_module, "AFTER_END", 0.05)
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, DONE, Hang()))

        response = await ask(client)
        body = await response.read()

        assert body == TOKEN + DONE
        assert response.end is End.CLEAN
        assert (await only_record(house))["outcome"] == "completed"
        assert (await upstream.closed()).how is not How.LOCAL


async def test_what_comes_late_behind_a_finish_reason_still_belongs_to_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usage may take its time; only `[DONE]` says that nothing more will come."""
    monkeypatch.setattr(streaming_module, "AFTER_END", 0.05)
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, FINISH, Gate("usage"), USAGE, DONE))

        response = await ask(client)
        await response.read_until(FINISH)
        await intervals_pass(house, upstream)
        upstream.open("usage")
        body = await response.read()

        assert body.endswith(USAGE + DONE)
        assert response.end is End.CLEAN
        assert [record["tokens_out"] for record in await house.records(2) if "tokens_out" in record] == [5]


@pytest.mark.parametrize(("last", "end"), [(Pause(0), End.CLEAN), (Fin(), End.ABORTED)], ids=["finished", "cut"])
async def test_an_error_told_by_the_upstream_itself_is_passed_on_and_not_told_twice(last: Pause | Fin, end: End) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, ERROR_EVENT, last))

        response = await ask(client)

        assert await response.read() == TOKEN + ERROR_EVENT
        assert response.end is end
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_a_response_that_breaks_off_ends_with_the_api_s_own_failure() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(CREATED, TEXT_DELTA, Fin()))

        response = await ask(client, RESPONSES)
        body = await response.read()

        assert body.startswith(CREATED + TEXT_DELTA)
        assert [event.type for event in events(body)][2:] == ["response.failed"]
        assert '"sequence_number":5' in events(body)[2].data
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_truncated"


async def test_a_fault_of_our_own_in_the_middle_of_a_stream_is_ours_and_ends_only_that_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("fault"), HALF, Hang()), stream(TOKEN, DONE))

        response = await ask(client)
        await response.read_until(TOKEN)
        with monkeypatch.context() as broken:
            broken.setattr(ChatObserver, "feed", fail)
            upstream.open("fault")
            body = await response.read()
        async with house.client() as another:
            assert await (await ask(another)).read() == TOKEN + DONE

        assert body == TOKEN + HALF
        assert response.end is End.ABORTED
        assert (await upstream.closed()).how is not How.LOCAL
        assert [record["outcome"] for record in await house.records(2)] == ["proxy_error", "completed"]


def unfinished(response: Response, version: str) -> bool:
    """Tell whether the client cannot have taken this for a whole answer."""
    return response.end is (End.ABORTED if version == "1.1" else End.RESET)


def read_whole(house: House) -> bytes:
    """Read a stream with the standard library's client."""
    connection = http.client.HTTPConnection(*house.server.address, timeout=5)
    try:
        connection.request("POST", CHAT, chat(), dict(BEARER))
        return connection.getresponse().read()
    finally:
        connection.close()


def fail(*_: object) -> int:
    raise RuntimeError("put in by the test")
