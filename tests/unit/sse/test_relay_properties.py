"""For every stream, every way of cutting it and every moment for a frame, the client reads what the upstream wrote.

Each classic mistake of injecting proxies is put into the relay on purpose at the end, and is found out.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.base import Framing, Keepalive, Observer
from proxy.dialects.bedrock_events import ConverseObserver
from proxy.dialects.chat import ChatObserver
from proxy.dialects.keepalives import Comment, Constant, styled
from proxy.dialects.plain import PlainObserver
from proxy.sse import boundary
from proxy.sse.relay import Held, Relay
from tests.support import bedrock
from tests.support.streams import BOM, TERMINATORS, Case, Tick, case_count, cases, random_case, random_cases
from tests.support.whatwg import Event, Item, OpenAiEvent, openai_events, parse

STYLES = ("comment", "comment-lf", "blank", "ping")
WALL = 1_700_000_000.0
PING_DATA = '{"type": "ping"}'


@dataclass(slots=True)
class Client:
    """What a client got, and which of it was injected: (where in its bytes, the frame, whether the answer was over)."""

    received: bytes = b""
    frames: list[tuple[int, bytes, bool]] = field(default_factory=list)

    def frame(self, frame: bytes, *, over: bool) -> None:
        if frame:
            self.frames.append((len(self.received), frame, over))
            self.received += frame

    @property
    def relayed(self) -> bytes:
        """What is left without the frames."""
        return b"".join(self._between())

    @property
    def before_frames(self) -> Iterator[bytes]:
        """What had been relayed whenever a frame was put in."""
        so_far = b""
        for piece in self._between():
            so_far += piece
            yield so_far

    def _between(self) -> Iterator[bytes]:
        at = 0
        for place, frame, _ in self.frames:
            yield self.received[at:place]
            at = place + len(frame)
        yield self.received[at:]


@dataclass(frozen=True, slots=True)
class Sent:
    """What of an upstream's stream went out: as the upstream wrote it, and as the client must get it."""

    stream: bytes
    owed: bytes  # without its BOM where the client had bytes before


@dataclass(slots=True)
class Player:
    """Does what the owner of a relay does: holds, commits at the first tick or the first event, relays, ticks."""

    relay: Relay
    client: Client = field(default_factory=Client)
    committed: bool = False
    live: bool = False
    now: float = 0.0
    leads: bool | None = None  # whether the current attempt's first byte was the client's first byte; None: none yet

    def play(self, case: Case, observer: Observer) -> Sent:
        """Play one attempt."""
        self.leads = None
        self.relay.begin(observer, Framing.EVENTS)
        for step in case.steps():
            self.now += 1
            if isinstance(step, Tick):
                self._tick(observer)
            elif self.live:
                self._relay(step)
                self.relay.forward(step, self.now)
            else:
                self._hold(step)
        stream = case.stream[: len(case.stream) - self.relay.held]
        return Sent(stream, stream if self.leads else stream.removeprefix(BOM))

    def _tick(self, observer: Observer) -> None:
        over = self.live and observer.terminal
        if self.committed:
            self.client.frame(self.relay.frame(self.now, WALL), over=over)
            return
        self.committed = True
        self.client.frame(self.relay.first_frame(self.now, WALL), over=over)
        self._relay(self.relay.comments())

    def _hold(self, piece: bytes) -> None:
        verdict, out, _ = self.relay.hold(piece, committed=self.committed)
        self._relay(out)
        if verdict in (Held.READY, Held.FAILED):
            self._relay(self.relay.release(self.now))
            self.live = self.committed = True

    def _relay(self, data: bytes) -> None:
        if data and self.leads is None:
            self.leads = not self.client.received
        self.client.received += data


def new_relay(keepalive: Keepalive | None, kind: type[Relay] = Relay) -> Relay:
    return kind(keepalive, Framing.EVENTS, 0.0, 0.0)


def frames_of(style: str) -> Keepalive | None:
    return styled(style, "keepalive", Comment())


def offences(client: Client, sent: Sent) -> Iterator[str]:
    """Yield the name of every rule that *client*'s bytes break."""
    if client.relayed != sent.owed:
        yield "bytes"
    if without_pings(parse(client.received)) != parse(sent.stream):
        yield "events"
    if not all(between_events(before) for before, _ in zip(client.before_frames, client.frames, strict=False)):
        yield "place"
    if any(over for _, _, over in client.frames):
        yield "end"
    if not same_for_openai(client.received, sent.owed):
        yield "openai"


def between_events(prefix: bytes) -> bool:
    """Tell by the standard's text, not by the last bytes, whether all events are dispatched and no CRLF is half done."""
    lines = prefix.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return not prefix.endswith(b"\r") and lines[-1] == b"" and (len(lines) == 1 or lines[-2] == b"")


