from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.responses import ResponsesObserver
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.chat_as_responses import ChatAsResponses, error_object
from proxy.translate.responses_object import ResponseObject
from tests.support.golden import Golden, assert_cuts_change_nothing, golden, translated
from tests.unit.dialects.recordings import calls
from tests.unit.translate.responses_asking import source
from tests.unit.translate.test_responses_events import told

BACK = ChatAsResponses(ResponseObject.of(source(model="gpt-test")), summary=False)
STREAMS = golden("chat", "chat_as_responses")
UNFINISHED = {"truncated", "truncated_in_a_tool"}


def recorded(name: str) -> bytes:
    (stream,) = (each for each in STREAMS if each.name == name)
    return stream.upstream


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    answer = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    read = orjson.loads(BACK.whole(orjson.dumps(answer)))
    assert isinstance(read, dict)
    return read


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_as_agreed(stream: Golden) -> None:
    made = translated(BACK.events(), [stream.upstream])

    assert made.decode() == stream.expected(made).decode()


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_recorded_stream_is_told_alike_however_it_is_cut(stream: Golden) -> None:
    assert_cuts_change_nothing(BACK.events, stream.upstream)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_events_are_numbered_without_a_gap(stream: Golden) -> None:
    numbers = [each["sequence_number"] for each in told(translated(BACK.events(), [stream.upstream]))]

    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_the_client_sees_an_end_or_an_error_only_where_there_was_one(stream: Golden) -> None:
    observer = ResponsesObserver()

    observer.feed(translated(BACK.events(), [stream.upstream]))

    failed = stream.name.startswith("error") or stream.name == "unreadable"
    assert (observer.error is not None) is failed
    assert observer.terminal is (stream.name not in UNFINISHED)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_the_last_event_holds_the_items_as_they_were_told(stream: Golden) -> None:
    """Clients pair the items of the stream with those of its end."""
    events = told(translated(BACK.events(), [stream.upstream]))
    done = {each["output_index"]: each["item"] for each in events if each["type"] == "response.output_item.done"}
    added = [each["output_index"] for each in events if each["type"] == "response.output_item.added"]

    output = events[-1].get("response", {}).get("output", [])

    assert added == list(range(len(added)))
    assert output == [done[index] for index in sorted(done)]


@pytest.mark.parametrize(
    ("name", "usage"), [("usage", Usage(9, 3, 4, 2, 1)), ("text", None), ("parts", Usage(5, 2)), ("reasoning", Usage(8, 5, 6))]
)
def test_the_usage_is_told_to_the_proxy_and_to_the_client(name: str, usage: Usage | None) -> None:
    translator, observer = BACK.events(), ResponsesObserver()

    observer.feed(translated(translator, [recorded(name)]))

    assert translator.usage == usage
    assert (observer.usage is None) is (usage is None)
    assert (
        usage is None
        or observer.usage is None
        or (observer.usage.tokens_in, observer.usage.tokens_out) == (usage.tokens_in, usage.tokens_out)
    )


@pytest.mark.parametrize(
    ("name", "kind", "details"),
    [
        ("text", "response.completed", None),
        ("not_done", "response.completed", None),
        ("length", "response.incomplete", {"reason": "max_output_tokens"}),
        ("filtered", "response.incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_end_says_whether_the_answer_is_complete(name: str, kind: str, details: object) -> None:
    last = told(translated(BACK.events(), [recorded(name)]))[-1]

    assert (last["type"], last["response"]["incomplete_details"]) == (kind, details)
    assert last["response"]["status"] == kind.removeprefix("response.")
    assert last["response"]["output"][-1]["status"] == kind.removeprefix("response.")


def test_a_failure_after_the_beginning_is_the_responses_own() -> None:
    last = told(translated(BACK.events(), [recorded("error_late")]))[-1]

    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "server_error", "message": "out of memory"}


def test_a_failure_at_the_beginning_is_an_error_and_no_response() -> None:
    (only,) = told(translated(BACK.events(), [recorded("error_first")]))

    assert only == {
        "type": "error",
        "sequence_number": 0,
        "error": {"type": "server_error", "param": None, "code": "overloaded", "message": "The server is overloaded."},
    }


def test_a_piece_behind_the_end_of_its_call_is_none() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
    call = b'{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}'
    late = b'{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}'
    translator = BACK.events()

    translator.feed(chunk % (call, b'"tool_calls"'))

    assert translator.feed(chunk % (late, b"null")) == b""


def test_a_piece_of_text_like_the_one_before_takes_few_steps() -> None:
    chunks = [event + b"\n\n" for event in recorded("text").split(b"\n\n")]
    translator = BACK.events()
    for chunk in chunks[:2]:
        translator.feed(chunk)

    assert calls(lambda: translator.feed(chunks[2])) < 20


def test_a_whole_answer_is_a_whole_response() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm", "tool_calls": [call]}

    response = whole(message, "tool_calls", usage={"prompt_tokens": 9, "completion_tokens": 3})

    assert (response["id"], response["status"], response["model"]) == ("resp_r1", "completed", "m")
    assert response["output"] == [
        {"id": "rs_r1_0", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {
            "id": "msg_r1_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}],
        },
        {"id": "fc_r1_2", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
    ]
    assert response["usage"]["total_tokens"] == 12


def test_a_whole_answer_that_was_cut_short_is_incomplete() -> None:
    response = whole({"content": "Ye"}, "length")

    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert response["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}', b'{"error":{"message":"no"},"choices":[{}]}']
)
def test_an_answer_that_says_nothing_is_malformed(answer: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        BACK.whole(answer)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error":{"message":"no","type":"t","param":"p","code":"c"}}',
            {"message": "no", "type": "t", "param": "p", "code": "c"},
        ),
        (
            b'{"object":"error","message":"flat","code":40}',
            {"message": "flat", "type": "server_error", "param": None, "code": 40},
        ),
        (
            b"<html>",
            {"message": "The model's backend reported an error.", "type": "server_error", "param": None, "code": None},
        ),
    ],
)
def test_an_error_answer_is_the_same_in_both_apis(body: bytes, error: dict[str, Any]) -> None:
    status, made = BACK.error(418, body)

    assert status == 418
    assert orjson.loads(made) == {"error": error}


def test_an_error_in_one_word_is_an_object_with_a_message() -> None:
    assert error_object("busy") == {"type": "server_error", "param": None, "code": None, "message": "busy"}
