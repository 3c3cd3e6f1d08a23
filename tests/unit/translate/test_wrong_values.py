"""Whatever stands where something else should, in messages and responses: nothing fails but in the agreed ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, UpstreamMalformed
from proxy.translate.base import Source, Translator
from proxy.translate.messages_as_chat import MessagesAsChat
from proxy.translate.messages_as_converse import MessagesAsConverse
from proxy.translate.responses_as_chat import ResponsesAsChat
from tests.support.golden import golden, translated
from tests.unit.translate import messages_asking as messages
from tests.unit.translate import responses_asking as responses
from tests.unit.translate.test_chat_properties import WHOLE, pieces, written, wrongly

MESSAGE: Final[dict[str, Any]] = {
    "max_tokens": 9,
    "system": [messages.text("Be kind.", cache_control={"type": "ephemeral", "ttl": "1h"})],
    "messages": [
        messages.user(messages.text("Hi"), messages.image(), messages.document() | {"title": "t", "context": "c"}),
        messages.assistant(
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            messages.call(city="Rome"),
        ),
        messages.user(messages.result([messages.text("Sunny"), messages.image()], is_error=True)),
    ],
    "tools": [messages.WEATHER],
    "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_p": 1,
    "metadata": {"user_id": "u"},
    "service_tier": "standard_only",
}
RESPONSE: Final[dict[str, Any]] = {
    "instructions": "Be kind.",
    "input": [
        responses.message("user", responses.text("Hi"), {"type": "input_image", "image_url": "https://x", "detail": "low"}),
        {"type": "reasoning", "summary": []},
        responses.call(),
        responses.output([responses.text("Sunny")]),
        responses.message("user", {"type": "input_file", "file_data": "data:application/pdf;base64,cGRm", "filename": "f"}),
    ],
    "tools": [responses.WEATHER],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
    "parallel_tool_calls": False,
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "max_output_tokens": 9,
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "user": "u",
    "service_tier": "flex",
}
ANSWERS: Final = {
    "chat": {
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": [{"type": "thinking", "thinking": [{"text": "Hm"}]}, {"type": "text", "text": "Hi"}],
                    "refusal": "No",
                    "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    },
    "converse": WHOLE["converse"],
}
PAIRS: Final[list[tuple[Translator, dict[str, Any]]]] = [
    (MessagesAsChat(), MESSAGE),
    (MessagesAsConverse(), MESSAGE),
    (ResponsesAsChat(), RESPONSE),
]
each_pair = pytest.mark.parametrize(("pair", "asked"), PAIRS, ids=[f"{pair.source} {pair.target}" for pair, _ in PAIRS])
ENDS: Final = (b"event: message_stop", b"event: response.completed", b"event: response.incomplete")
ERRORS: Final = (b"event: error", b"event: response.failed")


def source(values: dict[str, Any], *, model: str = "claude-x") -> Source:
    return Source(values=values, model=model, stream=True, request_id="r1", now=1763712000)


def recorded(api: str) -> Iterator[list[tuple[str, Any]]]:
    return (list(pieces(api, recording.upstream)) for recording in golden(api, ""))


@each_pair
def test_a_request_with_everything_in_it_is_put(pair: Translator, asked: dict[str, Any]) -> None:
    assert json.loads(pair.request(source(asked)).body)


@each_pair
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "nova"])
def test_whatever_stands_in_a_request_it_is_put_or_refused_by_name(pair: Translator, asked: dict[str, Any], model: str) -> None:
    refused: list[BadRequest] = []
    for wrong in wrongly(asked):
        if not isinstance(wrong, dict):
            continue  # no request at all: it does not come so far
        try:
            json.loads(pair.request(source(wrong, model=model)).body)
        except BadRequest as error:
            refused.append(error)

    assert len(refused) > 300
    assert all(error.param for error in refused)


@each_pair
def test_whatever_stands_in_an_event_whole_events_come_out_and_one_end_at_most(pair: Translator, asked: dict[str, Any]) -> None:
    back, tried = pair.request(source(asked)).back, 0
    for events in recorded(pair.target):
        good = [written(pair.target, *event) for event in events]
        for number, (name, payload) in enumerate(events):
            for wrong in wrongly(payload):
                tried += 1
                out = translated(back.events(), [*good[:number], written(pair.target, name, wrong), *good[number + 1 :]])

                assert not out or out.endswith(b"\n\n")
                assert sum(out.count(word) for word in (*ENDS, *ERRORS)) <= 1
    assert tried > 1000


@each_pair
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_bytes_of_any_kind_are_borne(pair: Translator, asked: dict[str, Any], sent: bytes, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]

    out = translated(pair.request(source(asked)).back.events(), [sent[start:end] for start, end in pairwise(edges)])

    assert not any(word in out for word in ENDS)


@each_pair
def test_whatever_stands_in_a_whole_answer_it_is_told_or_malformed(pair: Translator, asked: dict[str, Any]) -> None:
    back, told = pair.request(source(asked)).back, 0
    for wrong in wrongly(ANSWERS[pair.target]):
        try:
            answer = back.whole(json.dumps(wrong).encode())
        except UpstreamMalformed:
            continue
        told += 1
        assert json.loads(answer)["id"] in ("msg_r1", "resp_r1")
    assert told


@each_pair
@given(st.integers(400, 599), st.binary(max_size=100))
def test_whatever_an_error_answer_says_it_is_told_as_an_error(
    pair: Translator, asked: dict[str, Any], status: int, body: bytes
) -> None:
    code, told = pair.request(source(asked)).back.error(status, body)

    assert 400 <= code < 600
    assert json.loads(told)["error"]["message"]
