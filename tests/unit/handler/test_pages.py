"""Health, who am I, and the stream that proves a path."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest
from proxy.handler import pages
from tests.support.handclock import WALL, HandClock
from tests.support.http1 import chunk
from tests.support.whatwg import Event, EventStreamParser
from tests.unit.handler.calling import Asked, asked, principal

GET = b"GET %b HTTP/1.1\r\nHost: p\r\n\r\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """A clock that moves only when the page sleeps."""
    clock = HandClock()

    async def sleep(seconds: float) -> None:
        clock.move(seconds)

    clock.install(monkeypatch, "proxy.handler.pages")
    monkeypatch.setattr(pages, "asyncio", SimpleNamespace(sleep=sleep))
    return clock


def events(asked: Asked) -> list[tuple[str, Any]]:
    """Return type and data of what the client's parser dispatches; each event must be one chunk, one write."""
    _, *pieces, last = asked.client.transport.written
    assert last == b"0\r\n\r\n"
    parser, found = EventStreamParser(), []
    for piece in pieces:
        data = piece.partition(b"\r\n")[2].removesuffix(b"\r\n")
        assert piece == chunk(data)
        [event] = [item for item in parser.feed(data) if isinstance(item, Event)]
        found.append((event.type, orjson.loads(event.data)))
    return found


@pytest.mark.parametrize(("serving", "status", "word"), [(True, 200, "ok"), (False, 503, "draining")])
async def test_health_says_whether_to_send_more(serving: bool, status: int, word: str) -> None:
    async with asked() as it:
        pages.health(it.call, serving=serving)

        assert it.head[0].startswith(b"HTTP/1.1 %d " % status)
        assert orjson.loads(it.body) == {"status": word}
        assert it.call.exchange.status == status


async def test_small_answer_is_json_that_nobody_keeps() -> None:
    async with asked() as it:
        pages.answer_json(it.call, 200, [1])

        assert b"Content-Type: application/json" in it.head
        assert b"Cache-Control: no-store" in it.head
        assert b"X-Request-Id: r1" in it.head
        assert it.body == b"[1]"


@pytest.mark.parametrize(
    ("models", "expires_at", "told_models", "told_time"),
    [
        ((), None, ["*"], None),
        (("gpt-*", "o1"), None, ["gpt-*", "o1"], None),
        ((), 1_763_719_383.0, ["*"], "2025-11-21T10:03:03Z"),
        ((), 1_763_719_383.96, ["*"], "2025-11-21T10:03:03Z"),
        ((), 0.0, ["*"], "1970-01-01T00:00:00Z"),
    ],
)
async def test_ping_says_who_what_and_how_long(
    models: tuple[str, ...], expires_at: float | None, told_models: list[str], told_time: str | None
) -> None:
    async with asked() as it:
        it.call.principal = principal(*models, expires_at=expires_at)

        pages.ping(it.call)

        assert orjson.loads(it.body) == {"subject": "ann", "models": told_models, "expires_at": told_time}
        assert it.call.exchange.status == 200


# The test stream.


@pytest.mark.parametrize(
    ("query", "count", "interval"),
    [
        (b"", 10, 1.0),
        (b"?", 10, 1.0),
        (b"?count=3", 3, 1.0),
        (b"?interval=0.5", 10, 0.5),
        (b"?count=2&interval=0.25", 2, 0.25),
        (b"?count=1000&interval=3.5", 1000, 3.5),
        (b"?count=60&interval=60", 60, 60.0),
        (b"?count=1&interval=0", 1, 0.0),
        (b"?count=5&count=2", 2, 1.0),
        (b"?c%6funt=2&interval=1e-1", 2, 0.1),
        (b"?count=2&more=x&empty=", 2, 1.0),
    ],
)
@pytest.mark.usefixtures("clock")
async def test_stream_has_so_many_events_of_such_an_interval(query: bytes, count: int, interval: float) -> None:
    async with asked(GET % (b"/test/stream" + query)) as it:
        await pages.test_stream(it.call)

        *ticks, done = events(it)
        assert [(kind, data["n"], data["of"], data["interval"]) for kind, data in ticks] == [
            ("tick", number, count, interval) for number in range(1, count + 1)
        ]
        assert done == ("done", {})


async def test_first_event_goes_at_once_and_each_at_its_own_time(clock: HandClock) -> None:
    async with asked(GET % b"/test/stream?count=3&interval=0.5") as it:
        await pages.test_stream(it.call)

        assert [data["unix_ms"] for _, data in events(it)[:-1]] == [int((WALL + late) * 1000) for late in (0, 0.5, 1)]
        assert clock.time() == WALL + 1


async def test_late_event_does_not_put_off_those_behind_it(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[float] = []

    async def oversleep(seconds: float) -> None:
        asked_for.append(seconds)
        clock.move(seconds + 0.25)

    monkeypatch.setattr(pages, "asyncio", SimpleNamespace(sleep=oversleep))
    async with asked(GET % b"/test/stream?count=4&interval=0.5") as it:
        await pages.test_stream(it.call)

        assert asked_for == [0, 0.25, 0.25, 0.25]


@pytest.mark.usefixtures("clock")
async def test_stream_is_told_to_proxies_as_one_and_counted() -> None:
    async with asked(GET % b"/test/stream?count=2&interval=1") as it:
        await pages.test_stream(it.call)

        assert b"Content-Type: text/event-stream; charset=utf-8" in it.head
        assert b"Cache-Control: no-cache, no-transform" in it.head
        assert b"X-Accel-Buffering: no" in it.head
        assert b"X-Request-Id: r1" in it.head
        exchange = it.call.exchange
        assert (exchange.status, exchange.stream, exchange.chunks) == (200, True, 2)
        assert exchange.committed is not None
        assert exchange.longest_gap == 1


@pytest.mark.usefixtures("clock")
async def test_head_has_no_event_behind_it() -> None:
    """The client would take them for the next answer on its connection."""
    async with asked(b"HEAD /test/stream?count=2 HTTP/1.1\r\nHost: p\r\n\r\n") as it:
        response = await pages.test_stream(it.call)

        assert it.head[0] == b"HTTP/1.1 200 OK"
        assert it.body == b""
        assert response.keep_alive


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"count=0", "count"),
        (b"count=-1", "count"),
        (b"count=1001", "count"),
        (b"count=1.5", "count"),
        (b"count=ten", "count"),
        (b"count=", "count"),
        (b"count=%00", "count"),
        (b"count=" + b"9" * 5000, "count"),
        (b"interval=-0.1", "interval"),
        (b"interval=60.1", "interval"),
        (b"interval=nan", "interval"),
        (b"interval=inf", "interval"),
        (b"interval=soon", "interval"),
        (b"interval=", "interval"),
        (b"count=61&interval=60", "count"),
        (b"count=1000&interval=3.7", "count"),
    ],
)
@pytest.mark.usefixtures("clock")
async def test_nonsense_is_refused_by_its_name_before_anything_is_sent(query: bytes, field: str) -> None:
    async with asked(GET % (b"/test/stream?" + query)) as it:
        with pytest.raises(BadRequest) as refused:
            await pages.test_stream(it.call)

        assert refused.value.param == field
        assert refused.value.public.startswith(field)
        assert it.sent == b""
        assert not it.call.downstream.committed
