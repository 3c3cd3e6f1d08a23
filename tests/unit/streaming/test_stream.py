from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.dialects import COMPLETIONS, PLAIN, RESPONSES
from proxy.dialects.base import Dialect, Framing
from proxy.dialects.endpoints import CONVERSE_STREAM
from proxy.dialects.keepalives import SPACE, Constant
from proxy.errors import (
    ClientStalled,
    Drained,
    Expired,
    InternalError,
    ProxyError,
    UpstreamClosed,
    UpstreamErrorEvent,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.exchange import GAP_BUCKETS, Outcome, Phase, Usage
from proxy.sse.relay import HOLD_LIMIT
from proxy.streaming import NEVER
from proxy.streaming.stream import AFTER_END, HOLD_PAUSE
from tests.support import bedrock
from tests.support.answers import ERROR_EVENT, FINISH, ROLE, TOKEN, USAGE
from tests.support.handclock import START, HandClock
from tests.support.transports import turns
from tests.support.upstream import DONE
from tests.unit.streaming.joining import HEADERS, KEEPALIVE, Joined, Rooms, Wire, clocks, rooms

Act = Callable[[Joined], object]
Begin = Callable[[Joined], Awaitable[asyncio.Task[None]]]
End = Callable[[Wire], None]

COMMENT = b": busy\n\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.streaming.stream", "proxy.downstream.response")
    return clock


@pytest.fixture
async def house(clock: HandClock) -> AsyncIterator[Rooms]:
    async with rooms(clock) as opened:
        yield opened


async def dialing(joined: Joined) -> asyncio.Task[None]:
    joined.dialing = asyncio.Event()
    return await joined.attempt()


async def waiting_for_the_head(joined: Joined) -> asyncio.Task[None]:
    return await joined.attempt()


async def waiting_for_the_first_event(joined: Joined) -> asyncio.Task[None]:
    return await joined.first(b"data: {")


# The commit.


