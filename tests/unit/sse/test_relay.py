from __future__ import annotations

import pytest

from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, Blind, Framing, Keepalive, Observer
from proxy.dialects.bedrock_events import ConverseObserver, InvokeObserver
from proxy.dialects.chat import ChatObserver
from proxy.dialects.eventstream import encode
from proxy.dialects.gemini_stream import GeminiArrayObserver
from proxy.dialects.keepalives import Comment, Constant
from proxy.dialects.plain import PlainObserver
from proxy.dialects.responses import ResponsesKeepalive, ResponsesObserver
from proxy.sse.boundary import BOM
from proxy.sse.relay import HOLD_LIMIT, Held, Relay
from tests.support import bedrock

INTERVAL = 10.0
WALL = 1_700_000_000.0
FRAME = b": keepalive\n\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
REFUSAL = b'data: {"error":{"code":"overloaded"}}\n\n'
PROCESSING = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


def waiting(observer: Observer | None = None, *, framing: Framing = Framing.EVENTS, keepalive: Keepalive | None = None) -> Relay:
    """A relay whose first attempt has answered with a head and no byte yet."""
    relay = Relay(keepalive or Comment(), Framing.EVENTS, INTERVAL, 0.0)
    relay.begin(observer or ChatObserver(1), framing)
    return relay


def live(data: bytes = EVENT, *, observer: Observer | None = None, keepalive: Keepalive | None = None) -> Relay:
    """A relay that has released *data* at the time 0."""
    relay = waiting(observer, keepalive=keepalive)
    relay.hold(data, committed=False)
    relay.release(0.0)
    return relay


def due(relay: Relay, now: float = INTERVAL) -> bytes:
    return relay.frame(now, WALL)


# ---- frames of a live stream


def test_a_frame_is_due_an_interval_after_the_last_byte() -> None:
    relay = live()

    assert due(relay, 9.9) == b""
    assert due(relay, 10.0) == FRAME


def test_a_frame_is_followed_by_another_interval() -> None:
    relay = live()

    frames = [due(relay, now) for now in (10.0, 10.1, 19.9, 20.0)]

    assert frames == [FRAME, b"", b"", FRAME]


def test_a_relayed_byte_puts_the_next_frame_off() -> None:
    relay = live()
    relay.forward(EVENT, 9.0)

    assert due(relay, 18.9) == b""
    assert due(relay, 19.0) == FRAME


def test_without_a_keepalive_nothing_is_ever_put_in() -> None:
    relay = Relay(None, Framing.EVENTS, INTERVAL, 0.0)

    assert relay.first_frame(0.0, WALL) == b""
    assert due(relay, 1e9) == b""


@pytest.mark.parametrize(
    "half", [b'data: {"a"', b"data: x\n", b"data: x\r\n", b"data: x\r", b"event: e\ndata: x\n", b": half", b"\r"], ids=repr
)
def test_a_frame_waits_for_the_end_of_an_event(half: bytes) -> None:
    """A blank line inside an event would hand the client half a message; one between CR and LF, too (P4, P5, P6)."""
    relay = live()

    relay.forward(half, 1.0)

    assert due(relay, 1e9) == b""
    assert not relay.between_events


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r\n", b"\n\r\n"], ids=repr)
def test_a_frame_goes_in_as_soon_as_an_event_has_ended(end: bytes) -> None:
    relay = live()

    for byte in b"data: x" + end:
        assert due(relay, 1e6) == (FRAME if relay.between_events else b"")
        relay.forward(bytes([byte]), 1.0)

    assert due(relay, 1e7) == FRAME


def test_a_frame_loses_its_empty_line_once_an_id_was_relayed() -> None:
    """openai-python reads every empty line behind an id as an event, and fails on its empty data (P8)."""
    relay = live()
    relay.forward(b"id: 7\ndata: {}\n\n", 1.0)

    assert due(relay, 100.0) == b": keepalive\n"


@pytest.mark.parametrize("cut", range(1, 17))
def test_an_id_is_seen_however_it_is_cut(cut: int) -> None:
    stream = b"data: {}\r\nid: 7\r\n\r\n"
    relay = live()

    relay.forward(stream[:cut], 1.0)
    relay.forward(stream[cut:], 1.0)

    assert due(relay, 100.0) == b": keepalive\n"


