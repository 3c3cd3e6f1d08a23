from __future__ import annotations

from functools import reduce
from operator import or_

import pytest

from proxy.dialects.base import CONTENT, FAILED, NOTHING
from proxy.dialects.chat import ChatObserver
from proxy.dialects.elements import CAP as ELEMENT_CAP
from proxy.dialects.gemini_stream import GeminiArrayObserver, GeminiObserver
from proxy.exchange import Usage
from proxy.sse.events import CAP
from tests.unit.dialects import recordings
from tests.unit.dialects.recordings import Recording, calls, cut_anyhow, verdict
from tests.unit.dialects.recordings_gemini import (
    GEMINI,
    RESPONSES,
    UNAVAILABLE,
    candidate,
    counts,
    event,
    response,
    text,
    with_lf,
)

RECORDED = [*GEMINI, *(with_lf(recording) for recording in GEMINI)]
HI = text("Hi", 1)
STOP = text("", 2, finish="STOP")
ARRAY = ("[" + "\n,\r\n".join(RESPONSES) + "\n]\n").encode()


def observe(*chunks: bytes, candidates: int = 1) -> tuple[GeminiObserver, list[int]]:
    observer = GeminiObserver(candidates)
    return observer, [observer.feed(data) for data in chunks]


@pytest.mark.parametrize("recording", GEMINI, ids=str)
def test_a_recorded_stream_is_understood_event_by_event(recording: Recording) -> None:
    observer, seen = observe(*(block for block, _ in recording.events), candidates=recording.choices)

    assert seen == [flags for _, flags in recording.events]
    assert (observer.usage, observer.error, observer.terminal) == (recording.usage, recording.error, recording.terminal)
    assert observer.complete(clean=True) is (recording.terminal and recording.error is None)


@pytest.mark.parametrize("recording", GEMINI, ids=str)
def test_no_stream_is_complete_without_a_clean_end(recording: Recording) -> None:
    """There is no last event: only the framing tells a whole stream from one that was cut behind a finish reason."""
    observer, _ = observe(recording.stream, candidates=recording.choices)

    assert not observer.complete(clean=False)


@pytest.mark.parametrize("recording", RECORDED, ids=str)
def test_a_recorded_stream_is_understood_however_it_is_cut(recording: Recording) -> None:
    whole, _ = observe(*(block for block, _ in recording.events), candidates=recording.choices)

    for seed in range(12):
        observer, seen = observe(*cut_anyhow(recording.stream, seed), candidates=recording.choices)

        assert verdict(observer) == verdict(whole), seed
        assert reduce(or_, seen, NOTHING) == recording.seen, seed


@pytest.mark.parametrize("recording", GEMINI, ids=str)
def test_every_event_shows_the_same_wherever_it_is_cut(recording: Recording) -> None:
    """Whether it was compared with the one before or read from its pieces."""
    observer = GeminiObserver(recording.choices)

    for number, (block, flags) in enumerate(recording.events):
        cut = 1 + number * 37 % (len(block) - 1)
        assert observer.feed(block[:cut]) | observer.feed(block[cut:]) == flags


@pytest.mark.parametrize(
    ("chunks", "candidates", "over", "complete"),
    [
        pytest.param((HI, STOP), 1, True, True, id="finished"),
        pytest.param((HI,), 1, False, False, id="unfinished"),
        pytest.param((), 1, False, False, id="nothing"),
        pytest.param((b'data: {"usageMetadata": {"promptTokenCount": 1}}\r\n\r\n',), 1, False, False, id="only counted"),
        pytest.param((HI, event('{"candidates": [{"finishReason": "STOP"}]}')), 1, True, True, id="finished without an index"),
        pytest.param((HI, STOP, text("late", 3)), 1, True, True, id="finished, then more"),
        pytest.param((HI, STOP), 2, False, True, id="fewer candidates than wanted"),
        pytest.param((event(response(candidate("", index=1))), STOP), 1, True, False, id="one of two finished"),
        pytest.param((HI, STOP, b'data: {"candid'), 1, True, True, id="finished, then cut"),
        pytest.param((HI, STOP, UNAVAILABLE), 1, True, False, id="finished, then an error"),
        pytest.param((HI, STOP, UNAVAILABLE[6:-4]), 1, True, False, id="finished, then an error that is no event"),
        pytest.param((b'data: {"promptFeedback": {}}\r\n\r\n',), 1, False, False, id="not blocked"),
    ],
)
def test_an_answer_is_complete_when_every_candidate_in_it_is_finished_and_the_framing_clean(
    chunks: tuple[bytes, ...], candidates: int, over: bool, complete: bool
) -> None:
    """And over, so that no keepalive follows, when as many are finished as were asked for."""
    observer, _ = observe(*chunks, candidates=candidates)

    assert observer.terminal is over
    assert observer.complete(clean=True) is complete


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        ('{"text": "Hi"}', CONTENT),
        ('{"text": "Hm","thought": true}', CONTENT),
        ('{"functionCall": {"name": "f","args": {}}}', CONTENT),
        ('{"inlineData": {"mimeType": "image/png","data": "iVBO"}}', CONTENT),
        ('{"executableCode": {"language": "PYTHON","code": "1"}}', CONTENT),
        ('{"text": ""}, {"text": "Hi"}', CONTENT),
        ('{"text": ""}', NOTHING),
        ('{"text": "","thoughtSignature": "CpQC"}', NOTHING),
        ("7", NOTHING),
        ("", NOTHING),
    ],
)
def test_content_is_what_a_model_produced(parts: str, seen: int) -> None:
    assert observe(event(response(candidate(parts))))[1] == [seen]