async def test_answer_of_the_upstream_is_the_commit_when_it_comes_in_time(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.live(TOKEN)

    await joined.tick(6)

    assert joined.client.written[0].endswith(b"\r\n\r\n%x\r\n%b\r\n" % (len(TOKEN), TOKEN))
    assert b"X-From: upstream\r\n" in joined.client.written[0]
    assert (joined.exchange.committed, joined.exchange.committed_early) == (START, False)


@pytest.mark.parametrize("phase", [dialing, waiting_for_the_head, waiting_for_the_first_event])
async def test_response_is_committed_when_the_client_has_waited_long_enough(house: Rooms, phase: Begin) -> None:
    joined = await house.join(clocks(commit_after=5))
    await phase(joined)
    await joined.tick(4.75)
    before = list(joined.client.written)

    await joined.tick(0.25)

    assert before == []
    assert joined.client.written[0].startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: r1\r\n")
    assert joined.pieces == [KEEPALIVE], "half an event stays where it is"
    exchange = joined.exchange
    assert (exchange.status, exchange.committed, exchange.committed_early) == (200, START + 5, True)
    assert (exchange.keepalives_before, exchange.keepalives_after) == (1, 0)


async def test_response_is_committed_once(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.attempt()

    await joined.tick(5)
    await joined.tick(5)

    assert joined.exchange.committed == START + 5
    assert joined.client.sent.count(b"HTTP/1.1") == 1


async def test_zero_commits_at_the_first_look(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=0))

    await joined.tick()

    assert joined.pieces == [KEEPALIVE]


@pytest.mark.parametrize(("after", "frames"), [(8.5, []), (9, [KEEPALIVE])])
async def test_keepalive_may_go_a_little_before_it_is_due(house: Rooms, after: float, frames: list[bytes]) -> None:
    """The ticker comes by at some time around the right one."""
    joined = await house.join(clocks(interval=10), leniency=1)
    await joined.live(TOKEN)

    await joined.tick(after)

    assert joined.pieces[1:] == frames


async def test_comments_held_back_go_out_with_the_commit(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.first(COMMENT + b"data: {")

    await joined.tick(5)

    assert joined.pieces == [KEEPALIVE + COMMENT]
    assert (joined.exchange.progress.chunks, joined.exchange.progress.bytes_out) == (1, len(COMMENT))


async def test_comments_behind_the_commit_pass_at_once_and_the_event_stays_whole(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    first = await joined.attempt()
    await joined.tick(5)
    joined.upstream.head()
    await turns()

    joined.upstream.body(COMMENT, b"data: {", COMMENT[:3])

    assert joined.pieces == [KEEPALIVE, COMMENT]
    assert not first.done()


async def test_stream_without_frames_of_its_own_is_committed_all_the_same(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5), keepalive=None)

    await joined.tick(5)

    assert joined.client.written[0].endswith(b"\r\n\r\n")
    assert joined.exchange.keepalives_before == 0


async def test_answer_that_is_no_event_stream_is_not_hidden_behind_the_head_of_one(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.attempt(framing=Framing.OPAQUE)
    joined.upstream.head(JSON)
    await turns()

    await joined.tick(5)

    assert joined.client.written == []


async def test_next_attempt_can_be_committed_although_the_last_was_no_event_stream(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.attempt(framing=Framing.OPAQUE)
    joined.upstream.head(JSON)
    await turns()
    joined.stream.drop_attempt()

    await joined.tick(5)
    await joined.tick(10)

    assert joined.pieces == [KEEPALIVE, KEEPALIVE]


async def test_more_comments_than_may_be_held_are_let_out_by_a_commit(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=60))
    crowd = COMMENT * (HOLD_LIMIT // len(COMMENT) + 1)
    first = await joined.first(crowd)

    await joined.tick()

    assert joined.pieces == [KEEPALIVE + crowd]
    assert not first.done(), "comments decide nothing"


async def test_white_space_is_put_before_a_slow_whole_answer_and_never_into_it(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5), keepalive=Constant(SPACE), framing=Framing.WHOLE)
    first = await joined.attempt(framing=Framing.WHOLE, dialect=PLAIN)
    await joined.tick(5)
    await joined.tick(10)
    joined.upstream.head(JSON)
    await turns()
    joined.upstream.body(b'{"a":')
    await first
    joined.stream.go_live()
    await joined.tick(10)
    await joined.tick(10)

    assert joined.pieces == [b" ", b" ", b'{"a":']


async def test_how_long_a_retry_after_may_be_waited_out_is_told_until_the_commit(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5, patience=3))
    before = joined.stream.commit_at

    await joined.tick(5)

    assert before == START + 3
    assert joined.stream.commit_at is None


# What is held back.


async def test_first_event_is_held_until_it_is_complete(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.first(TOKEN[:9], TOKEN[9:-1])
    held = first.done()

    joined.upstream.body(TOKEN[-1:])
    await first
    joined.stream.go_live(200, HEADERS)

    assert not held
    assert joined.pieces == [TOKEN]


async def test_first_event_that_came_with_the_head_needs_no_sleep(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.attempt()

    joined.upstream.head()
    joined.upstream.body(TOKEN)
    await first

    assert joined.exchange.phase is Phase.HEADERS, "it never waited for the first event"


async def test_reading_pauses_when_too_much_is_held_and_goes_on_when_it_is_out(house: Rooms) -> None:
    """The handler's task has not run yet: one turn of the loop may bring more than a hold."""
    joined = await house.join()
    first = await joined.attempt()
    joined.upstream.head()
    await turns()

    joined.upstream.body(b"data: " + b"x" * (HOLD_PAUSE // 2))
    at_first = joined.upstream.transport.reading
    joined.upstream.body(b"x" * (HOLD_PAUSE // 2))
    full = joined.upstream.transport.reading
    await first
    joined.stream.go_live(200, HEADERS)
    running = joined.spawn(joined.stream.run())
    await turns()

    assert (at_first, full, joined.upstream.transport.reading) == (True, False, True)
    assert len(joined.body) == HOLD_PAUSE + len(b"data: ")
    assert not running.done()


async def test_reading_goes_on_when_a_commit_lets_the_comments_out(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=60))
    await joined.first(COMMENT * (HOLD_PAUSE // len(COMMENT) + 1))
    paused = not joined.upstream.transport.reading

    await joined.tick()

    assert paused
    assert joined.upstream.transport.reading


# The clocks of the upstream.


@pytest.mark.parametrize("clock_name", ["first", "whole"])
@pytest.mark.parametrize("phase", [waiting_for_the_head, waiting_for_the_first_event])
async def test_attempts_together_have_their_time_to_the_first_content(house: Rooms, phase: Begin, clock_name: str) -> None:
    joined = await house.join(clocks(**{clock_name: 10}))
    first = await phase(joined)
    await joined.tick(9.75)
    still = not first.done()

    await joined.tick(0.25)

    assert still
    with pytest.raises(UpstreamTimeout):
        await first
    assert joined.stream.deadlines.answer_until == START + 10


@pytest.mark.parametrize(("another", "ends"), [(True, True), (False, False)])
async def test_one_attempt_is_cut_short_only_while_another_target_is_left(house: Rooms, another: bool, ends: bool) -> None:
    joined = await house.join(clocks(attempt=4, first=10))
    first = await joined.attempt(another=another)

    await joined.tick(4)

    assert first.done() is ends


async def test_each_attempt_has_its_own_time_and_all_of_them_have_one_together(house: Rooms) -> None:
    joined = await house.join(clocks(attempt=4, first=10))
    for _ in range(2):
        attempt = await joined.attempt(another=True)
        await joined.tick(4)
        with pytest.raises(UpstreamTimeout):
            await attempt
        joined.stream.drop_attempt()
    last = await joined.attempt()
    await joined.tick(1.75)
    still = not last.done()

    await joined.tick(0.25)

    assert still
    with pytest.raises(UpstreamTimeout):
        await last


async def test_the_time_of_an_attempt_that_has_failed_does_not_run_on_in_the_wait_for_the_next(house: Rooms) -> None:
    """Where the other target cannot be asked, the wait may be for this one again, and longer than an attempt may take."""
    joined = await house.join(clocks(attempt=30, first=300))
    attempt = await joined.attempt(another=True)
    joined.upstream.lose()
    with pytest.raises(UpstreamClosed):
        await attempt
    joined.stream.drop_attempt()
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = joined.spawn(joined.stream.wait(over, Phase.BACKOFF))
    await turns()

    await joined.tick(60)

    assert not over.done()
    over.set_result(None)
    await waiting


async def test_attempt_has_no_time_limit_of_its_own_once_it_answers(house: Rooms) -> None:
    joined = await house.join(clocks(attempt=4))
    running = await joined.live(ROLE, another=True)

    await joined.tick(100)

    assert not running.done()


@pytest.mark.parametrize("passive", [COMMENT, b"event: keepalive\ndata: {}\n\n"])
async def test_comments_and_pings_of_an_upstream_move_no_deadline(house: Rooms, passive: bytes) -> None:
    """A keepalive never hides a dead upstream."""
    joined = await house.join(clocks(first=10, commit_after=1))
    first = await joined.first(dialect=RESPONSES)
    for _ in range(10):
        joined.upstream.body(passive)
        await joined.tick(1)

    with pytest.raises(UpstreamTimeout):
        await first


async def test_event_without_content_does_not_stop_the_clock_of_the_first_content(house: Rooms) -> None:
    joined = await house.join(clocks(first=10))
    running = await joined.live(ROLE)
    await joined.tick(9.75)
    joined.upstream.body(ROLE)
    still = not running.done()

    await joined.tick(0.25)

    assert still
    with pytest.raises(UpstreamTimeout):
        await running
    assert joined.upstream.closed


async def test_first_content_stops_the_clock_of_the_first_content(house: Rooms) -> None:
    joined = await house.join(clocks(first=10, idle=50))
    running = await joined.live(ROLE)
    joined.upstream.body(TOKEN)

    await joined.tick(49)

    assert not running.done()


async def test_whole_answer_has_a_time_limit_also_while_it_arrives(house: Rooms) -> None:
    joined = await house.join(clocks(whole=10))
    running = await joined.live(TOKEN)
    for _ in range(9):
        joined.upstream.body(TOKEN)
        await joined.tick(1)
    still = not running.done()

    await joined.tick(1)

    assert still
    with pytest.raises(UpstreamTimeout):
        await running


@pytest.mark.parametrize("byte", [TOKEN, COMMENT, ROLE, b"d"])
async def test_every_byte_moves_the_idle_clock(house: Rooms, byte: bytes) -> None:
    joined = await house.join(clocks(idle=10))
    running = await joined.live(TOKEN)
    await joined.tick(9.75)
    joined.upstream.body(byte)
    await joined.tick(9.75)
    still = not running.done()

    await joined.tick(0.25)

    assert still
    with pytest.raises(UpstreamStalled, match="no byte for 10s"):
        await running


@pytest.mark.parametrize("byte", [COMMENT, ROLE, b"d"])
async def test_content_alone_moves_the_content_clock(house: Rooms, byte: bytes) -> None:
    joined = await house.join(clocks(idle=10, content=20))
    running = await joined.live(TOKEN)
    await joined.tick(5)
    joined.upstream.body(TOKEN)
    for _ in range(3):
        await joined.tick(6)
        joined.upstream.body(byte)
    still = not running.done()

    await joined.tick(2)

    assert still
    with pytest.raises(UpstreamStalled, match="no content for 20s"):
        await running


async def test_idle_clock_begins_with_the_first_content(house: Rooms) -> None:
    joined = await house.join(clocks(idle=10, content=10, first=60))
    running = await joined.live(ROLE)

    await joined.tick(50)

    assert not running.done()


@pytest.mark.parametrize("phase", [waiting_for_the_head, waiting_for_the_first_event])
async def test_age_ends_a_wait(house: Rooms, phase: Begin) -> None:
    joined = await house.join(clocks(age=100))
    first = await phase(joined)

    await joined.tick(100)

    with pytest.raises(Expired):
        await first


async def test_age_ends_a_stream_in_the_best_of_health(house: Rooms) -> None:
    joined = await house.join(clocks(age=100))
    running = await joined.live(TOKEN)
    for _ in range(99):
        await joined.tick(1)
        joined.upstream.body(TOKEN)
    still = not running.done()

    await joined.tick(1)

    assert still
    with pytest.raises(Expired):
        await running
    assert joined.upstream.closed


async def test_age_counts_from_the_admission_of_the_request(house: Rooms) -> None:
    joined = await house.join(clocks(age=100), age=40)
    running = await joined.live(TOKEN)

    await joined.tick(60)

    with pytest.raises(Expired):
        await running


async def test_upstream_may_linger_a_little_behind_its_last_event(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN, DONE)
    await joined.tick(AFTER_END)
    joined.upstream.body(COMMENT)
    await joined.tick(AFTER_END)
    still = not running.done()

    await joined.tick(0.25)

    assert still
    await running
    assert joined.body == TOKEN + DONE + COMMENT


@pytest.mark.parametrize("error", [Drained(), Expired(), UpstreamStalled()], ids=lambda error: error.code)
async def test_what_would_end_an_answer_finishes_one_that_has_come_to_its_last_event(house: Rooms, error: ProxyError) -> None:
    """Nothing of it is missing, and an error behind the last event would say that something is."""
    joined = await house.join()
    running = await joined.live(TOKEN, DONE)

    joined.stream.fail(error)
    await running

    assert joined.stream.ended_clean
    assert joined.stream.failure is None


@pytest.mark.parametrize(("events", "clean"), [([ERROR_EVENT], False), ([ERROR_EVENT, DONE], True)], ids=["open", "ended"])
async def test_an_answer_that_has_told_its_error_ends_with_that_and_not_with_the_next(
    house: Rooms, events: list[bytes], clean: bool
) -> None:
    """The client would be told twice, and the second time something else."""
    joined = await house.join(clocks(idle=60))
    running = await joined.live(TOKEN, *events)

    joined.stream.fail(UpstreamStalled())

    with pytest.raises(UpstreamErrorEvent):
        await running
    assert joined.stream.ended_clean is clean


async def test_client_that_does_not_take_the_last_event_is_given_up_all_the_same(house: Rooms) -> None:
    joined = await house.join(clocks(write_stall=1))
    running = await joined.live(TOKEN)
    await joined.tick()
    joined.client.stall()
    joined.upstream.body(DONE)

    await joined.tick(1)

    with pytest.raises(ClientStalled):
        await running


async def test_clean_end_behind_the_last_event_ends_at_once(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN, DONE)

    joined.upstream.end()
    await running
    joined.stream.close()

    assert joined.pool.idle == 1


async def test_what_follows_a_finish_reason_may_take_its_time(house: Rooms) -> None:
    joined = await house.join(clocks(idle=120))
    running = await joined.live(TOKEN, FINISH)

    await joined.tick(60)
    joined.upstream.body(USAGE, DONE)
    joined.upstream.end()
    await running

    assert joined.body.endswith(FINISH + KEEPALIVE + USAGE + DONE)


# Ends.


@pytest.mark.parametrize(
    ("events", "dialect", "end", "error"),
    [
        ([TOKEN, DONE], COMPLETIONS, lambda wire: wire.end(), None),
        ([TOKEN, DONE], COMPLETIONS, lambda wire: wire.lose(), None),
        ([TOKEN, DONE], COMPLETIONS, lambda wire: wire.lose(ConnectionResetError()), None),
        ([TOKEN, DONE], COMPLETIONS, lambda wire: wire.raw(b"no chunk"), None),
        ([TOKEN, FINISH], COMPLETIONS, lambda wire: wire.end(), None),
        ([TOKEN, FINISH], COMPLETIONS, lambda wire: wire.lose(), UpstreamTruncated),
        ([TOKEN], COMPLETIONS, lambda wire: wire.end(), UpstreamTruncated),
        ([TOKEN], COMPLETIONS, lambda wire: wire.lose(), UpstreamTruncated),
        ([TOKEN], COMPLETIONS, lambda wire: wire.lose(ConnectionResetError()), UpstreamReset),
        ([TOKEN], COMPLETIONS, lambda wire: wire.raw(b"no chunk"), UpstreamMalformed),
        ([TOKEN, ERROR_EVENT], COMPLETIONS, lambda wire: wire.end(), UpstreamErrorEvent),
        ([TOKEN, ERROR_EVENT], COMPLETIONS, lambda wire: wire.lose(), UpstreamErrorEvent),
        ([TOKEN, ERROR_EVENT, DONE], COMPLETIONS, lambda wire: wire.end(), UpstreamErrorEvent),
        ([TOKEN], PLAIN, lambda wire: wire.end(), None),
        ([TOKEN], PLAIN, lambda wire: wire.lose(), UpstreamTruncated),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_end_is_good_if_the_dialect_says_so(
    house: Rooms, events: list[bytes], dialect: Dialect, end: End, error: type[ProxyError] | None
) -> None:
    joined = await house.join()
    running = await joined.live(*events, dialect=dialect)

    end(joined.upstream)

    if error is None:
        await running
    else:
        with pytest.raises(error):
            await running
    assert joined.body == b"".join(events)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda wire: wire.end(), UpstreamTruncated),
        (lambda wire: wire.lose(), UpstreamTruncated),
        (lambda wire: wire.lose(ConnectionResetError()), UpstreamReset),
        (lambda wire: wire.raw(b"no chunk"), UpstreamMalformed),
    ],
    ids=["clean", "FIN", "RST", "malformed"],
)
@pytest.mark.parametrize("begun", [b"", b"data: {", COMMENT], ids=["nothing", "half an event", "a comment"])
async def test_end_before_the_first_event_is_a_failed_attempt(
    house: Rooms, begun: bytes, end: End, error: type[ProxyError]
) -> None:
    joined = await house.join()
    first = await joined.first(*[begun] * bool(begun))

    end(joined.upstream)

    with pytest.raises(error):
        await first
    assert joined.client.written == []


async def test_end_that_came_before_the_answer_went_live_is_not_forgotten(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.attempt()
    joined.upstream.head()
    joined.upstream.body(TOKEN, DONE)
    joined.upstream.end()
    await first
    whole = joined.stream.ended_clean

    joined.stream.go_live(200, HEADERS)
    await joined.stream.run()

    assert whole
    assert joined.pieces == [TOKEN + DONE]


async def test_empty_answer_of_another_kind_is_an_answer(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.attempt(framing=Framing.OPAQUE, dialect=PLAIN)

    joined.upstream.head(b"HTTP/1.1 204 No Content\r\n\r\n")
    await first

    assert joined.stream.ended_clean


async def test_fault_of_our_own_is_ours(house: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def fail(observer: object, data: bytes) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(type(joined.stream.relay.observer), "feed", fail)
    joined.upstream.body(TOKEN)

    with pytest.raises(InternalError):
        await running
    assert joined.upstream.closed


# One attempt after another.


async def test_error_as_first_event_fails_the_attempt_and_the_stream_still_holds_it(house: Rooms) -> None:
    joined = await house.join()

    first = await joined.first(ERROR_EVENT)

    with pytest.raises(UpstreamErrorEvent):
        await first
    assert joined.stream.upstream is not None
    assert not joined.upstream.closed


@pytest.mark.parametrize(
    ("first", "error"),
    [(bedrock.THROTTLED, UpstreamErrorEvent), (bedrock.damaged(bedrock.START), UpstreamMalformed)],
    ids=["exception", "damaged"],
)
async def test_binary_frame_that_is_an_error_or_none_fails_the_attempt(
    house: Rooms, first: bytes, error: type[ProxyError]
) -> None:
    joined = await house.join()

    begun = await joined.first(first, framing=Framing.FRAMES, dialect=CONVERSE_STREAM)

    with pytest.raises(error):
        await begun
    assert joined.client.written == []


async def test_binary_stream_without_a_frame_is_a_failed_attempt(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.first(framing=Framing.FRAMES, dialect=CONVERSE_STREAM)

    joined.upstream.end()

    with pytest.raises(UpstreamTruncated):
        await first


async def test_dropped_attempt_leaves_nothing_behind(house: Rooms) -> None:
    joined = await house.join()
    with pytest.raises(UpstreamErrorEvent):
        await (await joined.first(ERROR_EVENT + TOKEN))
    joined.stream.drop_attempt()

    await joined.live(ROLE)

    assert joined.upstreams[0].closed
    assert joined.pieces == [ROLE]
    assert joined.exchange.progress.first_token is None


async def test_end_of_a_dropped_attempt_is_not_the_end_of_the_next(house: Rooms) -> None:
    """An error event is often followed by `[DONE]`; clocks and keepalives of the next attempt must run all the same."""
    joined = await house.join(clocks(commit_after=1, first=60, idle=30))
    with pytest.raises(UpstreamErrorEvent):
        await (await joined.first(ERROR_EVENT + DONE))
    joined.stream.drop_attempt()
    await joined.tick(1)
    await joined.tick(10)
    between = list(joined.pieces)
    running = await joined.live(TOKEN)

    await joined.tick(AFTER_END + 1)
    after_a_while = running.done()
    await joined.tick(10)

    assert between == [KEEPALIVE] * 2
    assert not after_a_while
    assert joined.pieces[2:] == [TOKEN, KEEPALIVE]


async def test_deadline_that_one_attempt_has_missed_is_no_reason_for_what_happens_in_the_next(house: Rooms) -> None:
    """A client that hangs up is not an upstream failure."""
    joined = await house.join(clocks(attempt=4))
    attempt = await joined.attempt(another=True)
    await joined.tick(4)
    with pytest.raises(UpstreamTimeout):
        await attempt
    missed = joined.stream.failure
    joined.stream.drop_attempt()

    await joined.live(TOKEN)

    assert isinstance(missed, UpstreamTimeout)
    assert joined.stream.failure is None


async def test_what_ends_an_answer_in_the_moment_of_its_first_event_is_not_lost(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.first()
    joined.upstream.body(TOKEN)

    joined.stream.fail(Drained())
    await first

    with pytest.raises(Drained):
        joined.stream.go_live(200)
    assert joined.client.written == []


async def test_content_that_came_together_with_the_deadline_wins(house: Rooms) -> None:
    joined = await house.join(clocks(first=4))
    first = await joined.first()
    joined.upstream.body(TOKEN)
    joined.stream.tick(joined.clock.move(4), 0)
    await first

    joined.stream.go_live(200, HEADERS)

    assert joined.stream.failure is None
    assert joined.body == TOKEN


async def test_deadline_that_passes_while_a_connection_is_made_holds_when_it_is_there(house: Rooms) -> None:
    joined = await house.join(clocks(first=4))
    first = await dialing(joined)
    await joined.tick(4)
    still = not first.done()
    assert joined.dialing is not None
    joined.dialing.set()

    with pytest.raises(UpstreamTimeout):
        await first
    assert still
    assert joined.upstream.closed


# Keepalives.


async def test_keepalive_is_due_when_nothing_was_sent_for_an_interval(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    await joined.tick(9.75)
    await joined.tick(0.25)
    await joined.tick(9.75)
    joined.upstream.body(TOKEN)
    await joined.tick(9.75)
    await joined.tick(0.25)

    assert joined.pieces == [TOKEN, KEEPALIVE, TOKEN, KEEPALIVE]


async def test_keepalives_are_counted_by_the_side_of_the_first_token(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=0))
    first = await joined.attempt()
    for _ in range(3):
        await joined.tick(10)
    joined.upstream.head()
    await turns()
    joined.upstream.body(ROLE)
    await first
    joined.stream.go_live()
    await joined.tick(10)
    joined.upstream.body(TOKEN)
    for _ in range(2):
        await joined.tick(10)

    assert (joined.exchange.keepalives_before, joined.exchange.keepalives_after) == (4, 2)
    assert joined.pieces.count(KEEPALIVE) == 6


@pytest.mark.parametrize("half", [b"data: {", b"data: {}\n", b": comment", b"data: {}\r\n\r"])
async def test_keepalive_is_never_put_into_an_event(house: Rooms, half: bytes) -> None:
    joined = await house.join()
    await joined.live(TOKEN, half)

    await joined.tick(100)

    assert joined.pieces == [TOKEN, half]


async def test_keepalive_is_not_put_behind_bytes_that_still_wait(house: Rooms) -> None:
    joined = await house.join()
    joined.client.stall()
    await joined.live(TOKEN)
    await joined.tick(100)
    waiting = list(joined.pieces)
    joined.client.take()

    await joined.tick()

    assert waiting == [TOKEN]
    assert joined.pieces == [TOKEN, KEEPALIVE]


async def test_no_keepalive_follows_the_last_event(house: Rooms) -> None:
    joined = await house.join(clocks(interval=1))
    await joined.live(TOKEN, DONE)

    await joined.tick(AFTER_END)

    assert joined.pieces == [TOKEN, DONE]


@pytest.mark.parametrize(
    "end", [lambda joined: joined.upstream.lose(), lambda joined: joined.stream.fail(Drained())], ids=["cut", "failed"]
)
async def test_no_keepalive_follows_an_end_that_the_handler_has_not_heard_of(house: Rooms, end: Act) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.clock.move(100)

    end(joined)
    joined.stream.tick(joined.clock.now, 0)

    assert joined.pieces == [TOKEN]


async def test_no_keepalive_is_written_to_a_client_that_is_gone(house: Rooms) -> None:
    """Between its departure and the handler's end the ticker may come by; uvloop raises on a write there."""
    joined = await house.join()
    await joined.live(TOKEN)
    joined.client.abort()
    joined.clock.move(100)

    joined.stream.tick(joined.clock.now, 0)

    assert joined.pieces == [TOKEN]
    assert joined.exchange.keepalives_after == 0


@pytest.mark.parametrize("framing", [Framing.OPAQUE, Framing.WHOLE])
async def test_nothing_is_put_into_a_body_of_another_kind(house: Rooms, framing: Framing) -> None:
    joined = await house.join()
    await joined.live(b'{"a":\n\n', framing=framing, dialect=PLAIN)

    await joined.tick(100)

    assert joined.body == b'{"a":\n\n'


# A client that does not keep up.


async def fall_behind(joined: Joined) -> None:
    """Have the client's buffer run over."""
    joined.client.stall()
    joined.upstream.body(b"data: " + b"x" * 70_000 + b"\n\n")


async def test_upstream_is_not_read_while_the_client_is_behind(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)

    await fall_behind(joined)
    behind = joined.upstream.transport.reading
    joined.client.take()

    assert not behind
    assert joined.upstream.transport.reading


@pytest.mark.parametrize(
    ("seconds", "first_piece"),
    [({"idle": 20}, TOKEN), ({"content": 20}, TOKEN), ({"whole": 20}, TOKEN), ({"first": 20}, ROLE)],
    ids=["idle", "content", "whole", "first"],
)
async def test_clocks_of_the_upstream_stand_still_while_the_client_is_behind(
    house: Rooms, seconds: dict[str, float], first_piece: bytes
) -> None:
    joined = await house.join(clocks(**seconds))
    running = await joined.live(first_piece)
    joined.client.stall()
    joined.downstream.write(b"x" * 70_000)
    await joined.tick(100)
    joined.client.take()
    await joined.tick(19.75)
    still = not running.done()

    await joined.tick(0.25)

    assert still
    with pytest.raises((UpstreamStalled, UpstreamTimeout)):
        await running


async def test_clock_of_an_attempt_stands_still_too(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=0, attempt=20))
    await joined.tick()
    first = await joined.attempt(another=True)
    joined.client.stall()
    joined.downstream.write(b"x" * 70_000)
    await joined.tick(100)
    joined.client.take()
    await joined.tick(19.75)
    still = not first.done()

    await joined.tick(0.25)

    assert still
    assert first.done()


async def test_age_does_not_stand_still(house: Rooms) -> None:
    joined = await house.join(clocks(age=100))
    running = await joined.live(TOKEN)
    await fall_behind(joined)

    await joined.tick(100)

    with pytest.raises(Expired):
        await running


async def test_time_behind_is_summed_up_also_when_it_lasts_to_the_end(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.clock.move(8)
    await fall_behind(joined)
    joined.clock.move(4)
    joined.client.take()
    joined.clock.move(2)
    await fall_behind(joined)
    joined.clock.move(16)

    joined.stream.close()

    assert joined.exchange.backpressure_seconds == 20
    assert joined.exchange.silence_seconds == 10


async def test_next_attempt_is_not_read_either_while_the_client_is_behind(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=0))
    await joined.tick()
    joined.client.stall()
    joined.downstream.write(b"x" * 70_000)

    await joined.first()
    behind = joined.upstream.transport.reading
    joined.client.take()

    assert not behind
    assert joined.upstream.transport.reading


async def test_client_that_takes_nothing_is_given_up(house: Rooms) -> None:
    joined = await house.join(clocks(write_stall=60))
    running = await joined.live(TOKEN)
    await joined.tick()
    await fall_behind(joined)
    await joined.tick(59.75)
    still = joined.client.ended
    joined.stream.tick(joined.clock.move(0.25), 0)

    assert (still, joined.client.ended) == ("", "abort")
    assert isinstance(joined.stream.failure, ClientStalled)
    assert joined.upstream.closed
    with pytest.raises(ClientStalled):
        await running


async def test_client_that_takes_nothing_is_given_up_also_while_more_is_written(house: Rooms) -> None:
    """What we write must not pass for what it takes."""
    joined = await house.join(clocks(write_stall=60))
    await joined.live(TOKEN)
    await joined.tick()
    joined.client.stall()
    for _ in range(60):
        joined.upstream.body(TOKEN)
        await joined.tick(1)

    assert joined.client.ended == "abort"


async def test_client_that_never_took_a_byte_has_had_its_time_since_the_beginning(house: Rooms) -> None:
    joined = await house.join(clocks(write_stall=60))
    joined.client.stall()
    await joined.live(TOKEN)
    await joined.tick(59.75)
    still = joined.client.ended
    await joined.tick(0.25)

    assert (still, joined.client.ended) == ("", "abort")


async def test_client_that_takes_a_byte_now_and_then_is_waited_for(house: Rooms) -> None:
    joined = await house.join(clocks(write_stall=60))
    await joined.live(TOKEN)
    await joined.tick()
    await fall_behind(joined)
    for _ in range(10):
        joined.client.take(1)
        await joined.tick(59)

    assert joined.client.ended == ""


async def test_client_that_stalls_before_the_first_token_is_not_taken_for_one_that_left(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=0, write_stall=60))
    first = await joined.attempt()
    await joined.tick()
    joined.client.stall()
    await joined.tick(10)
    await joined.tick(60)

    with pytest.raises(ClientStalled):
        await first
    await turns()
    assert isinstance(joined.stream.failure, ClientStalled)


# A client that leaves.


@pytest.mark.parametrize("phase", [waiting_for_the_first_event, lambda joined: joined.live(TOKEN)], ids=["waiting", "live"])
async def test_upstream_is_closed_in_the_callback_that_tells_of_the_departure(house: Rooms, phase: Begin) -> None:
    joined = await house.join()
    await phase(joined)

    joined.clock.move(3)
    joined.stream.client_gone()

    assert joined.upstream.transport.ended == "abort"
    assert (joined.exchange.client_gone_at, joined.exchange.upstream_closed_at) == (START + 3, START + 3)


async def test_upstream_of_a_client_that_left_while_it_was_dialed_is_closed_at_the_end(house: Rooms) -> None:
    joined = await house.join()
    await dialing(joined)
    joined.stream.client_gone()
    joined.clock.move(0.5)

    joined.stream.close()

    assert (joined.exchange.client_gone_at, joined.exchange.upstream_closed_at) == (START, START + 0.5)


async def test_departure_has_one_time(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.stream.client_gone()
    joined.clock.move(1)

    joined.stream.client_gone()
    joined.stream.close()

    assert (joined.exchange.client_gone_at, joined.exchange.upstream_closed_at) == (START, START)


async def test_nobody_left_means_no_departure(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN, DONE)
    joined.upstream.end()
    await running

    joined.stream.close()

    assert (joined.exchange.client_gone_at, joined.exchange.upstream_closed_at) == (None, None)


async def test_draining_stream_reads_on_for_the_usage_and_writes_nothing(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    running = await joined.live(TOKEN)
    counted = (joined.exchange.progress.chunks, joined.exchange.progress.bytes_out)
    joined.client.abort()
    await turns()
    running.cancel()
    drained = joined.spawn(joined.stream.drained())
    await turns()
    still = not drained.done()

    joined.upstream.body(TOKEN, USAGE, DONE)
    joined.upstream.end()
    await drained
    joined.stream.close()

    assert still
    assert joined.stream.detached
    assert joined.exchange.usage is not None
    assert joined.exchange.usage.tokens_out == 5
    assert (joined.exchange.progress.chunks, joined.exchange.progress.bytes_out) == counted
    assert joined.pieces == [TOKEN]


async def test_draining_has_a_limit(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    running = await joined.live(TOKEN)
    joined.stream.client_gone()
    running.cancel()
    drained = joined.spawn(joined.stream.drained())
    await joined.tick(9.75)
    still = not drained.done()

    await joined.tick(0.25)

    assert still
    await drained
    assert joined.upstream.closed
    assert joined.exchange.upstream_closed_at == START + 10


async def test_draining_obeys_no_other_clock(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10, idle=1, age=1, write_stall=1, interval=1))
    await joined.live(TOKEN)
    joined.stream.client_gone()

    await joined.tick(9)

    assert not joined.upstream.closed
    assert joined.pieces == [TOKEN]


async def test_what_is_waited_for_after_the_client_has_left_is_nobodys_wait(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    await joined.live(TOKEN)
    joined.clock.move(4)
    joined.stream.client_gone()
    joined.exchange.close(Outcome.CLIENT_GONE, joined.clock.now)

    joined.clock.move(8)
    joined.stream.close()

    assert joined.exchange.silence_seconds == 4


async def test_what_is_read_while_draining_is_not_remembered_chunk_by_chunk(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    await joined.live(TOKEN, TOKEN)
    joined.stream.client_gone()
    joined.upstream.body(*[TOKEN] * 50)
    assert joined.stream._passage is not None
    kept = len(joined.stream._passage._times)

    await joined.tick(1)

    assert (kept, len(joined.stream._passage._times)) == (50, 0)


async def test_the_sums_of_waiting_never_go_back_when_the_end_is_written_down_a_moment_earlier(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    await joined.tick(4)
    await fall_behind(joined)
    joined.exchange.close(Outcome.UPSTREAM_TRUNCATED, joined.clock.now)

    joined.clock.move(0.25)
    joined.stream.close()

    assert (joined.exchange.silence_seconds, joined.exchange.backpressure_seconds) == (4, 0)


async def test_draining_reads_on_also_if_the_client_was_behind(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    await joined.live(TOKEN)
    await fall_behind(joined)

    joined.stream.client_gone()

    assert joined.upstream.transport.reading


async def test_answer_that_has_not_begun_is_not_drained(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    await joined.first(b"data: {")

    joined.stream.client_gone()

    assert not joined.stream.detached
    assert joined.upstream.closed


async def test_answer_that_is_over_is_not_drained(house: Rooms) -> None:
    joined = await house.join(clocks(drain=10))
    running = await joined.live(TOKEN, DONE)
    joined.upstream.end()
    await running

    joined.stream.client_gone()

    assert not joined.stream.detached


# Failing it from outside.


async def test_failure_that_comes_before_anything_is_waited_for_is_not_lost(house: Rooms) -> None:
    joined = await house.join()
    joined.stream.fail(Drained())

    first = await joined.attempt()

    with pytest.raises(Drained):
        await first
    assert joined.pool.in_use == 0


async def test_failure_that_comes_while_a_connection_is_made_is_told_when_it_is_there(house: Rooms) -> None:
    joined = await house.join()
    first = await dialing(joined)

    joined.stream.fail(Drained())
    assert joined.dialing is not None
    joined.dialing.set()

    with pytest.raises(Drained):
        await first


@pytest.mark.parametrize("phase", [waiting_for_the_head, waiting_for_the_first_event])
async def test_failure_wakes_whoever_waits(house: Rooms, phase: Begin) -> None:
    joined = await house.join()
    first = await phase(joined)

    joined.stream.fail(Drained())

    with pytest.raises(Drained):
        await first


async def test_failure_of_a_live_answer_closes_its_upstream_at_once(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN)

    joined.stream.fail(Drained())

    assert joined.upstream.closed
    with pytest.raises(Drained):
        await running


async def test_first_failure_counts(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN)

    joined.stream.fail(Expired())
    joined.stream.fail(Drained())

    with pytest.raises(Expired):
        await running
    assert isinstance(joined.stream.failure, Expired)


async def test_failure_behind_a_good_end_changes_nothing(house: Rooms) -> None:
    joined = await house.join()
    running = await joined.live(TOKEN, DONE)
    joined.upstream.end()
    await running

    joined.stream.fail(Drained())
    joined.stream.close()

    assert joined.pool.idle == 1, "the connection is as good as before"


async def test_failure_of_a_dropped_attempt_does_not_undo_the_end_of_the_process(house: Rooms) -> None:
    joined = await house.join()
    first = await joined.attempt()
    joined.stream.fail(Drained())
    with pytest.raises(Drained):
        await first

    with pytest.raises(Drained):
        joined.stream.drop_attempt()

    assert isinstance(joined.stream.failure, Drained)


async def test_answer_that_comes_late_does_not_reach_a_closed_stream(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.stream.close()
    wire = joined.upstream

    if not wire.closed:
        wire.body(TOKEN)

    assert joined.pieces == [TOKEN]
    assert wire.closed


async def test_close_is_idempotent(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.clock.move(4)
    joined.stream.close()
    before = {
        name: getattr(joined.exchange, name)
        for name in ("silence_seconds", "backpressure_seconds", "usage", "upstream_closed_at")
    }

    joined.clock.move(4)
    joined.stream.close()

    assert {name: getattr(joined.exchange, name) for name in before} == before
    assert before["silence_seconds"] == 4


async def test_stream_that_never_had_an_upstream_can_be_closed(house: Rooms) -> None:
    joined = await house.join()

    joined.stream.close()

    assert joined.exchange.usage is None


# The accounts.


async def test_chunks_and_bytes_are_the_upstreams(house: Rooms) -> None:
    joined = await house.join(clocks(commit_after=5))
    await joined.tick(5)
    await joined.first(COMMENT, dialect=COMPLETIONS)
    joined.upstream.body(ROLE + TOKEN)
    await turns()
    joined.stream.go_live()
    joined.upstream.body(TOKEN, TOKEN[:9], TOKEN[9:])
    await joined.tick(10)

    assert joined.exchange.progress.chunks == 5
    assert joined.exchange.progress.bytes_out == len(COMMENT + ROLE + TOKEN * 3)
    assert joined.pieces.count(KEEPALIVE) == 2


async def test_every_gap_between_two_tokens_is_counted(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    for gap in (0.25, 0.5, 4.0):
        joined.clock.move(gap)
        joined.upstream.body(TOKEN)
    joined.clock.move(1)
    joined.upstream.body(COMMENT)

    exchange = joined.exchange
    assert exchange.progress.gaps is not None
    assert {bound: count for bound, count in zip((*GAP_BUCKETS, NEVER), exchange.progress.gaps, strict=True) if count} == {
        0.25: 1,
        0.5: 1,
        5: 1,
    }
    assert (exchange.progress.first_token, exchange.progress.last_content) == (START, START + 4.75)
    assert (exchange.progress.longest_gap, exchange.progress.gap_sum) == (4.0, 4.75)


async def test_first_token_is_the_first_content_and_not_the_first_event(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(ROLE)
    joined.clock.move(2)
    joined.upstream.body(TOKEN)

    assert (joined.exchange.committed, joined.exchange.progress.first_token) == (START, START + 2)


async def test_phase_follows_the_request(house: Rooms) -> None:
    joined = await house.join()
    seen = [joined.exchange.phase]
    first = await dialing(joined)
    seen.append(joined.exchange.phase)
    assert joined.dialing is not None
    joined.dialing.set()
    await turns()
    seen.append(joined.exchange.phase)
    joined.upstream.head()
    await turns()
    seen.append(joined.exchange.phase)
    joined.upstream.body(ROLE)
    await first
    joined.stream.go_live(200, HEADERS)
    seen.append(joined.exchange.phase)
    joined.upstream.body(TOKEN)
    await joined.tick()
    seen.append(joined.exchange.phase)

    assert seen == [Phase.REQUEST, Phase.CONNECTING, Phase.HEADERS, Phase.FIRST_TOKEN, Phase.FIRST_TOKEN, Phase.STREAMING]


async def test_waiting_for_upstreams_is_everything_between_dial_and_first_event(house: Rooms) -> None:
    joined = await house.join()
    joined.clock.move(1)  # ours
    first = await dialing(joined)
    joined.clock.move(2)
    assert joined.dialing is not None
    joined.dialing.set()
    await turns()
    joined.clock.move(4)
    joined.upstream.head()
    await turns()
    joined.clock.move(8)
    joined.upstream.body(TOKEN)
    await first
    joined.clock.move(16)  # ours
    joined.stream.go_live(200, HEADERS)
    joined.clock.move(32)
    joined.upstream.body(TOKEN)

    assert joined.exchange.waited == 2 + 4 + 8


async def test_waiting_behind_the_commit_is_not_counted_as_waiting_before_it(house: Rooms) -> None:
    """Else the proxy's own time until the commit would come out as less than nothing."""
    joined = await house.join(clocks(commit_after=5))
    await joined.attempt()
    await joined.tick(5)
    joined.clock.move(20)
    joined.upstream.head()
    await turns()
    joined.clock.move(20)
    joined.upstream.body(TOKEN)
    await turns()

    assert joined.exchange.waited == 5


async def test_silence_is_the_time_from_routing_to_the_end_that_is_not_the_clients(house: Rooms) -> None:
    joined = await house.join(age=100)
    await joined.live(TOKEN)
    joined.clock.move(16)
    await fall_behind(joined)
    joined.clock.move(4)

    joined.stream.close()

    assert joined.exchange.silence_seconds == 16


async def test_whose_wait_it_is_can_be_seen_while_it_lasts(house: Rooms) -> None:
    """Metrics are scraped in the middle of streams that last for hours."""
    joined = await house.join()
    await joined.live(TOKEN)
    await joined.tick(16)
    waited = joined.exchange.silence_seconds
    await fall_behind(joined)

    await joined.tick(2)
    await joined.tick(2)

    assert waited == 16
    assert (joined.exchange.silence_seconds, joined.exchange.backpressure_seconds) == (16, 4)


async def test_usage_and_lost_events_are_the_observers(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    joined.upstream.body(b"data: " + b"x" * (1 << 20), b"x\n\n", USAGE)

    joined.stream.close()

    assert joined.exchange.usage is not None
    assert joined.exchange.usage.tokens_in == 3
    assert joined.exchange.observer_skips == 1


async def test_whole_body_that_came_with_its_head_is_counted_like_any_other(house: Rooms) -> None:
    body = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 5}}'
    joined = await house.join()
    joined.clock.move(2)

    joined.stream.note_whole(body, Usage(3, 5))
    joined.stream.close()

    exchange = joined.exchange
    assert (exchange.progress.chunks, exchange.progress.bytes_out, exchange.committed, exchange.progress.first_token) == (
        1,
        len(body),
        START + 2,
        START + 2,
    )
    assert exchange.whole
    assert exchange.usage is not None
    assert exchange.usage.tokens_out == 5


async def test_usage_of_a_whole_answer_is_not_that_of_an_attempt_before_it(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(USAGE)
    joined.stream.drop_attempt()

    joined.stream.note_whole(b'{"usage": {"prompt_tokens": 7}}', Usage(7))
    joined.stream.close()

    assert joined.exchange.usage is not None
    assert joined.exchange.usage.tokens_in == 7


async def test_stream_shows_where_it_stands(house: Rooms) -> None:
    joined = await house.join()
    await joined.live(TOKEN)
    await joined.tick()

    assert repr(joined.stream) == "<Stream r1 streaming live=True committed=True>"
