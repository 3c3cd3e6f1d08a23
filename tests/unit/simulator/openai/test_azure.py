from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, Kind, NotFound
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.openai import azure
from tests.unit.simulator.asking import Read, call, events_of, stream_of, whole_of

HELLO = [{"role": "user", "content": "Tell me about tea"}]
CHAT = {"messages": HELLO, "model": "ignored"}
COMPLETION = {"prompt": "Tell me about tea"}
SAFE = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}

BOTH = pytest.mark.parametrize(("read", "body"), [(azure.read_deployed_chat, CHAT), (azure.read_deployed_completion, COMPLETION)])


def asked(read: Read, body: Any) -> Any:
    return read(call(body, query={"api-version": "2024-10-21"}, deployment="demo"))


def chunks(read: Read, body: Any) -> list[Any]:
    frames = [event.bytes for event in events_of(asked(read, {**body, "stream": True}), tokens=2)]
    assert frames[-1] == b"data: [DONE]\n\n"
    return [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]


@BOTH
def test_stream_begins_with_a_chunk_about_the_prompt_without_choices(read: Read, body: Any) -> None:
    first, *_ = chunks(read, body)

    (result,) = first.pop("prompt_filter_results")
    assert first == {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    assert result["prompt_index"] == 0
    assert result["content_filter_results"]["jailbreak"] == {"filtered": False, "detected": False}


@BOTH
def test_words_in_a_choice_are_judged_and_nothing_else_is(read: Read, body: Any) -> None:
    choices = [chunk["choices"][0] for chunk in chunks(read, body)[1:]]

    judged = [choice["content_filter_results"] for choice in choices]
    assert judged.count(SAFE) == 2
    assert judged[-1] == {}
    assert [choice["finish_reason"] for choice in choices][-1] == "stop"


@BOTH
def test_parts_of_a_stream_stay_what_they_were(read: Read, body: Any) -> None:
    parts = [event.part for event in events_of(asked(read, {**body, "stream": True}), tokens=2)]

    assert (parts[0], parts[-2:]) == (Part.FRAME, [Part.END, Part.END])
    assert parts.count(Part.TOKEN) == 2


@BOTH
def test_whole_answer_is_judged_too(read: Read, body: Any) -> None:
    answer = whole_of(asked(read, body))

    assert answer["model"] == "demo"
    assert answer["prompt_filter_results"][0]["prompt_index"] == 0
    assert answer["choices"][0]["content_filter_results"] == SAFE
    assert asked(read, body).stream is None


def test_deployment_in_the_path_is_the_model_whatever_the_body_says() -> None:
    assert asked(azure.read_deployed_chat, CHAT).model == "demo"
    assert whole_of(asked(azure.read_deployed_embeddings, {"input": "tea"}))["model"] == "demo"


def test_stream_has_the_media_type_and_errors_of_openai_and_is_silent_while_idle() -> None:
    stream = stream_of(asked(azure.read_deployed_chat, {**CHAT, "stream": True}))

    assert stream.content_type.startswith("text/event-stream")
    assert stream.idle == b""
    assert stream.error_event(Failure(status=500, kind=Kind.SERVER, message="Oh."), 3).startswith(b'data: {"error":{')


@pytest.mark.parametrize("read", [azure.read_deployed_chat, azure.read_deployed_completion, azure.read_deployed_embeddings])
def test_version_of_the_api_is_required(read: Read) -> None:
    with pytest.raises(NotFound, match="api-version"):
        read(call({}, deployment="demo"))


def test_wrong_field_is_refused_as_openai_does() -> None:
    with pytest.raises(BadRequest) as refused:
        asked(azure.read_deployed_chat, {"messages": []})

    assert refused.value.param == "messages"


def test_error_of_the_gateway_has_its_status_for_a_code_and_the_wait_in_two_units() -> None:
    refusal = azure.refuse(Failure(status=429, kind=Kind.RATE_LIMIT, message="Oh.", code="x", retry_after=1.5), "ab12")

    assert orjson.loads(refusal.body) == {"error": {"code": "429", "message": "Oh."}}
    assert refusal.headers == {"Retry-After": "1.5", "retry-after-ms": "1500"}


def test_error_without_a_wait_has_no_headers_for_it() -> None:
    assert azure.refuse(Failure(status=500, kind=Kind.SERVER, message="Oh."), "ab12").headers == {}


def test_error_of_the_model_is_openais() -> None:
    refusal = azure.refuse(Failure(status=400, kind=Kind.INVALID_REQUEST, message="Oh.", param="n"), "ab12")

    assert orjson.loads(refusal.body)["error"]["type"] == "invalid_request_error"


def test_headers_are_those_of_azure() -> None:
    headers = azure.headers("ab12", 12)

    assert headers["apim-request-id"] == headers["x-request-id"] == "ab12"
    assert headers.keys() == {
        "apim-request-id",
        "x-request-id",
        "x-ms-region",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-remaining-tokens",
    }