def without_pings(items: list[Item]) -> list[Item]:
    return [item for item in items if not (isinstance(item, Event) and item.type == "ping" and item.data == PING_DATA)]


def same_for_openai(received: bytes, expected: bytes) -> bool:
    try:
        decoded = openai_events([received])
    except UnicodeDecodeError:
        return False
    return [event for event in decoded if not is_ping(event)] == openai_events([expected])


def is_ping(event: OpenAiEvent) -> bool:
    return event.event == "ping" and event.data == PING_DATA


def observers() -> Iterator[Observer]:
    while True:
        yield PlainObserver()
        yield ChatObserver(1)


def comment_stream(rng: random.Random) -> bytes:
    """Make a stream in which no event begins, with an unfinished line at its end now and then."""
    lines = [rng.choice((b": c", b":", b"", b": \xe2\x82\xac")) + rng.choice(TERMINATORS) for _ in range(rng.randrange(7))]
    return rng.choice((b"", b"", BOM)) + b"".join(lines) + rng.choice((b"", b"", b": cut"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("style", STYLES)
def test_a_client_reads_the_same_with_and_without_frames(style: str) -> None:
    """The four styles together make twice the number of cases that the profile asks for."""
    keepalive = frames_of(style)
    number = case_count() // 2
    count = 0

    for case, observer in zip(random_cases(number, seed=STYLES.index(style)), observers(), strict=False):
        player = Player(new_relay(keepalive))
        sent = player.play(case, observer)
        count += len(player.client.frames)
        assert not list(offences(player.client, sent)), (case, player.client)

    assert count > number, "the cases must give occasion for frames"


@pytest.mark.parametrize("style", STYLES)
def test_an_attempt_that_dies_before_its_first_event_leaves_no_trace(style: str) -> None:
    """Only whole comments of it may have gone out; the next attempt's stream reads as if it were the first."""
    rng = random.Random(7)
    passed = 0

    for second, observer in zip(random_cases(case_count() // 5, seed=8), observers(), strict=False):
        player = Player(new_relay(frames_of(style)))
        first = player.play(random_case(rng, comment_stream(rng)), PlainObserver())
        sent = player.play(second, observer)
        passed += bool(first.stream)
        assert not list(offences(player.client, Sent(sent.stream, first.owed + sent.owed))), (first, second, player.client)

    assert passed > 100


@given(cases(), st.sampled_from(STYLES), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_smaller_case_breaks_a_rule_either(case: Case, style: str, chat: bool) -> None:
    player = Player(new_relay(frames_of(style)))

    sent = player.play(case, ChatObserver(1) if chat else PlainObserver())

    assert not list(offences(player.client, sent))


@given(cases())
@settings(max_examples=50, deadline=None)
def test_without_a_keepalive_the_bytes_are_the_upstreams(case: Case) -> None:
    player = Player(new_relay(None))

    sent = player.play(case, PlainObserver())

    assert player.client.received == sent.stream
    assert player.client.frames == []


class KeepsEveryBom(Relay):
    """Relays a BOM although the client has had bytes already."""

    __slots__ = ()

    def _take(self, size: int) -> bytes:
        self._fresh = False
        return super()._take(size)


class DropsEveryBom(Relay):
    """Drops a BOM although the client has had no byte."""

    __slots__ = ()

    def _take(self, size: int) -> bytes:
        return super()._take(size).removeprefix(BOM)


class PassesUnfinishedComments(Relay):
    """Lets comments out before they are complete."""

    __slots__ = ()

    def comments(self) -> bytes:
        return self._take(len(self._held))


Rule = Callable[[bytes], bool]  # may a frame come after these last bytes?

COMMENT, COMMENT_LINE, BLANK = Constant(b": k\n\n"), Constant(b":\n"), Constant(b"\n")

WRONG_PLACES: dict[str, tuple[Rule, Keepalive]] = {
    "a blank line inside an event": (lambda tail: tail.endswith(b"\n"), BLANK),
    "a comment with an empty line inside an event": (lambda tail: tail.endswith(b"\n"), COMMENT),
    "a comment line after a CR at a line's end": (lambda tail: tail.endswith(b"\r"), COMMENT_LINE),
    "a comment in mid-line": (lambda tail: not tail.endswith((b"\r", b"\n")), COMMENT),
    "a comment line in mid-line": (lambda tail: not tail.endswith((b"\r", b"\n")), COMMENT_LINE),
    "where the last two bytes are CR or LF": (lambda tail: set(tail[-2:]) <= set(b"\r\n"), COMMENT),
    "after a single CRLF": (lambda tail: tail.endswith((b"\n\n", b"\r\n", b"\r\r\n")), COMMENT),
    "anywhere": (lambda tail: True, COMMENT),
}


def broken_by(make: Callable[[], Relay], *, chat: bool = False) -> Iterator[str]:
    """Yield every rule that one of the first two thousand cases shows to be broken."""
    rng = random.Random(9)
    for case in random_cases(2_000):
        player = Player(make())
        first = player.play(random_case(rng, comment_stream(rng)), PlainObserver()) if rng.random() < 0.2 else Sent(b"", b"")
        sent = player.play(case, ChatObserver(1) if chat else PlainObserver())
        yield from offences(player.client, Sent(sent.stream, first.owed + sent.owed))


def found_out(make: Callable[[], Relay], *rules: str) -> bool:
    """Tell whether the cases show that each of *rules* is broken."""
    missing = set(rules)
    for rule in broken_by(make):
        missing.discard(rule)
        if not missing:
            return True
    return False


@pytest.mark.parametrize("mistake", WRONG_PLACES)
def test_a_frame_in_the_wrong_place_is_found_out(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    rule, keepalive = WRONG_PLACES[mistake]
    monkeypatch.setattr(boundary, "between_events", rule)

    assert found_out(lambda: new_relay(keepalive), "events", "place")


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        pytest.param(KeepsEveryBom, ("bytes", "events"), id="a BOM behind a frame of ours"),
        pytest.param(DropsEveryBom, ("bytes",), id="a BOM dropped without need"),
        pytest.param(PassesUnfinishedComments, ("events",), id="half a comment passed on"),
    ],
)
def test_a_relay_that_mistreats_the_start_is_found_out(kind: type[Relay], broken: tuple[str, ...]) -> None:
    assert found_out(lambda: new_relay(Comment(), kind), *broken)


@pytest.mark.parametrize(
    ("frame", "broken"),
    [
        pytest.param(b": k\n\n", "openai", id="an empty line after an id"),
        pytest.param(b"\n", "openai", id="a bare empty line after an id"),
        pytest.param(b"id: k\n\n", "events", id="an id of our own"),
        pytest.param(b"retry: 1\n\n", "events", id="a retry of our own"),
        pytest.param(b"data:\n\n", "events", id="empty data"),
        pytest.param(b": k", "events", id="a comment without an end"),
    ],
)
def test_a_frame_that_does_harm_at_a_boundary_is_found_out(frame: bytes, broken: str) -> None:
    assert found_out(lambda: new_relay(Constant(frame)), broken)


class NeverOver(Relay):
    """Goes on with keepalives behind the last event."""

    __slots__ = ()

    @property
    def _over(self) -> bool:
        return False


def test_a_frame_behind_the_last_event_is_found_out() -> None:
    assert "end" in broken_by(lambda: new_relay(Comment(), NeverOver), chat=True)


@pytest.mark.parametrize("chat", [True, False])
def test_the_right_relay_is_not_found_out(chat: bool) -> None:
    """The same run that convicts the wrong ones acquits the right one."""
    assert not list(broken_by(lambda: new_relay(Comment()), chat=chat))


# Binary frames.

GOOD = (b"".join(bedrock.FRAMES), b"".join(bedrock.CLAUDE))
BINARY = (*GOOD, bedrock.START + bedrock.HI + bedrock.damaged(bedrock.HI) + bedrock.STOP, bedrock.START + b"no frame")


@given(stream=st.sampled_from(BINARY), places=st.lists(st.integers(min_value=0), max_size=12), ticks=st.booleans())
def test_a_binary_stream_passes_untouched_however_it_is_cut(stream: bytes, places: list[int], ticks: bool) -> None:
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    relay = new_relay(Comment())
    relay.begin(ConverseObserver(), Framing.FRAMES)
    client, live = b"", False

    for start, end in itertools.pairwise(edges):
        piece = stream[start:end]
        if live:
            client += piece
            relay.forward(piece, float(end))
        elif relay.hold(piece, committed=False)[0] is Held.READY:
            client += relay.release(float(end))
            live = True
        if ticks:
            client += relay.frame(float(end) + 1e6, WALL)

    assert client == stream


@given(stream=st.sampled_from(GOOD), place=st.integers(min_value=0))
def test_an_error_fits_between_binary_frames_exactly_where_one_has_ended(stream: bytes, place: int) -> None:
    end = place % (len(stream) + 1)
    relay = new_relay(None)
    relay.begin(ConverseObserver(), Framing.FRAMES)

    relay.hold(stream[:end], committed=False)

    assert relay.between_events is (end in frame_ends(stream))


def frame_ends(stream: bytes) -> Iterator[int]:
    """Yield where the frames of *stream* begin and end, from the lengths that they tell."""
    at = 0
    while at < len(stream):
        yield at
        at += int.from_bytes(stream[at : at + 4])
    yield at
