from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Failure, Part
from proxy.simulator.openai.completions import read_completion
from tests.unit.simulator.openai.support import BORN, call, chunks, frames, whole

BODY = {"model": "demo", "prompt": "All about tea"}


def test_stream_is_text_then_finish_then_done() -> None:
    *texts, last, done = chunks(read_completion, BODY, tokens=4)

    assert [choice["finish_reason"] for text in texts for choice in text["choices"]] == [None] * 4
    assert last["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert {part["object"] for part in [*texts, last]} == {"text_completion"}
    assert {part["id"] for part in [*texts, last]} == {last["id"]}
    assert done == "[DONE]"
    assert [part for _, part in frames(read_completion, BODY, tokens=1)] == [Part.TOKEN, Part.END, Part.END]


def test_whole_answer_says_the_same_as_the_stream() -> None:
    answer = whole(read_completion, BODY)
    *texts, _, _ = chunks(read_completion, BODY)

    assert answer["choices"][0]["text"] == "".join(text["choices"][0]["text"] for text in texts)
    assert (answer["object"], answer["created"]) == ("text_completion", BORN)
    assert answer["usage"]["completion_tokens"] == len(texts)


def test_usage_comes_in_a_chunk_of_its_own_before_done() -> None:
    *parts, usage, _ = chunks(read_completion, {**BODY, "stream_options": {"include_usage": True}}, tokens=3)

    assert [part["usage"] for part in parts] == [None] * 4
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)


def test_limit_of_tokens_ends_the_answer_with_length() -> None:
    answer = whole(read_completion, {**BODY, "max_tokens": 2})

    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 2)


def test_each_prompt_gets_its_choices() -> None:
    answer = whole(read_completion, {**BODY, "prompt": ["On tea", "On milk"], "n": 2})

    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert ["tea" in text for text in texts] == [True, True, False, False]


def test_prompt_of_numbers_is_answered() -> None:
    assert whole(read_completion, {**BODY, "prompt": [1, 2, 3]})["choices"][0]["text"]


def test_error_event_is_what_every_client_recognises() -> None:
    stream = read_completion(call({**BODY, "stream": True})).stream
    assert stream is not None

    assert stream.error_event(Failure(status=500, kind=Kind.SERVER, message="Oh."), 0).startswith(
        b'data: {"error":{"message":"Oh."'
    )


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["x"] * 65, "n": 2}, "prompt"),
        ({"model": ""}, "model"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_completion(call({**BODY, **change}))

    assert refused.value.param == param
