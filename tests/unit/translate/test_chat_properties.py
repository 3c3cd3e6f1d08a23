"""Whatever stands where something else should: nothing fails but in the agreed ways, and no end is invented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.eventstream import encode
from proxy.errors import BadRequest, UpstreamMalformed
from proxy.translate.base import Back, Translator
from proxy.translate.chat_to_converse import ChatToConverse
from proxy.translate.chat_to_gemini import ChatToGemini
from proxy.translate.chat_to_messages import ChatToMessages
from tests.support.golden import golden, translated
from tests.unit.translate.asking import USER, WEATHER, call, called, result, source

TRANSLATORS: Final[dict[str, Translator]] = {each.target: each for each in (ChatToMessages(), ChatToConverse(), ChatToGemini())}
WRONG: Final[tuple[Any, ...]] = (None, True, 7, 1 << 70, "", "\ud83d", [], [7], {}, {"x": []})
TERMINAL: Final = {"messages": (b"message_stop",), "converse": (b"messageStop",), "gemini": (b"finishReason", b"blockReason")}
PNG: Final = "data:image/png;base64,AA=="
PDF: Final = "data:application/pdf;base64,AA=="
THOUGHTS: Final = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
EVERYTHING: Final[dict[str, Any]] = {
    "messages": [
        {
            "role": "system",
            "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
            ],
        },
        called(call(extra_content={"google": {"thought_signature": "s"}}), thinking_blocks=THOUGHTS, refusal="No."),
        result([{"type": "text", "text": "Sunny"}]),
        USER,
    ],
    "tools": [WEATHER],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "parallel_tool_calls": True,
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 1,
    "top_k": 3,
    "stop": ["END"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}}},
    "user": "u",
    "stream_options": {"include_usage": True},
}
each_api = pytest.mark.parametrize("api", TRANSLATORS)


def wrongly(value: Any) -> Iterator[Any]:
    """Yield *value* with each value in it replaced by each wrong one, and with each member left out."""
    yield from WRONG
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        for other in wrongly(inner):
            changed = value.copy()
            changed[key] = other
            yield changed
        if isinstance(value, dict):
            yield {name: each for name, each in value.items() if name != key}


def pieces(api: str, recording: bytes) -> Iterator[tuple[str, Any]]:
    """Yield name and payload of each event of a recording that can be read."""
    lines = recording.replace(b"\r\n", b"\n").split(b"\n" if api == "converse" else b"\n\n")
    for line in lines:
        head, _, payload = line.partition(b" {" if api == "converse" else b"data: {")
        try:
            yield head.decode().removeprefix("event: ").strip(), json.loads(b"{" + payload)
        except ValueError:
            continue


def written(api: str, name: str, payload: Any) -> bytes:
    data = json.dumps(payload).encode()
    if api == "converse":
        kind = "exception" if name.startswith("!") else "event"
        return encode({f":{kind}-type": name.removeprefix("!"), ":message-type": kind}, data)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data) if name else b"data: %b\r\n\r\n" % data


def back(api: str, **values: Any) -> Back:
    return TRANSLATORS[api].request(source(stream=True, tools=[WEATHER], **values)).back


def recorded(api: str) -> Iterator[list[tuple[str, Any]]]:
    return (list(pieces(api, recording.upstream)) for recording in golden(api, f"{api}_to_chat"))


@each_api
def test_whatever_stands_in_an_event_whole_events_come_out_and_no_end_but_the_upstreams(api: str) -> None:
    asking = back(api, stream_options={"include_usage": True})
    tried = 0
    for events in recorded(api):
        good = [written(api, *event) for event in events]
        for number, (name, payload) in enumerate(events):
            for wrong in wrongly(payload):
                tried += 1
                out = translated(asking.events(), [*good[:number], written(api, name, wrong), *good[number + 1 :]])

                assert not out or out.endswith(b"\n\n")
                assert out.count(b"data: [DONE]") + out.count(b'data: {"error"') <= 1
                if not any(word in b"".join(good) for word in TERMINAL[api]):
                    assert b"[DONE]" not in out
    assert tried > 1000


@each_api
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_bytes_of_any_kind_are_borne(api: str, sent: bytes, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(sent) + 1) for place in places), len(sent)]

    out = translated(back(api).events(), [sent[start:end] for start, end in pairwise(edges)])

    assert b"[DONE]" not in out


WHOLE: Final[dict[str, Any]] = {
    "messages": {
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}},
    },
    "converse": {
        "output": {
            "message": {
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
                    {"reasoningContent": {"redactedContent": "x"}},
                    {"text": "Hi"},
                    {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                ]
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 1, "outputTokens": 2},
    },
    "gemini": {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Hm", "thought": True},
                        {"text": "Hi"},
                        {"functionCall": {"id": "t", "name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
                        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                    ]
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2},
        "modelVersion": "m",
    },
}


@each_api
def test_whatever_stands_in_a_whole_answer_it_is_told_or_malformed(api: str) -> None:
    told = 0
    for wrong in wrongly(WHOLE[api]):
        try:
            answer = back(api).whole(json.dumps(wrong).encode())
        except UpstreamMalformed:
            continue
        told += 1
        assert json.loads(answer)["object"] == "chat.completion"
    assert told


@each_api
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "nova"])
def test_whatever_stands_in_a_request_it_is_put_or_refused_by_name(api: str, model: str) -> None:
    refused: list[BadRequest] = []
    for wrong in wrongly(EVERYTHING):
        if not isinstance(wrong, dict):
            continue  # no request at all: it does not come so far
        try:
            json.loads(TRANSLATORS[api].request(source(model=model, **wrong)).body)
        except BadRequest as error:
            refused.append(error)

    assert len(refused) > 500
    assert all(error.param and f"'{error.param}'" in error.public for error in refused)
