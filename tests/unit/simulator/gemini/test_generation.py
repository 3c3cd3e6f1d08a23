from __future__ import annotations

from typing import Any

import pytest

from proxy.simulator.dialect import Part
from tests.unit.simulator.asking import events_of
from tests.unit.simulator.gemini.support import BODY, TOOLS, chunks, parts, streamed, whole

THINKING = {**BODY, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
HIDDEN = {**BODY, "generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}


def configured(**config: Any) -> dict[str, Any]:
    return {**BODY, "generationConfig": config}


def usage(chunk: Any) -> tuple[int, int, int]:
    counts = chunk["usageMetadata"]
    return counts["candidatesTokenCount"], counts.get("thoughtsTokenCount", 0), counts["totalTokenCount"]


def test_stream_is_text_piece_by_piece_and_then_why_it_ended() -> None:
    *pieces, last = chunks(BODY, tokens=3)

    assert [part["text"] != "" for chunk in pieces for part in parts(chunk)] == [True] * 3
    assert all("finishReason" not in chunk["candidates"][0] for chunk in pieces)
    assert (parts(last), last["candidates"][0]["finishReason"]) == ([{"text": ""}], "STOP")
    assert [event.part for event in events_of(streamed(BODY, alt="sse"), tokens=2)] == [Part.TOKEN, Part.TOKEN, Part.END]


def test_every_chunk_names_answer_and_model() -> None:
    told = chunks(BODY, tokens=3)

    assert {(chunk["modelVersion"], chunk["responseId"]) for chunk in told} == {("demo", told[0]["responseId"])}
    assert all(chunk["candidates"][0]["content"]["role"] == "model" for chunk in told)


def test_usage_grows_from_chunk_to_chunk() -> None:
    told = chunks(BODY, tokens=3)

    assert [usage(chunk) for chunk in told] == [(1, 0, 8), (2, 0, 9), (3, 0, 10), (3, 0, 10)]
    assert told[0]["usageMetadata"]["promptTokenCount"] == 7
    assert told[0]["usageMetadata"]["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": 7}]


def test_whole_answer_says_the_same_as_the_stream() -> None:
    answer, told = whole(BODY), chunks(BODY)

    said = "".join(part["text"] for chunk in told for part in parts(chunk))
    assert parts(answer) == [{"text": said}]
    assert "tea" in said
    assert answer["candidates"][0]["finishReason"] == "STOP"
    assert answer["usageMetadata"] == told[-1]["usageMetadata"]
    assert answer["responseId"] == told[0]["responseId"]


def test_thoughts_come_first_and_are_counted_apart() -> None:
    told, answer = chunks(THINKING, tokens=2), whole(THINKING, tokens=2)

    thoughts = sum(part.get("thought", False) for chunk in told for part in parts(chunk))
    assert [usage(chunk)[:2] for chunk in told[:2]] == [(0, 1), (0, 2)]
    assert [usage(chunk) for chunk in (told[-1], answer)] == [(2, thoughts, 9 + thoughts)] * 2
    assert [part.get("thought", False) for part in parts(answer)] == [True, False]


def test_hidden_thoughts_are_counted_and_not_told() -> None:
    told, answer = chunks(HIDDEN, tokens=2), whole(HIDDEN, tokens=2)

    assert usage(told[0])[1] == usage(answer)[1] > 5
    assert len(told) == 3
    assert [part.get("thought") for part in parts(answer)] == [None]


def test_functions_are_called_whole_in_one_chunk_and_end_with_stop() -> None:
    body = {"contents": [{"parts": [{"text": "Use both tools"}]}], "tools": TOOLS}

    calls, last = chunks(body)

    weather, clock = (part["functionCall"] for part in parts(calls))
    assert (weather["name"], clock["name"]) == ("weather", "clock")
    assert weather["args"].keys() == {"city"}
    assert clock["args"] == {}
    assert weather["id"] != clock["id"]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert parts(whole(body)) == parts(calls)
    assert usage(calls) == usage(last)


def test_call_that_thoughts_led_to_is_signed() -> None:
    plain, thought = (parts(whole({**body, "tools": TOOLS}))[-1] for body in (BODY, THINKING))

    assert "thoughtSignature" not in plain
    assert thought["thoughtSignature"]


def test_candidates_are_told_in_turn() -> None:
    body = configured(candidateCount=2)

    told, answer = chunks(body, tokens=2), whole(body, tokens=2)

    assert [chunk["candidates"][0]["index"] for chunk in told] == [0, 1] * 3
    assert [usage(chunk)[0] for chunk in told] == [1, 2, 3, 4, 4, 4]
    assert [candidate["index"] for candidate in answer["candidates"]] == [0, 1]
    assert answer["candidates"][0]["content"] != answer["candidates"][1]["content"]


def test_limit_of_tokens_ends_the_answer() -> None:
    body = configured(maxOutputTokens=4)

    assert chunks(body)[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert usage(whole(body))[0] == 4


def test_thoughts_that_leave_no_room_for_words_leave_no_parts() -> None:
    answer = whole(configured(maxOutputTokens=2, thinkingConfig={"thinkingBudget": -1}))

    assert answer["candidates"][0]["content"] == {"role": "model"}


def test_answer_ends_before_a_stop_sequence() -> None:
    words = parts(whole(BODY))[0]["text"].split()

    answer = whole(configured(stopSequences=[words[6]]))

    assert parts(answer)[0]["text"].split() == words[:6]


@pytest.mark.parametrize(("body", "cached"), [(BODY, None), ({**BODY, "cachedContent": "cachedContents/x"}, 2048)])
def test_tokens_from_the_cache_are_told(body: Any, cached: int | None) -> None:
    assert whole(body)["usageMetadata"].get("cachedContentTokenCount") == cached


def test_huge_piece_costs_what_it_is_billed_for() -> None:
    told = chunks(BODY, tokens=6, size=160_000)

    assert usage(told[-1])[0] == usage(told[-2])[0] == usage(whole(BODY, tokens=6, size=160_000))[0] == 10_007
