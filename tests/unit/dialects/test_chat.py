from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import orjson
import pytest

from proxy.dialects import CHAT, COMPLETIONS
from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, RequestView
from proxy.dialects.chat import ChatObserver
from proxy.exchange import Usage
from proxy.sse.events import CAP
from tests.support.streams import BOM
from tests.unit.dialects import recordings
from tests.unit.dialects.recordings import DONE, ROLE, STOP, Recording, calls, chunk, cut_anyhow, delta, verdict, with_line_end

RECORDED = [with_line_end(recording, end) for recording in recordings.CHAT for end in (b"\n", b"\r\n", b"\r")]
HI = delta('"content":"Hi"')


def observe(*chunks: bytes, choices: int = 1) -> tuple[ChatObserver, list[int]]:
    observer = ChatObserver(choices)
    return observer, [observer.feed(data) for data in chunks]


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_event_by_event(recording: Recording) -> None:
    observer, seen = observe(*(block for block, _ in recording.events), choices=recording.choices)

    if recording.stream.endswith(b"\n"):  # an event that ends in CR is out with the next byte at the latest
        assert seen == [flags for _, flags in recording.events]
    assert (observer.usage, observer.error, observer.terminal) == (recording.usage, recording.error, recording.terminal)
    assert observer.complete(clean=False) is (recording.terminal and recording.error is None)
    assert observer.splitter.lost == 0


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_however_it_is_cut(recording: Recording) -> None:
    whole, _ = observe(*(block for block, _ in recording.events), choices=recording.choices)

    for seed in range(12):
        observer, seen = observe(*cut_anyhow(recording.stream, seed), choices=recording.choices)

        assert verdict(observer) == verdict(whole), seed
        assert reduce(or_, seen, NOTHING) == recording.seen, seed


@pytest.mark.parametrize("recording", recordings.CHAT, ids=str)
def test_every_event_of_a_recorded_stream_shows_the_same_wherever_it_is_cut(recording: Recording) -> None:
    """Whether it was compared with the one before or read from its pieces."""
    observer = ChatObserver(recording.choices)

    for number, (block, flags) in enumerate(recording.events):
        cut = 1 + number * 37 % (len(block) - 1)
        assert observer.feed(block[:cut]) | observer.feed(block[cut:]) == flags


@pytest.mark.parametrize(
    ("chunks", "choices", "clean", "cut"),
    [
        pytest.param((HI, STOP, DONE), 1, True, True, id="done"),
        pytest.param((HI, DONE), 1, True, True, id="done without a finish reason"),
        pytest.param((HI, STOP), 1, True, False, id="finished"),
        pytest.param((HI,), 1, False, False, id="unfinished"),
        pytest.param((), 1, False, False, id="nothing"),
        pytest.param((HI, STOP), 2, False, False, id="one of two finished"),
        pytest.param((STOP, STOP), 2, False, False, id="one of two finished twice"),
        pytest.param((STOP, delta("", '"length"', index=1)), 2, True, False, id="both finished"),
        pytest.param((chunk('{"delta":{},"finish_reason":"stop"}'),), 1, True, False, id="finished without an index"),
        pytest.param(
            (chunk('{"index":[],"delta":{},"finish_reason":"stop"}'),), 1, True, False, id="finished with a strange index"
        ),
        pytest.param((STOP, chunk('{"delta":{},"finish_reason":"stop"}')), 2, False, False, id="the first finished twice"),
        pytest.param((chunk('{"index":0,"delta":{},"error":{"code":1}}'), DONE), 1, False, False, id="a choice with an error"),
        pytest.param((HI, STOP, b"data: [DO"), 1, True, False, id="finished, then cut"),
        pytest.param((HI, delta("", '"error"'), DONE), 1, False, False, id="finished by an error"),
        pytest.param((b'data: {"error":{"message":"m"}}\n\n', DONE), 1, False, False, id="an error, then done"),
    ],
)
def test_an_answer_is_complete_when_done_or_when_all_choices_finished_and_the_framing_is_clean(
    chunks: tuple[bytes, ...], choices: int, clean: bool, cut: bool
) -> None:
    observer, _ = observe(*chunks, choices=choices)

    assert (observer.complete(clean=True), observer.complete(clean=False)) == (clean, cut)


