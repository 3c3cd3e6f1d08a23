from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.messages import MessagesObserver
from proxy.exchange import Usage
from proxy.translate.messages_events import MessageEvents, usage_object, used_of, whole_message
from tests.support.whatwg import Event, events


def told(out: bytes) -> list[Any]:
    """Return the data of each event, whose name must be its type."""
    read = [event for event in events(out) if isinstance(event, Event)]
    data = [orjson.loads(event.data) for event in read]
    assert [event.type for event in read] == [each["type"] for each in data]
    return data


def test_a_message_begins_empty_with_the_numbers_that_clients_want() -> None:
    (start,) = told(MessageEvents("r1").start("m"))

    assert start["message"] == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1},
    }


def test_each_block_is_begun_filled_and_ended_before_the_next() -> None:
    message = MessageEvents("r1")

    out = message.begin_thinking() + message.piece(b"Hm") + message.begin_text() + message.piece(rb"\u00e9")
    out += message.begin_call("c1", "f") + message.piece(rb"{\"a\":") + message.piece(b"1}") + message.close()

    assert [(each["type"].removeprefix("content_block_"), each["index"]) for each in told(out)] == [
        *[("start", 0), ("delta", 0), ("stop", 0)],
        *[("start", 1), ("delta", 1), ("stop", 1)],
        *[("start", 2), ("delta", 2), ("delta", 2), ("stop", 2)],
    ]
    assert [each["content_block"] for each in told(out) if "content_block" in each] == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
    ]
    assert [each["delta"] for each in told(out) if "delta" in each] == [
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "text_delta", "text": "é"},
        {"type": "input_json_delta", "partial_json": '{"a":'},
        {"type": "input_json_delta", "partial_json": "1}"},
    ]
    assert message.close() == b""


def test_any_other_delta_belongs_to_the_open_block() -> None:
    message = MessageEvents("r1")
    message.begin_text()
    message.begin_thinking()

    (delta,) = told(message.delta({"type": "signature_delta", "signature": "s"}))

    assert delta == {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "s"}}


def test_the_end_closes_the_last_block_and_says_why_and_how_much() -> None:
    message = MessageEvents("r1")
    message.begin_text()

    stop, delta, last = told(message.finish("stop_sequence", Usage(9, 3), "END") + message.stop())

    assert (stop["type"], last["type"]) == ("content_block_stop", "message_stop")
    assert delta["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert delta["usage"] == usage_object(Usage(9, 3))


def test_an_empty_answer_has_one_empty_block_for_clients_that_look_into_it() -> None:
    out = MessageEvents("r1").finish("end_turn", None)

    assert [each["type"] for each in told(out)] == ["content_block_start", "content_block_stop", "message_delta"]
    assert orjson.loads(whole_message("r1", "m", [], {"stop_reason": "end_turn"}, used_of(None)))["content"] == [
        {"type": "text", "text": ""}
    ]


@pytest.mark.parametrize(
    ("usage", "object_"),
    [
        (None, {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}),
        (
            Usage(10, 5, 4, 3, 2),
            {
                "input_tokens": 3,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 4,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 2},
            },
        ),
        (
            Usage(1, 5, 4),  # more from the cache than there was
            {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5},
        ),
    ],
)
def test_input_leaves_out_what_a_cache_held(usage: Usage | None, object_: dict[str, Any]) -> None:
    assert usage_object(usage) == object_


def test_the_proxys_own_observer_understands_what_is_written() -> None:
    message, observer = MessageEvents("r1"), MessagesObserver()
    usage = Usage(10, 5, 4, 3, 2)

    observer.feed(
        message.start("m") + message.begin_text() + message.piece(b"Hi") + message.finish("end_turn", usage) + message.stop()
    )

    assert (observer.terminal, observer.error, observer.usage) == (True, None, usage)


def test_a_whole_message_has_everything() -> None:
    content = [{"type": "text", "text": "\ud83d"}]

    message = orjson.loads(
        whole_message("r1", "m", content, {"stop_reason": "max_tokens"}, used_of(Usage(1, 2))).replace(rb"\ud83d", b"half")
    )

    assert message == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "half"}],
        "stop_reason": "max_tokens",
        "stop_sequence": None,
        "usage": usage_object(Usage(1, 2)),
    }


def test_what_an_answer_cost_stands_in_its_usage_where_that_is_known() -> None:
    assert used_of(Usage(1, 2), lambda usage: 0.5)["cost_usd"] == 0.5
    assert "cost_usd" not in used_of(Usage(1, 2))
    assert b'"cost_usd":0.5' in MessageEvents("r1", lambda usage: 0.5).finish("end_turn", Usage(1, 2))
