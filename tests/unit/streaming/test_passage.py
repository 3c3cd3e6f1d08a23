from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import CONTENT, Framing
from proxy.dialects.chat import ChatObserver
from proxy.dialects.gemini_stream import GeminiObserver
from proxy.dialects.messages import MessagesObserver
from proxy.dialects.responses import ResponsesObserver
from proxy.downstream import Downstream
from proxy.exchange import Progress, Usage
from proxy.sse.observer import Observer
from proxy.sse.relay import Relay
from proxy.streaming.passage import Passage
from tests.support.handclock import HandClock
from tests.support.http1 import chunk
from tests.unit.dialects import recordings, recordings_gemini, recordings_messages
from tests.unit.dialects.recordings import DONE, STOP, Recording, delta
from tests.unit.downstream.listening import Client, Listener

EVENTS: Final = ((b"Content-Type", b"text/event-stream"),)
LINE_END: Final = re.compile(rb"\r\n|\n")
USAGE: Final = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
OBSERVERS: Final[dict[str, tuple[Callable[[], Observer], Sequence[Recording]]]] = {
    "chat": (lambda: ChatObserver(1), recordings.CHAT),
    "messages": (MessagesObserver, recordings_messages.MESSAGES),
    "responses": (ResponsesObserver, recordings.RESPONSES),
    "gemini": (lambda: GeminiObserver(1), recordings_gemini.GEMINI),
}


def begin_of(framed: bytes) -> int:
    return framed.index(b"\n") + 1


class Way:
    """A passage between nobody and a client."""

    def __init__(self, client: Client, downstream: Downstream, observer: Observer) -> None:
        self.clock = HandClock()
        self.client = client
        self.downstream = downstream
        self.relay = Relay(None, Framing.EVENTS, 10.0, self.clock.now)
        self.relay.begin(observer, Framing.EVENTS)
        self.progress = Progress()
        self.passage = Passage(self.relay, downstream, self.progress, self.clock.monotonic)

    def chunk(self, content: bytes) -> None:
        """Let a whole chunk come, a quarter of a second after the last thing."""
        self.clock.move(0.25)
        framed = chunk(content)
        self.passage.chunk(framed, begin_of(framed))

    def content(self, content: bytes) -> None:
        """Let the same come in another way, in which the observer is shown everything at once."""
        self.clock.move(0.25)
        self.passage.content(content, b"")

    def known(self) -> dict[str, Any]:
        """Return everything that is known of what has passed."""
        self.passage.look()
        progress, observer = self.progress, self.relay.observer
        assert observer is not None
        return {
            **{name: getattr(progress, name) for name in Progress.__slots__},
            "taken": self.downstream.taken,
            "sent": bytes(self.client.transport.sent),
            "between": self.relay.between_events,
            "ended": self.relay.ended,
            "due": [self.relay._sent_at],
            "observer": (observer.usage, observer.error, observer.terminal, observer.midway, observer.complete(clean=True)),
        }


@asynccontextmanager
async def way(observer: Observer) -> AsyncIterator[Way]:
    """Open the way of a live answer that *observer* follows."""
    listener = Listener()
    try:
        client, downstream = await listener.downstream()
        downstream.begin(200, EVENTS)
        client.transport.written.clear()
        yield Way(client, downstream, observer)
    finally:
        await listener.close()


def words(*texts: str) -> Iterator[bytes]:
    return (delta(f'"content":"{text}"') for text in texts)


async def test_chunk_goes_out_as_it_came_in_the_call_that_brings_it() -> None:
    async with way(ChatObserver(1)) as it:
        for each in words("a", "b", "c"):
            it.chunk(each)
            assert it.client.transport.written[-1] == chunk(each)

        assert len(it.client.transport.written) == 3