def test_a_finished_choice_is_not_the_end_of_the_stream() -> None:
    """The usage chunk and Azure's late filter results are still to come."""
    observer, seen = observe(HI, STOP)

    assert seen == [CONTENT, NOTHING]
    assert not observer.terminal


def test_content_and_an_error_in_one_choice_show_both() -> None:
    _, seen = observe(delta('"content":"Hi"', '"error"'))

    assert seen == [CONTENT | FAILED]


def test_an_error_beside_content_is_no_example_for_the_chunks_that_follow() -> None:
    failing = delta('"content":"Hi"', '"error"')

    _, seen = observe(HI, failing, failing, HI)

    assert seen == [CONTENT, CONTENT | FAILED, CONTENT | FAILED, CONTENT]


def test_a_chunk_like_the_one_before_is_not_parsed() -> None:
    """The work per token is counted in calls, which no busy machine changes."""
    observer, _ = observe(ROLE, HI)
    you = delta('"content":" you"')

    assert calls(lambda: observer.feed(you)) <= 6


def test_nor_is_one_that_comes_in_pieces() -> None:
    def cost(observer: ChatObserver) -> int:
        you = delta('"content":" you"')
        return calls(lambda: (observer.feed(you[:30]), observer.feed(you[30:])))

    (new, _), (knowing, _) = observe(ROLE), observe(ROLE, HI)

    assert cost(knowing) <= cost(new) - 5


def test_a_chunk_like_the_one_before_is_read_where_it_is_only_part_of_an_event() -> None:
    observer, seen = observe(HI, b"event: error\n", HI, HI)

    assert seen == [CONTENT, NOTHING, FAILED, CONTENT]
    assert not observer.splitter.held


def test_the_last_usage_that_can_be_read_counts() -> None:
    observer, _ = observe(
        chunk("", ',"usage":{"prompt_tokens":1,"completion_tokens":1}'),
        chunk("", ',"usage":{"prompt_tokens":1,"completion_tokens":2}'),
        chunk("", ',"usage":[1]'),
        chunk("", ',"usage":null'),
    )

    assert observer.usage == Usage(1, 2)


def test_several_events_in_one_chunk_show_together() -> None:
    observer, seen = observe(ROLE + HI + HI + STOP + DONE)

    assert seen == [CONTENT | TERMINAL]
    assert observer.complete(clean=False)


def test_a_mark_at_the_start_hides_nothing() -> None:
    _, seen = observe(BOM + HI, HI)

    assert seen == [CONTENT, CONTENT]


def test_an_event_beyond_the_cap_counts_as_content_and_the_end_is_still_seen() -> None:
    """An image comes in one delta of megabytes."""
    large = delta(f'"content":"{"x" * (CAP + 10)}"')

    observer, seen = observe(HI, large[:100_000], large[100_000:-100], large[-100:], HI, STOP, DONE)

    assert seen == [CONTENT, NOTHING, NOTHING, CONTENT, CONTENT, NOTHING, TERMINAL]
    assert observer.splitter.lost == 1
    assert observer.complete(clean=False)


def test_words_of_an_upstream_are_cut_to_a_sensible_length() -> None:
    observer, _ = observe(b'data: {"error":{"code":"%b"}}\n\n' % (b"x" * 1000))

    assert observer.error == "x" * 64


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": None}, 1),
        ({"n": 0}, 1),
        ({"n": -1}, 1),
        ({"n": True}, 1),
        ({"n": "2"}, 1),
        ({"n": 1.5}, 1),
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": ["a"]}, 1),
        ({"prompt": []}, 1),
        ({"prompt": {}}, 1),
    ],
)
def test_as_many_choices_are_awaited_as_were_asked_for(body: dict[str, Any], choices: int) -> None:
    view = COMPLETIONS.read_request(orjson.dumps({"model": "m", **body}), {})

    assert COMPLETIONS.observer(view)._choices == choices


def test_every_stream_has_its_own_observer() -> None:
    view = RequestView("m", stream=True)

    assert CHAT.observer(view) is not CHAT.observer(view)
    assert (CHAT.name, COMPLETIONS.name) == ("chat", "completions")
