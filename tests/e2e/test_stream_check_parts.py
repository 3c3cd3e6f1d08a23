"""The parts of the page that checks streams, each by itself in a real Chromium: reading, giving up, drawing, telling."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from aiohttp import web

from proxy.handler.stream_check import document
from tests.e2e.browser import Page, open_page

pytestmark = pytest.mark.component("chromium")

TICK: Final = b'event: tick\ndata: {"elapsed_ms": 0.1}\n\n'
WATCHED: Final = """async stream => {
    const seen = observation(STREAMS[stream], { count: 5, interval: 10 });
    await watch(seen, { secret: "" }, new AbortController().signal, 1500);
    const { word, says } = judge(seen);
    return [word, says];
}"""


@dataclass(slots=True)
class Beside:
    """The page, and beside it a stream that begins so and then says nothing more."""

    first: bytes = b""  # empty: not even a head
    type: str = "text/event-stream"
    url: str = ""
    left: asyncio.Event = field(default_factory=asyncio.Event)  # its reader

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": self.type})
        try:
            if self.first:
                await response.prepare(request)
                await response.write(self.first)
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response

    async def shown(self, _: web.Request) -> web.Response:
        return web.Response(body=document().body, content_type="text/html")


@asynccontextmanager
async def serving(beside: Beside) -> AsyncIterator[Beside]:
    app = web.Application()
    app.add_routes([web.get("/stream-check", beside.shown), web.get("/test/stream", beside.stream)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        beside.url = f"http://127.0.0.1:{runner.addresses[0][1]}/stream-check"
        yield beside
    finally:
        await runner.cleanup()


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Page]:
    async with serving(Beside()) as beside, open_page(chromium, beside.url) as opened:
        yield opened


# Watching.


@pytest.mark.parametrize("stream", ["fetch", "EventSource"])
@pytest.mark.parametrize(("first", "came"), [(b"", 0), (TICK, 1)])
async def test_stream_that_falls_silent_is_given_up(page: Page, stream: str, first: bytes, came: int) -> None:
    async with serving(Beside(first)) as beside:
        await page.go(beside.url)
        word, says = await page.run(WATCHED, stream)
        await asyncio.wait_for(beside.left.wait(), 10)

    assert word == "CUT"
    assert says.endswith(f"after {came} of 5 events; then nothing came for so long that this page gave up")


async def test_end_without_all_events_is_none(page: Page) -> None:
    async with serving(Beside(TICK + b"event: done\ndata: {}\n\n")) as beside:
        await page.go(beside.url)
        word, says = await page.run(WATCHED, "EventSource")

    assert word == "CUT"
    assert says.endswith("after 1 of 5 events")


async def test_endless_answer_that_is_no_stream_is_left_at_once(page: Page) -> None:
    async with serving(Beside(b"<p>", "text/html")) as beside:
        await page.go(beside.url)
        told = await page.run(WATCHED, "fetch")
        await asyncio.wait_for(beside.left.wait(), 10)

    assert told == ["REFUSED", "an answer of text/html instead of events"]


async def test_event_source_is_closed_before_it_asks_again(page: Page) -> None:
    """Left open it would, some moments after the end of each stream."""
    async with serving(Beside(TICK * 5 + b"event: done\ndata: {}\n\n")) as beside:
        await page.go(beside.url)
        await page.run(
            "() => { EventSource = class extends EventSource { constructor(url) { super(url); window.source = this; } }; }"
        )
        word, _ = await page.run(WATCHED, "EventSource")
        state = await page.run("() => source.readyState === EventSource.CLOSED")

    assert (word, state) == ("STREAMING", True)


async def test_however_a_stream_is_cut_the_page_reads_the_same_events(page: Page) -> None:
    stream = ": x\\n\\nevent: tick\\r\\nid: 1\\r\\ndata: {\\r\\ndata:  1}\\r\\n\\r\\ndata: é\\u2028\\n\\nevent: done\\rdata\\r\\revent: none\\n\\n"
    found = await page.run(f"""() => {{
        const stream = "{stream}", cuts = [];
        for (let at = 0; at <= stream.length; at += 1) {{
            const events = [], feed = eventParser((...event) => events.push(event));
            [stream.slice(0, at), stream.slice(at)].forEach(feed);
            cuts.push(JSON.stringify(events));
        }}
        return [...new Set(cuts)];
    }}""")

    assert found == ['[["tick","{\\n 1}"],["message","é\u2028"],["done",""]]']


# Showing.


def seen(arrived: list[float], **more: Any) -> dict[str, Any]:
    """Return a note of a stream of events that were sent every 300 ms."""
    usual = {
        "transport": "fetch",
        "count": 4,
        "interval": 300,
        "began": 0,
        "headers": {},
        "chunks": [],
        "end": "done",
        "endedAt": 1000,
    }
    return {**usual, "sent": [300 * index for index in range(len(arrived))], "arrived": arrived, **more}


@pytest.mark.parametrize(
    ("note", "kinds"),
    [
        (seen([10, 320, 615, 910]), {"timely": 4}),
        (seen([910, 910, 910, 910]), {"timely": 1, "late": 3}),
        (seen([10, 320], end=None, endedAt=None), {"timely": 2, "expected": 2, "now": 1}),
        (seen([10, 320], end="cut"), {"timely": 2, "expected": 2, "end": 2}),
        (seen([10, 320, 615, 910], chunks=[{"at": 10, "bytes": 9}, {"at": 320, "bytes": 90}]), {"timely": 4, "chunk": 2}),
        (seen([], end="refused"), {}),
    ],
)
async def test_drawing_tells_what_came_late_what_is_missing_and_where_it_ended(
    page: Page, note: dict[str, Any], kinds: dict[str, int]
) -> None:
    drawn = await page.run(
        """seen => {
            const svg = shape("svg", {});
            drawTimeline(svg, seen, 400);
            const of = kind => svg.querySelectorAll(kind).length;
            return { timely: of(".arrival.timely"), late: of(".arrival.late"), expected: of(".expected"), now: of(".now"), end: of(".end"), chunk: of(".chunk") };
        }""",
        note,
    )

    assert {kind: number for kind, number in drawn.items() if number} == kinds


async def test_chunks_are_told_by_number_size_and_pace(page: Page) -> None:
    told: dict[str, list[tuple[int, int]]] = {
        "–": [],
        "1 of 90 B": [(5, 90)],
        "3 of 90 B, one every 400 ms": [(5, 90), (305, 90), (805, 90)],
        "2 of 90 to 120 B, one every 2.5 s": [(5, 90), (2505, 120)],
    }
    notes = [seen([10], chunks=[{"at": at, "bytes": size} for at, size in chunks]) for chunks in told.values()]

    assert await page.run("notes => notes.map(seen => Object.fromEntries(factsOf(seen)).chunks)", notes) == list(told)


async def test_worst_verdict_is_the_one_in_large_type(page: Page) -> None:
    order = ["STREAMING", "COALESCED", "BUFFERED", "CUT", "REFUSED"]
    pairs = list(itertools.product(order, order))
    found = await page.run("pairs => pairs.map(words => worst(words.map(word => ({ word }))).word)", pairs)

    assert found == [max(pair, key=order.index) for pair in pairs]


async def test_refusal_is_explained_by_its_status(page: Page) -> None:
    causes = {
        401: "does not accept this credential",
        403: "does not accept this credential",
        404: "does not know this path",
        429: "takes no further request",
        502: "does not reach the proxy",
        200: "a sign-in page",
        418: "a lost connection",
    }
    notes = [seen([], end="refused", status=status) for status in causes]
    told = await page.run("notes => notes.map(seen => remedyFor({ word: 'REFUSED' }, seen).cause)", notes)

    assert all(words in cause for words, cause in zip(causes.values(), told, strict=True))
