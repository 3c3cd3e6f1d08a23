"""The stream that proves a path."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, BodyTooLarge, ClientStalled
from proxy.handler import Runtime
from proxy.handler import trial as module
from proxy.handler.departures import Departures
from proxy.handler.trial import trial
from tests.support.handclock import WALL, HandClock
from tests.support.house import settings
from tests.support.http1 import chunk
from tests.support.transports import turns
from tests.support.whatwg import Event, EventStreamParser
from tests.unit.handler.calling import Asked, asked, runtime

GET = b"GET /test/stream?%b HTTP/1.1\r\nHost: p\r\n\r\n"
AGAIN = b"GET /test/stream?count=3&interval=1 HTTP/1.1\r\nHost: p\r\nLast-Event-ID: %b\r\n\r\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """A clock that moves only when the stream sleeps."""
    clock = HandClock()

    async def sleep(seconds: float) -> None:
        clock.move(seconds)

    clock.install(monkeypatch, "proxy.handler.trial")
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    return clock


def often() -> Runtime:
    """A proxy whose keepalives come every 200 ms."""
    return runtime(settings(streaming={"keepalive_interval": "200ms"}))


async def sent(it: Asked) -> None:
    await trial(it.call, Departures())


def pieces(it: Asked) -> list[bytes]:
    """Return what was written behind the head, each a chunk of its own, without the last one."""
    _, *written, last = it.client.transport.written
    assert last == b"0\r\n\r\n"
    found = [piece.partition(b"\r\n")[2].removesuffix(b"\r\n") for piece in written]
    assert written == [chunk(data) for data in found]
    return found


def events(it: Asked) -> list[tuple[str, Any]]:
    """Return type and data of what the client's parser dispatches; each event must be one chunk, one write."""
    parser, found = EventStreamParser(), []
    for data in pieces(it):
        [event] = [item for item in parser.feed(data) if isinstance(item, Event)]
        found.append((event.type, orjson.loads(event.data)))
    return found


@pytest.mark.usefixtures("clock")
async def test_stream_has_the_events_that_are_asked_for_and_an_end() -> None:
    async with asked(GET % b"count=3&interval=0.5") as it:
        await sent(it)

        *ticks, done = events(it)
        assert [(kind, data["n"], data["of"], data["interval"]) for kind, data in ticks] == [
            ("tick", number, 3, 0.5) for number in (1, 2, 3)
        ]
        assert done == ("done", {})


async def test_first_event_goes_at_once_and_each_at_its_own_time(clock: HandClock) -> None:
    async with asked(GET % b"count=3&interval=0.5") as it:
        await sent(it)

        ticks = [data for _, data in events(it)[:-1]]
        assert [data["unix_ms"] for data in ticks] == [int((WALL + late) * 1000) for late in (0, 0.5, 1)]
        assert [data["elapsed_ms"] for data in ticks] == [0, 500, 1000]
        assert clock.time() == WALL + 1


