from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from proxy.dialects.responses import ResponsesObserver
from proxy.sse.observer import CONTENT
from proxy.translate.responses_events import OUTPUT_TEXT, REASONING, REFUSAL, SUMMARY, Growing, Numbered, Part, PartKind
from tests.support.whatwg import Event, events

WHERE = {"item_id": "i", "output_index": 3}


def told(out: bytes) -> list[Any]:
    """Return the data of each event, whose name must be its type."""
    read = [event for event in events(out) if isinstance(event, Event)]
    data = [json.loads(event.data) for event in read]
    assert [event.type for event in read] == [each["type"] for each in data]
    return data


def test_every_event_has_the_next_number() -> None:
    numbered = Numbered()
    growing = Growing(numbered, "output_text", WHERE)

    out = (
        numbered.event("created", {})
        + growing.piece(b"a")
        + growing.piece(b"b")
        + growing.done("text")
        + numbered.event("completed", {})
    )

    assert [each["sequence_number"] for each in told(out)] == [0, 1, 2, 3, 4]


def test_a_text_grows_as_it_was_written_and_is_told_again() -> None:
    numbered = Numbered()
    growing = Growing(numbered, "output_text", {**WHERE, "content_index": 0}, {"logprobs": []})

    one, two, done = told(growing.piece(rb"\u00e9\ud83d") + growing.piece(rb"\ude42") + growing.done("text"))

    assert one["delta"] + two["delta"] != done["text"] == "é🙂"  # two halves are one character only when they are together
    assert done == {
        "type": "response.output_text.done",
        "sequence_number": 2,
        **WHERE,
        "content_index": 0,
        "text": "é🙂",
        "logprobs": [],
    }
    assert numbered.kept == 18
    assert growing.begun


def test_a_piece_is_what_the_proxys_own_observer_takes_for_one() -> None:
    assert ResponsesObserver().feed(Growing(Numbered(), "output_text", WHERE, {"logprobs": []}).piece(b"a")) == CONTENT


@pytest.mark.parametrize(
    ("kind", "names", "part"),
    [
        (
            OUTPUT_TEXT,
            ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"],
            {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
        ),
        (
            REFUSAL,
            ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"],
            {"type": "refusal", "refusal": "a"},
        ),
        (
            REASONING,
            ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
            {"type": "reasoning_text", "text": "a"},
        ),
        (
            SUMMARY,
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
            {"type": "summary_text", "text": "a"},
        ),
    ],
    ids=["text", "refusal", "reasoning", "summary"],
)
def test_each_kind_of_part_has_its_events(kind: PartKind, names: list[str], part: dict[str, Any]) -> None:
    one = Part(Numbered(), kind, WHERE, 2)

    data = told(one.begin() + one.text.piece(b"a") + one.end())

    assert [each["type"] for each in data] == [f"response.{name}" for name in names]
    assert all((each["item_id"], each["output_index"], each[kind.counter]) == ("i", 3, 2) for each in data)
    assert data[0]["part"] == {**part, kind.key: ""}
    assert data[2][kind.key] == "a"
    assert data[3]["part"] == part
    assert orjson.loads(orjson.dumps(one.written())) == part
