from __future__ import annotations

import orjson

from proxy.errors import Kind
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.gemini.content import read_count, read_generate
from tests.unit.simulator.asking import call, events_of, stream_of, whole_of
from tests.unit.simulator.gemini.support import BODY, streamed

FAILURE = Failure(status=503, kind=Kind.SERVER, message="Oh.")


def test_model_is_the_one_in_the_path() -> None:
    assert read_generate(call(BODY, model="demo-stall")).model == "demo-stall"
    assert read_count(call(BODY, model="demo-stall")).model == "demo-stall"


def test_tokens_are_counted() -> None:
    counted = whole_of(read_count(call(BODY, model="demo")))

    assert counted == {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]}


def test_events_have_data_only_and_end_in_crlf() -> None:
    answer = streamed(BODY, alt="sse")

    for event in events_of(answer, tokens=2):
        assert event.bytes.startswith(b'data: {"candidates":')
        assert event.bytes.endswith(b"}\r\n\r\n")
    assert stream_of(answer).content_type == "text/event-stream"


def test_idle_stream_sends_empty_lines_and_no_comment() -> None:
    assert stream_of(streamed(BODY, alt="sse")).idle == b"\r\n"


def test_error_event_is_an_event_without_a_name() -> None:
    frame = stream_of(streamed(BODY, alt="sse")).error_event(FAILURE, 3)

    assert frame == b'data: {"error":{"code":503,"message":"Oh.","status":"UNAVAILABLE"}}\r\n\r\n'


def test_without_server_sent_events_the_stream_is_one_json_array() -> None:
    answer = streamed(BODY)
    told = events_of(answer, tokens=2)

    array = orjson.loads(b"".join(event.bytes for event in told))
    assert stream_of(answer).content_type == "application/json"
    assert [chunk["responseId"] for chunk in array] == [array[0]["responseId"]] * 3
    assert [event.part for event in told] == [Part.TOKEN, Part.TOKEN, Part.END, Part.END]


def test_idle_array_stays_json() -> None:
    stream = stream_of(streamed(BODY))

    assert orjson.loads(stream.idle * 3 + stream.error_event(FAILURE, 0))


def test_error_is_the_last_element_of_an_array() -> None:
    answer = streamed(BODY)
    first = events_of(answer, tokens=2)[0].bytes

    alone = orjson.loads(stream_of(answer).error_event(FAILURE, 0))
    after = orjson.loads(first + stream_of(answer).error_event(FAILURE, 1))

    assert [element.keys() for element in alone] == [{"error"}]
    assert [("error" in element) for element in after] == [False, True]