def test_an_id_in_the_first_event_counts() -> None:
    relay = live(b"id: 7\n" + EVENT)

    assert due(relay) == b": keepalive\n"


def test_an_id_of_an_attempt_that_failed_before_it_was_relayed_does_not_count() -> None:
    relay = waiting()
    relay.hold(b"id: 7\n" + REFUSAL, committed=True)
    relay.begin(ChatObserver(1), Framing.EVENTS)
    relay.hold(EVENT, committed=True)
    relay.release(0.0)

    assert due(relay) == FRAME


def test_no_frame_follows_the_terminal_event() -> None:
    relay = live()
    relay.forward(DONE, 1.0)

    assert due(relay, 1e9) == b""


def test_a_failed_attempt_that_said_it_was_the_end_does_not_silence_the_next() -> None:
    relay = waiting(ResponsesObserver())
    verdict, _, _ = relay.hold(b'event: response.failed\ndata: {"type":"response.failed"}\n\n', committed=True)

    assert verdict is Held.FAILED
    assert due(relay) == FRAME


def test_frames_are_given_the_observer_only_once_it_is_relayed() -> None:
    """What lies in the hold the client has not seen: a keepalive event before `response.created` breaks the SDKs' helpers."""
    created = b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{}}\n\n'
    relay = waiting(ResponsesObserver(), keepalive=ResponsesKeepalive())
    relay.hold(created, committed=True)

    before = due(relay)
    relay.release(20.0)

    assert before == FRAME
    assert due(relay, 30.0) == b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 0}\n\n'


def test_three_bytes_are_remembered_of_what_was_relayed() -> None:
    relay = live()

    for data in (EVENT * 100, b"a", b"bc", b"def"):
        relay.forward(data, 1.0)
        assert len(relay._tail) == 3


def test_forwarding_tells_what_the_observer_saw() -> None:
    relay = live()

    seen = [relay.forward(data, 1.0) for data in (b": c\n\n", EVENT, EVENT[:20], EVENT[20:], DONE)]

    assert seen == [NOTHING, CONTENT, NOTHING, CONTENT, TERMINAL]


# ---- the start of a stream


def test_bytes_are_held_until_the_first_event_is_complete() -> None:
    relay = waiting()

    first = relay.hold(EVENT[:30], committed=False)
    second = relay.hold(EVENT[30:], committed=False)

    assert first == (Held.WAITING, b"", NOTHING)
    assert second == (Held.READY, b"", CONTENT)
    assert relay.held == len(EVENT)
    assert relay.release(1.0) == EVENT
    assert relay.held == 0


def test_started_means_that_an_event_was_released() -> None:
    relay = waiting()
    relay.hold(PROCESSING, committed=True)
    comments_only = relay.started

    relay.hold(EVENT, committed=True)
    held = relay.started
    relay.release(0.0)

    assert (comments_only, held, relay.started) == (False, False, True)


def test_an_error_as_the_first_event_fails_the_attempt() -> None:
    relay = waiting()

    verdict, out, seen = relay.hold(PROCESSING + REFUSAL, committed=False)

    assert (verdict, out, seen) == (Held.FAILED, b"", FAILED)
    assert relay.release(0.0) == PROCESSING + REFUSAL, "it can still be passed on, if it was the last attempt"


@pytest.mark.parametrize("first", [EVENT, b'data: {"choices":[]}\n\n', b"data: anything\n\n"])
def test_an_error_as_the_second_event_does_not(first: bytes) -> None:
    relay = waiting()

    verdict, _, seen = relay.hold(first + REFUSAL, committed=False)

    assert verdict is Held.READY
    assert seen & FAILED


@pytest.mark.parametrize(("first", "verdict"), [(EVENT, Held.READY), (REFUSAL, Held.FAILED)])
def test_the_verdict_on_the_first_event_stays_whatever_follows(first: bytes, verdict: Held) -> None:
    """Between the first event and its release the handler's task has yet to wake up; more may come meanwhile."""
    relay = waiting()
    relay.hold(PROCESSING + first, committed=True)

    later = [relay.hold(data, committed=True)[:2] for data in (PROCESSING, b"data: ha", b"lf\n\n", DONE, REFUSAL)]

    assert later == [(verdict, b"")] * 5
    assert relay.release(0.0) == PROCESSING + first + PROCESSING + b"data: half\n\n" + DONE + REFUSAL


