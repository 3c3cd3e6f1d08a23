from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.openai.responses import read_response
from tests.unit.simulator.openai.support import BORN, call, chunks, frames, whole

BODY = {"model": "demo", "input": "Tell me about tea"}
TOOLS = [
    {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    {"type": "function", "name": "clock", "parameters": None},
]
FAILURE = Failure(status=500, kind=Kind.SERVER, message="Oh.", code="overloaded")


def kinds(body: Any, **shape: int) -> list[str]:
    return [event["type"] for event in chunks(read_response, body, **shape)]


def test_events_of_a_text_come_in_order() -> None:
    assert kinds(BODY, tokens=2) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_every_event_is_named_and_numbered() -> None:
    events = chunks(read_response, BODY, tokens=3)
    names = [frame.split(b"\n")[0].decode() for frame, _ in frames(read_response, BODY, tokens=3)]

    assert names == [f"event: {event['type']}" for event in events]
    assert [event["sequence_number"] for event in events] == [*range(len(events))]


def test_only_deltas_are_content_and_the_last_event_is_the_end() -> None:
    parts = [part for _, part in frames(read_response, BODY, tokens=2)]

    assert parts == [*[Part.FRAME] * 4, Part.TOKEN, Part.TOKEN, *[Part.FRAME] * 3, Part.END]


def test_stream_ends_with_what_the_whole_answer_is() -> None:
    events = chunks(read_response, BODY)
    answer = whole(read_response, BODY)

    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    (message,) = answer["output"]
    assert events[-1]["response"] == answer
    assert message["content"] == [{"type": "output_text", "text": said, "annotations": [], "logprobs": []}]
    assert (message["status"], answer["status"], answer["created_at"]) == ("completed", "completed", BORN)
    assert answer["id"] == events[0]["response"]["id"]
    assert events[0]["response"]["status"] == "in_progress"
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    assert "tea" in said


def test_limit_of_tokens_makes_the_response_incomplete() -> None:
    body = {**BODY, "max_output_tokens": 3}
    answer = whole(read_response, body)

    assert kinds(body)[-1] == "response.incomplete"
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (answer["output"][0]["status"], answer["usage"]["output_tokens"]) == ("incomplete", 3)
    assert answer["max_output_tokens"] == 3


def test_thinking_model_sends_a_reasoning_item_first() -> None:
    body = {**BODY, "model": "demo-think"}
    answer = whole(read_response, body)
    events = chunks(read_response, body)

    thought = "".join(event["delta"] for event in events if event["type"] == "response.reasoning_summary_text.delta")
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]
    assert answer["output"][0]["summary"] == [{"type": "summary_text", "text": thought}]
    assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] > 5
    assert kinds(body).index("response.reasoning_summary_part.done") < kinds(body).index("response.output_text.delta")


def test_tool_call_is_an_item_with_streamed_arguments() -> None:
    body = {**BODY, "tools": TOOLS}
    events = chunks(read_response, body)
    (item,) = whole(read_response, body)["output"]

    deltas = [event for event in events if event["type"] == "response.function_call_arguments.delta"]
    (done,) = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert (item["type"], item["name"], item["status"]) == ("function_call", "weather", "completed")
    assert item["call_id"].startswith("call_")
    assert item["arguments"] == done["arguments"] == "".join(event["delta"] for event in deltas)
    assert orjson.loads(item["arguments"]).keys() == {"city"}
    assert {(event["item_id"], event["output_index"]) for event in [*deltas, done]} == {(item["id"], 0)}
    assert [event["item"]["arguments"] for event in events if event["type"] == "response.output_item.added"] == [""]


def test_two_tools_are_called_when_asked_for() -> None:
    answer = whole(read_response, {**BODY, "input": "Use both tools", "tools": TOOLS})

    assert [item["name"] for item in answer["output"]] == ["weather", "clock"]
    assert len({item["id"] for item in answer["output"]}) == 2


def test_call_cut_by_the_limit_is_incomplete() -> None:
    answer = whole(read_response, {**BODY, "tools": TOOLS, "max_output_tokens": 2})

    assert [item["status"] for item in answer["output"]] == ["incomplete"]


def test_answer_to_a_tool_result_is_in_words() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather for tea"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "21 degrees"},
    ]

    (item,) = whole(read_response, {"model": "demo", "input": items, "tools": TOOLS})["output"]

    assert item["type"] == "message"
    assert "tea" in item["content"][0]["text"]


@pytest.mark.parametrize(
    ("form", "keys"),
    [
        ({"type": "json_object"}, {"answer", "sure"}),
        ({"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {"x": {"type": "integer"}}}}, {"x"}),
    ],
)
def test_structured_answer_is_json_of_the_wanted_form(form: Any, keys: set[str]) -> None:
    (message,) = whole(read_response, {**BODY, "text": {"format": form}})["output"]

    assert orjson.loads(message["content"][0]["text"]).keys() == keys


def test_response_repeats_what_was_asked() -> None:
    asked = {"instructions": "Be brief", "temperature": 0.2, "metadata": {"k": "v"}, "tools": TOOLS, "tool_choice": "none"}

    answer = whole(read_response, {**BODY, **asked})

    assert {name: answer[name] for name in asked} == asked
    assert answer["parallel_tool_calls"] is True


def test_error_as_first_event_is_flat() -> None:
    stream = read_response(call({**BODY, "stream": True})).stream
    assert stream is not None

    assert stream.error_event(FAILURE, 0) == (
        b'event: error\ndata: {"type":"error","sequence_number":0,"code":"overloaded","message":"Oh.","param":null}\n\n'
    )


def test_error_in_the_middle_fails_the_response() -> None:
    stream = read_response(call({**BODY, "stream": True})).stream
    assert stream is not None

    name, data = stream.error_event(FAILURE, 7).removesuffix(b"\n\n").split(b"\ndata: ")

    event = orjson.loads(data)
    assert name == b"event: response.failed"
    assert (event["sequence_number"], event["response"]["status"]) == (7, "failed")
    assert event["response"]["error"] == {"code": "server_error", "message": "Oh."}
    assert event["response"]["id"] == whole(read_response, BODY)["id"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["text"]}, "input"),
        ({"background": True}, "background"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"text": 5}, "text"),
        ({"stream": 1}, "stream"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_response(call({**BODY, **change}))

    assert refused.value.param == param