async def test_chunks_alike_are_counted_by_the_next_look() -> None:
    async with way(ChatObserver(1)) as it:
        for each in (pieces := list(words("a", "bc", "d" * 300))):
            it.chunk(each)
        counted = it.progress.chunks

        known = it.known()

        assert counted == 1  # the first one, which the observer has seen
        assert (known["chunks"], known["bytes_out"]) == (3, sum(map(len, pieces)))
        assert (it.progress.contents, it.progress.longest_gap, it.progress.heard_at) == (3, 0.25, it.clock.now)


async def test_observer_is_not_shown_what_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Counting(ChatObserver):
        def feed(self, data: bytes) -> int:
            shown.append(data)
            return super().feed(data)

    async with way(Counting(1)) as it:
        for each in (*words("a", "b", "c"), STOP, *words("d")):
            it.chunk(each)

    assert shown == [*words("a"), STOP]


async def test_end_is_seen_at_once() -> None:
    async with way(ChatObserver(1)) as it:
        for each in (*words("a", "b"), STOP, DONE):
            it.chunk(each)

        assert it.relay.ended


async def test_who_has_left_gets_nothing_and_the_usage_is_learnt_all_the_same() -> None:
    async with way(ChatObserver(1)) as it:
        for each in words("a", "b"):
            it.chunk(each)
        it.passage.part()
        before = it.known()

        for each in (*words("c"), USAGE):
            it.chunk(each)

        after = it.known()
        assert it.relay.observer is not None
        assert it.relay.observer.usage == Usage(3, 5)
        assert {name: after[name] for name in ("chunks", "bytes_out", "sent", "heard_at")} == {
            name: before[name] for name in ("chunks", "bytes_out", "sent", "heard_at")
        }


async def test_client_without_chunks_gets_none() -> None:
    listener = Listener()
    client, downstream = await listener.downstream(b"GET / HTTP/1.0\r\nHost: p\r\n\r\n")
    downstream.begin(200, EVENTS)
    relay = Relay(None, Framing.EVENTS, 10.0, 0.0)
    relay.begin(ChatObserver(1), Framing.EVENTS)

    passage = Passage(relay, downstream, Progress(), HandClock().monotonic)
    passage.content(DONE, chunk(DONE))

    assert not passage.direct
    assert client.transport.written[-1] == DONE
    await listener.close()


@pytest.mark.parametrize("name", OBSERVERS)
@given(data=st.data())
async def test_nobody_can_tell_whether_the_observer_was_shown_a_chunk(name: str, data: st.DataObject) -> None:
    make, recorded = OBSERVERS[name]
    line_end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    pieces = [LINE_END.sub(line_end, block) for recording in recorded for block, _ in recording.events if block]
    chosen = data.draw(st.lists(st.sampled_from(pieces), max_size=12))
    several = data.draw(st.lists(st.integers(1, 4), min_size=len(chosen), max_size=len(chosen)))
    cuts = data.draw(st.lists(st.integers(0, 10_000), max_size=2))
    lost = data.draw(st.booleans())  # the rest of an event that was cut
    looks = data.draw(st.sets(st.integers(0, 40)))
    parts = [block for block, times in zip(chosen, several, strict=True) for _ in range(times)]
    for cut in cuts:
        if parts:
            at = cut % len(parts)
            half = cut % max(len(parts[at]), 1)
            rest = b"" if lost else parts[at][half:]
            parts[at : at + 1] = [piece for piece in (parts[at][:half], rest) if piece]
    async with way(make()) as fast, way(make()) as slow:
        for number, part in enumerate(parts):
            fast.chunk(part)
            slow.content(part)
            if number in looks:
                fast.passage.look()

        assert fast.known() == slow.known()


@pytest.mark.parametrize("name", OBSERVERS)
def test_every_observer_knows_its_ordinary_chunk(name: str) -> None:
    """Else the test above would compare the same with the same."""
    make, recorded = OBSERVERS[name]
    found = 0
    for recording in recorded:
        observer = make()
        for block, _ in recording.events:
            observer.feed(block)
            framed = chunk(block)
            if observer.alike is not None and observer.alike(framed, begin_of(framed)):
                found += 1
                assert observer.feed(block) == CONTENT

    assert found > 3