async def test_late_event_does_not_put_off_those_behind_it(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[float] = []

    async def oversleep(seconds: float) -> None:
        asked_for.append(seconds)
        clock.move(seconds + 0.25)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": oversleep}))
    async with asked(GET % b"count=4&interval=0.5") as it:
        await sent(it)

        assert asked_for == [0, 0.25, 0.25, 0.25]


@pytest.mark.usefixtures("clock")
async def test_silences_stand_where_they_are_asked_for() -> None:
    async with asked(GET % b"count=4&interval=1&before=8&pause_at=2&pause=16") as it:
        await sent(it)

        assert [data["elapsed_ms"] for _, data in events(it)[:-1]] == [8000, 9000, 26000, 27000]


@pytest.mark.usefixtures("clock")
async def test_silence_is_filled_with_keepalives_only_where_that_is_asked_for() -> None:
    async with asked(GET % b"count=2&interval=1&before=0.5&keepalive=on", often()) as it:
        await sent(it)

        assert [data[:2] for data in pieces(it)] == [b": "] * 2 + [b"ev"] + [b": "] * 4 + [b"ev", b"ev"]
        assert pieces(it)[0] == b": keepalive\n\n"

    async with asked(GET % b"count=2&interval=1&before=0.5") as it:
        await sent(it)

        assert len(pieces(it)) == 3


@pytest.mark.usefixtures("clock")
async def test_each_event_has_its_padding() -> None:
    async with asked(GET % b"count=2&size=512") as it:
        await sent(it)

        assert [data["padding"] for _, data in events(it)[:-1]] == ["." * 512] * 2


@pytest.mark.usefixtures("clock")
async def test_stream_can_be_lines_of_json() -> None:
    async with asked(GET % b"count=2&interval=0.25&keepalive=on&format=ndjson", often()) as it:
        await sent(it)

        assert b"Content-Type: application/x-ndjson" in it.head
        lines = b"".join(pieces(it)).splitlines()
        assert [orjson.loads(line).get("n") for line in lines] == [1, 2, None]
        assert lines[1].startswith(b" ")
        assert orjson.loads(lines[-1]) == {"done": True}


@pytest.mark.usefixtures("clock")
async def test_first_event_says_how_the_request_arrived() -> None:
    request = b'POST /test/stream?count=2 HTTP/1.1\r\nHost: p\r\nContent-Length: 7\r\n\r\n{"a":1}'
    async with asked(request) as it:
        await sent(it)

        (_, first), (_, second), _ = events(it)
        assert {key: first[key] for key in ("id", "method", "http", "body")} == {
            "id": "r1", "method": "POST", "http": "1.1", "body": 7,
        }  # fmt: skip
        assert "id" not in second
        assert it.call.runtime.bodies.used == 0


@pytest.mark.usefixtures("clock")
async def test_body_above_the_limit_is_refused() -> None:
    request = b"POST /test/stream HTTP/1.1\r\nHost: p\r\nContent-Length: 99\r\n\r\n"
    async with asked(request, runtime(settings(limits={"body": "98B"}))) as it:
        with pytest.raises(BodyTooLarge):
            await sent(it)


@pytest.mark.usefixtures("clock")
async def test_stream_is_told_to_proxies_as_one_and_counted() -> None:
    async with asked(GET % b"count=2&interval=1") as it:
        await sent(it)

        assert b"Content-Type: text/event-stream; charset=utf-8" in it.head
        assert b"Cache-Control: no-cache, no-transform" in it.head
        assert b"X-Accel-Buffering: no" in it.head
        assert b"X-Request-Id: r1" in it.head
        exchange = it.call.exchange
        assert (exchange.status, exchange.stream, exchange.progress.chunks) == (200, True, 2)
        assert exchange.committed is not None
        assert exchange.progress.longest_gap == 1


@pytest.mark.usefixtures("clock")
async def test_head_has_no_event_behind_it() -> None:
    """The client would take them for the next answer on its connection."""
    async with asked(b"HEAD /test/stream?count=2 HTTP/1.1\r\nHost: p\r\n\r\n") as it:
        response = await trial(it.call, Departures())

        assert it.head[0] == b"HTTP/1.1 200 OK"
        assert it.body == b""
        assert response.keep_alive


@pytest.mark.usefixtures("clock")
async def test_nonsense_is_refused_before_anything_is_sent() -> None:
    async with asked(GET % b"count=0") as it:
        with pytest.raises(BadRequest):
            await sent(it)

        assert it.sent == b""
        assert not it.call.downstream.committed


# Coming back.


@pytest.mark.parametrize(
    ("seen", "numbers"), [(b"2", [3]), (b"0", [1, 2, 3]), (b"", [1, 2, 3]), (b"two", [1, 2, 3]), (b"-1", [1, 2, 3])]
)
@pytest.mark.usefixtures("clock")
async def test_client_that_comes_back_gets_what_it_has_not_seen(seen: bytes, numbers: list[int]) -> None:
    async with asked(AGAIN % seen) as it:
        await sent(it)

        assert [data["n"] for _, data in events(it)[:-1]] == numbers
        assert events(it)[0][1]["id"] == "r1"


async def test_client_that_has_seen_all_is_told_not_to_come_again() -> None:
    async with asked(AGAIN % b"3") as it:
        await sent(it)

        assert it.head[0] == b"HTTP/1.1 204 No Content"
        assert it.call.exchange.status == 204


# Clients that leave, or do not read.


async def test_departure_is_noticed_in_the_middle_of_a_silence(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    departures = Departures()

    async with asked(GET % b"count=2&interval=4") as it:

        async def leave(seconds: float) -> None:
            clock.move(seconds)
            if seconds:
                it.client.transport.lose()
                raise asyncio.CancelledError

        monkeypatch.setattr(module, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": leave}))
        with pytest.raises(asyncio.CancelledError):
            await trial(it.call, departures)

    assert departures.view("", "r1", clock.now + 1) == {"state": "left", "silent_ms": 4000.0, "ago_ms": 1000.0}


@pytest.mark.usefixtures("clock")
async def test_connection_is_free_again_behind_the_stream() -> None:
    departures = Departures()

    async with asked(GET % b"count=1") as it:
        await trial(it.call, departures)
        it.client.transport.lose()

        view = departures.view("", "r1", 9e9)
        assert view is not None
        assert view["state"] == "ended"
        assert it.client.connection.exchanging is None


@pytest.mark.usefixtures("clock")
async def test_next_event_waits_for_a_client_that_does_not_read() -> None:
    async with asked(GET % b"count=3&size=70000") as it:
        it.client.transport.stall()
        sending = asyncio.get_running_loop().create_task(sent(it), name="test stream")
        await turns()
        assert len(it.client.transport.written) == 2  # the head, and one event

        it.client.transport.take()
        await sending

        assert [data["n"] for _, data in events(it)[:-1]] == [1, 2, 3]


@pytest.mark.usefixtures("clock")
async def test_client_that_reads_nothing_is_given_up() -> None:
    async with asked(GET % b"count=3&size=70000", runtime(settings(limits={"write_stall": "1ms"}))) as it:
        it.client.transport.stall()

        with pytest.raises(ClientStalled):
            await sent(it)


@pytest.mark.usefixtures("clock")
async def test_client_that_does_not_read_gets_no_keepalives_either() -> None:
    async with asked(GET % b"count=2&size=64600&interval=60&keepalive=on", often()) as it:
        it.client.transport.stall()  # the first event nearly fills the buffer
        sending = asyncio.get_running_loop().create_task(sent(it), name="test stream")
        await turns()
        waiting = len(it.client.transport.written)

        it.client.transport.take()
        await sending

        assert waiting < 50
        assert len(it.client.transport.written) > 290