def test_comments_stay_in_the_hold_until_the_response_is_committed() -> None:
    relay = waiting()
    verdict, out, _ = relay.hold(PROCESSING, committed=False)

    assert (verdict, out) == (Held.WAITING, b"")
    assert relay.comments() == PROCESSING
    assert relay.comments() == b""


def test_comments_pass_at_once_when_the_response_is_committed() -> None:
    relay = waiting()

    outs = [relay.hold(data, committed=True) for data in (b": OPEN", b"ROUTER\n", b"\n:\n\n: PRO", b"CESSING\n\ndata")]

    assert [out for _, out, _ in outs] == [b"", b"", b": OPENROUTER\n\n:\n\n", b": PROCESSING\n\n"]
    assert all(verdict is Held.WAITING for verdict, _, _ in outs)
    assert relay.held == len(b"data")


def test_comments_that_pass_put_the_next_frame_off() -> None:
    relay = waiting()
    relay.hold(PROCESSING, committed=True)

    frames = [due(relay, now) for now in (15.0, 24.9, 25.0)]

    assert frames == [b"", b"", FRAME]


def test_pings_pass_like_comments() -> None:
    ping = b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n'
    relay = waiting(ResponsesObserver())

    verdict, out, _ = relay.hold(ping, committed=True)

    assert (verdict, out) == (Held.WAITING, ping)
    assert not relay.started


@pytest.mark.parametrize("preamble", [b"retry: 3000\n\n", b"id: 1\n\n", b"event: e\n\n"], ids=repr)
def test_fields_without_data_are_no_event_and_do_not_pass_ahead_of_one(preamble: bytes) -> None:
    """They would outlive the attempt: a browser keeps an id and a retry time."""
    relay = waiting()

    before = relay.hold(PROCESSING + preamble + PROCESSING, committed=True)
    verdict, out, _ = relay.hold(REFUSAL, committed=True)

    assert before == (Held.WAITING, PROCESSING, NOTHING)
    assert (verdict, out) == (Held.FAILED, b"")


def test_what_an_attempt_left_in_the_hold_is_forgotten_by_the_next() -> None:
    relay = waiting()
    relay.hold(PROCESSING + EVENT[:40], committed=False)

    relay.begin(ChatObserver(1), Framing.EVENTS)
    verdict, _, _ = relay.hold(EVENT, committed=False)

    assert verdict is Held.READY
    assert relay.release(0.0) == EVENT


def test_what_passes_of_the_next_attempt_is_measured_anew() -> None:
    relay = waiting()
    relay.hold(PROCESSING + b"retry: 1\n\n", committed=False)

    relay.begin(ChatObserver(1), Framing.EVENTS)
    half = relay.hold(EVENT[:40], committed=True)
    relay.begin(ChatObserver(1), Framing.EVENTS)
    comment = relay.hold(PROCESSING, committed=True)

    assert half == (Held.WAITING, b"", NOTHING)
    assert comment == (Held.WAITING, PROCESSING, NOTHING)


def test_an_id_that_passed_with_a_ping_still_counts_when_the_next_attempt_is_live() -> None:
    relay = waiting(ResponsesObserver())
    relay.hold(b'id: 7\nevent: keepalive\ndata: {"type":"keepalive"}\n\n', committed=True)

    relay.begin(ChatObserver(1), Framing.EVENTS)
    relay.hold(EVENT, committed=True)
    relay.release(0.0)

    assert due(relay) == b": keepalive\n"


def test_the_next_attempt_is_judged_by_its_own_first_event() -> None:
    relay = waiting()
    relay.hold(REFUSAL, committed=False)

    relay.begin(ChatObserver(1), Framing.EVENTS)

    assert relay.hold(EVENT, committed=False)[0] is Held.READY


def test_a_first_event_larger_than_the_hold_is_released_unfinished() -> None:
    relay = waiting()

    full = relay.hold(b"data: " + b"x" * (16 * 1024 - 6), committed=False)
    over = relay.hold(b"x", committed=False)

    assert full[0] is Held.WAITING
    assert over[0] is Held.READY
    assert len(relay.release(0.0)) == 16 * 1024 + 1
    assert not relay.between_events