@pytest.mark.parametrize(
    "data", ["{}", "[]", "7", "null", '{"candidates": 7}', '{"candidates": [7, {"content": 7}, {"content": {"parts": 7}}]}', "x"]
)
def test_what_is_not_understood_is_nothing_and_no_end(data: str) -> None:
    observer, seen = observe(event(data), event('{"candidates": [{"index": "x","finishReason": "STOP"}]}'))

    assert seen == [NOTHING, NOTHING]
    assert observer.error is None
    assert observer.complete(clean=True)


def test_usage_is_what_was_counted_last() -> None:
    """Each chunk counts everything up to itself; most chunks are never read for it."""
    observer, _ = observe(HI, text("a", 2), text("b", 307))

    assert observer.usage == Usage(8, 307)
    observer.feed(text("c", 309))
    assert observer.usage == Usage(8, 309)
    observer.feed(event(response(candidate("", "STOP"))))
    assert observer.usage == Usage(8, 309)


def test_an_ordinary_chunk_costs_no_more_than_one_of_openai_s() -> None:
    gemini, chat = GeminiObserver(1), ChatObserver(1)
    chunk = recordings.delta('"content":"Hi"', rest=',"usage":null,"obfuscation":"a8Fk"')
    gemini.feed(HI)
    gemini.feed(text(" there", 9))  # what a second chunk has in common with the first is remembered
    chat.feed(chunk)

    other = text(" you", 12)
    own = calls(lambda: gemini.feed(other))

    assert own <= calls(lambda: chat.feed(chunk)) + 4


def test_an_ordinary_chunk_that_came_with_others_is_not_parsed_either() -> None:
    observer, _ = observe(HI)
    other = text(" you", 12)

    assert calls(lambda: observer.event(other)) < calls(lambda: GeminiObserver(1).event(other)) / 3


def test_behind_a_chunk_too_large_to_read_the_framing_alone_decides() -> None:
    """An image may be larger than the cap, and its chunk hold the finish reason."""
    image = event(response(candidate(f'{{"inlineData": {{"data": "{"A" * 2 * CAP}"}}}}', "STOP")))

    observer, seen = observe(*(image[at : at + CAP // 4] for at in range(0, len(image), CAP // 4)))

    assert reduce(or_, seen) == CONTENT
    assert observer.splitter.lost == 1
    assert (observer.complete(clean=True), observer.complete(clean=False)) == (True, False)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ('{"code": 429,"status": "RESOURCE_EXHAUSTED"}', "RESOURCE_EXHAUSTED"),
        ('{"code": 500}', "500"),
        ('{"message": "m"}', "error"),
        ('"overloaded"', "error"),
        (f'{{"status": "{"x" * 100}"}}', "x" * 64),
    ],
)
def test_an_error_has_google_s_own_word(error: str, word: str) -> None:
    observer, seen = observe(event(f'{{"error": {error}}}'))

    assert (seen, observer.error) == ([FAILED], word)


# ---- without alt=sse


@pytest.mark.parametrize("seed", range(20))
def test_an_array_is_understood_however_it_is_cut(seed: int) -> None:
    observer = GeminiArrayObserver(1)

    seen = [observer.feed(data) for data in cut_anyhow(ARRAY, seed)]

    assert reduce(or_, seen) == CONTENT
    assert observer.usage == Usage(8, 3)
    assert observer.terminal
    assert (observer.complete(clean=True), observer.complete(clean=False)) == (True, False)


def test_an_array_is_not_complete_before_its_last_bracket() -> None:
    """Wherever it ends and however cleanly."""
    end = ARRAY.rindex(b"]")

    for at in range(end + 1):
        observer = GeminiArrayObserver(1)
        observer.feed(ARRAY[:at])
        assert not observer.complete(clean=True), at


@pytest.mark.parametrize(
    "body",
    [
        f'[{RESPONSES[0]},{{"error": {{"code": 503,"status": "UNAVAILABLE"}}}}]',
        '[{"error": {"code": 503,"status": "UNAVAILABLE"}}]',
        '{"error": {"code": 503,"status": "UNAVAILABLE"}}',
    ],
)
def test_an_array_with_an_error_is_never_complete(body: str) -> None:
    observer = GeminiArrayObserver(1)

    assert observer.feed(body.encode()) & FAILED
    assert observer.error == "UNAVAILABLE"
    assert not observer.complete(clean=True)


def test_an_array_whose_candidate_is_not_finished_is_not_complete() -> None:
    observer = GeminiArrayObserver(1)
    observer.feed(f"[{RESPONSES[0]}]".encode())

    assert not observer.complete(clean=True)


def test_behind_an_element_too_large_to_read_the_framing_alone_decides() -> None:
    observer = GeminiArrayObserver(1)
    image = response(candidate(f'{{"inlineData": {{"data": "{"A" * ELEMENT_CAP}"}}}}', "STOP"), counts(8, 1290))

    seen = observer.feed(f"[{image}]".encode())

    assert seen == CONTENT
    assert observer.splitter.lost == 1
    assert (observer.complete(clean=True), observer.complete(clean=False)) == (True, False)