def test_more_comments_than_the_hold_may_keep_ask_for_a_commit() -> None:
    relay = waiting()

    verdicts = [relay.hold(b": " + b"c" * 1020 + b"\n\n", committed=False)[0] for _ in range(HOLD_LIMIT // 1024 + 1)]

    assert verdicts == [Held.WAITING] * 16 + [Held.CROWDED]
    assert len(relay.comments()) == 17 * 1024


def test_comments_do_not_count_against_the_first_event() -> None:
    relay = waiting()
    relay.hold(b": " + b"c" * HOLD_LIMIT + b"\n\n", committed=False)

    verdict, _, _ = relay.hold(b"data: " + b"x" * (HOLD_LIMIT - 10), committed=False)

    assert verdict is Held.CROWDED


@pytest.mark.parametrize("framing", [Framing.LINES, Framing.WHOLE, Framing.OPAQUE])
def test_a_body_without_events_is_ready_with_its_first_byte(framing: Framing) -> None:
    relay = waiting(Blind(), framing=framing)

    assert relay.hold(b"{", committed=False) == (Held.READY, b"", CONTENT)


def test_a_body_without_events_that_begins_with_an_error_is_no_answer() -> None:
    """A JSON array of responses: its observer reads them as they come."""
    relay = waiting(GeminiArrayObserver(1), framing=Framing.OPAQUE)

    assert relay.hold(b'[{"error":{"code":503}}', committed=False) == (Held.FAILED, b"", FAILED)


# ---- the mark at the start


def test_a_mark_stays_where_nothing_was_sent_before_it() -> None:
    relay = waiting()
    relay.hold(BOM + EVENT, committed=True)

    assert relay.release(0.0) == BOM + EVENT


def test_one_mark_is_dropped_behind_a_frame_of_ours() -> None:
    """P7: a second mark is content, and stays, though it spoils its line as it does in any browser."""
    relay = waiting()
    relay.first_frame(0.0, WALL)
    verdicts = [relay.hold(bytes([byte]), committed=True)[0] for byte in BOM + BOM + EVENT + EVENT]

    assert verdicts[-1] is Held.READY
    assert verdicts[:-1] == [Held.WAITING] * (len(verdicts) - 1)
    assert relay.release(1.0) == BOM + EVENT + EVENT


def test_one_mark_is_dropped_behind_comments_of_an_earlier_attempt() -> None:
    relay = waiting()
    passed = relay.hold(BOM + PROCESSING, committed=True)[1]

    relay.begin(ChatObserver(1), Framing.EVENTS)
    relay.hold(BOM + EVENT, committed=True)

    assert passed == BOM + PROCESSING
    assert relay.release(0.0) == EVENT


def test_a_mark_in_front_of_comments_is_dropped_with_them() -> None:
    relay = waiting()
    relay.first_frame(0.0, WALL)

    passed = relay.hold(BOM + PROCESSING + PROCESSING + EVENT[:40], committed=True)
    relay.hold(EVENT[40:], committed=True)

    assert passed[:2] == (Held.WAITING, PROCESSING + PROCESSING)
    assert relay.release(0.0) == EVENT


def test_a_mark_in_the_middle_of_a_stream_stays() -> None:
    relay = waiting()
    relay.first_frame(0.0, WALL)
    relay.hold(PROCESSING, committed=True)
    relay.hold(BOM + EVENT + EVENT, committed=True)

    assert relay.release(1.0) == BOM + EVENT + EVENT


# ---- frames in other bodies


def test_an_early_commit_sends_its_frame_at_once() -> None:
    relay = Relay(Comment(), Framing.EVENTS, INTERVAL, 0.0)

    first = relay.first_frame(5.0, WALL)

    assert first == FRAME
    assert due(relay, 14.9) == b""
    assert due(relay, 15.0) == FRAME


def test_a_frame_knows_the_time_of_day() -> None:
    relay = Relay(Comment("beat {unix_ms}"), Framing.EVENTS, INTERVAL, 0.0)

    assert due(relay) == b": beat 1700000000000\n\n"


def test_only_a_space_may_stand_before_a_json_text_and_nothing_in_it() -> None:
    relay = waiting(Blind(), framing=Framing.WHOLE)

    before = due(relay)
    relay.hold(b"{", committed=True)
    relay.release(10.0)
    relay.forward(b'"a":\n', 10.0)

    assert before == b" "
    assert due(relay, 1e9) == b""


def test_only_a_space_may_stand_before_a_line_of_ndjson() -> None:
    """Ollama's client fails on a blank line, and every other on a comment."""
    relay = waiting(Blind(), framing=Framing.LINES)
    relay.hold(b'{"a":1}\n', committed=True)
    relay.release(0.0)

    between = due(relay)
    relay.forward(b'{"b"', 10.0)

    assert between == b" "
    assert due(relay, 1e9) == b""


def test_nothing_is_ever_put_into_an_opaque_body() -> None:
    relay = waiting(Blind(), framing=Framing.OPAQUE)

    before = due(relay)
    relay.hold(b"\x1f\x8b\n\n", committed=True)
    relay.release(10.0)

    assert before == b""
    assert due(relay, 1e9) == b""


def test_a_constant_frame_goes_in_as_it_is() -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    relay = live(b"id: 1\n" + EVENT, observer=PlainObserver(), keepalive=Constant(ping))

    assert due(relay) == ping


def test_a_relay_shows_where_it_stands_and_none_of_the_answer() -> None:
    relay = live(EVENT + b"data: s3cr3t")

    assert repr(relay) == "<Relay events started=True held=0 between_events=False>"


# ---- binary frames


def framed() -> Relay:
    """A relay for binary frames that would have a keepalive, if one could be put into them."""
    return waiting(ConverseObserver(), framing=Framing.FRAMES)


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        (bedrock.START, Held.READY),
        (bedrock.HI, Held.READY),
        (bedrock.THROTTLED, Held.FAILED),
        (bedrock.error_frame("InternalFailure"), Held.FAILED),
        (bedrock.damaged(bedrock.START), Held.FAILED),
    ],
    ids=["start", "content", "exception", "error", "damaged"],
)
def test_the_first_binary_frame_is_held_until_it_is_whole_and_then_judged(first: bytes, verdict: Held) -> None:
    relay = framed()

    held = [relay.hold(bytes([byte]), committed=False)[0] for byte in first]

    assert held == [Held.WAITING] * (len(first) - 1) + [verdict]
    assert relay.release(0.0) == first


def test_the_first_binary_frame_decides_whatever_comes_with_it() -> None:
    good, bad = framed(), framed()

    assert good.hold(bedrock.START + bedrock.THROTTLED, committed=False)[0] is Held.READY
    assert bad.hold(bedrock.THROTTLED + bedrock.START, committed=False)[0] is Held.FAILED


def test_bytes_that_are_no_frame_from_the_start_are_no_answer() -> None:
    relay = framed()

    assert relay.hold(b"HTTP/1.1 200 OK\r\n", committed=False)[0] is Held.FAILED


def test_a_ping_inside_of_a_frame_is_no_first_event() -> None:
    relay = waiting(InvokeObserver(), framing=Framing.FRAMES)
    ping = bedrock.native({"type": "ping"})

    assert relay.hold(ping, committed=False)[0] is Held.WAITING
    assert relay.hold(bedrock.CLAUDE[0], committed=False)[0] is Held.READY
    assert relay.release(0.0) == ping + bedrock.CLAUDE[0]


def test_a_frame_that_looks_like_text_is_still_an_event() -> None:
    """Its lines would be comments, and no data, to a reader of text."""
    relay = framed()

    assert relay.hold(encode({}, b"\n: comment\n\n"), committed=False)[0] is Held.READY


def test_a_binary_stream_can_be_told_an_error_between_two_frames_only() -> None:
    relay = framed()
    relay.hold(bedrock.START, committed=False)
    relay.release(0.0)
    between = []

    for byte in bedrock.HI:
        between.append(relay.between_events)
        relay.forward(bytes([byte]), 1.0)

    assert between == [True] + [False] * (len(bedrock.HI) - 1)
    assert relay.between_events


def test_nothing_may_follow_a_damaged_frame() -> None:
    relay = framed()
    relay.hold(bedrock.START, committed=False)
    relay.release(0.0)

    relay.forward(bedrock.damaged(bedrock.HI), 1.0)

    assert not relay.between_events


def test_no_keepalive_is_ever_put_into_a_binary_stream() -> None:
    relay = framed()
    before = due(relay, 1e6)
    relay.hold(bedrock.START, committed=False)
    relay.release(1e6)

    assert (before, due(relay, 1e9)) == (b"", b"")
