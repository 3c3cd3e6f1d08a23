from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_to_gemini import ChatToGemini
from tests.unit.translate.asking import USER, WEATHER, body, call, called, result, source

CHAT_TO_GEMINI = ChatToGemini()
HI = {"role": "user", "parts": [{"text": "Hi"}]}
SCHEMA = {"type": "object", "properties": {}}


def asked(**values: Any) -> dict[str, Any]:
    return body(CHAT_TO_GEMINI, source(**values))


@pytest.mark.parametrize(
    ("model", "stream", "path", "query"),
    [
        ("gemini-2.5-flash", False, b"/v1beta/models/gemini-2.5-flash:generateContent", b""),
        ("gemini-2.5-flash", True, b"/v1beta/models/gemini-2.5-flash:streamGenerateContent", b"?alt=sse"),
        ("a/b:c%", True, b"/v1beta/models/a%2Fb%3Ac%25:streamGenerateContent", b"?alt=sse"),
    ],
)
def test_the_model_is_one_segment_of_the_path_and_a_stream_is_one_of_events(
    model: str, stream: bool, path: bytes, query: bytes
) -> None:
    translated = CHAT_TO_GEMINI.request(source(model=model, stream=stream))

    assert (translated.path, translated.query, translated.headers) == (path, query, ())
    assert translated.body == b'{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}'


def test_a_whole_conversation_with_everything_is_asked() -> None:
    signed = call(extra_content={"google": {"thought_signature": "c2ln"}})
    written = asked(
        messages=[{"role": "system", "content": "Be kind."}, USER, called(signed), result()],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=100,
        temperature=1.5,
        top_p=0.5,
        top_k=9,
        stop=["\n", "END"],
        seed=0,
        presence_penalty=-0.5,
        frequency_penalty=0.25,
        user="u",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    )

    assert written == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            HI,
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2ln"}],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "Sunny"}}}]},
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "weather",
                        "description": "Of a city.",
                        "parametersJsonSchema": {"type": "object", "properties": {"city": {}}},
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "temperature": 1.5,
            "topP": 0.5,
            "topK": 9,
            "maxOutputTokens": 100,
            "stopSequences": ["\n", "END"],
            "seed": 0,
            "presencePenalty": -0.5,
            "frequencyPenalty": 0.25,
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        },
    }


def test_json_needs_no_schema() -> None:
    assert asked(response_format={"type": "json_object"})["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "medium", {"thinkingBudget": 2048, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 4096, "includeThoughts": True}),
        ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 16384, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-3-pro", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3-pro", "max", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
    ],
)
def test_each_generation_is_asked_to_think_in_its_own_way(model: str, effort: str, config: dict[str, Any]) -> None:
    assert asked(model=model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": "gemini-3-pro", "reasoning_effort": "none"}, "reasoning_effort"),
        ({"tools": [WEATHER], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"logprobs": True}, "logprobs"),
        ({"n": 2}, "n"),
    ],
)
def test_what_gemini_has_no_word_for_is_refused_or_left_out(values: dict[str, Any], name: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        asked(**values)

    assert caught.value.param == name
    assert asked(**values, drop=True)["contents"] == [HI]


@pytest.mark.parametrize(("name", "value"), [("seed", 0.5), ("presence_penalty", "high"), ("frequency_penalty", [])])
def test_what_only_gemini_honours_is_checked_too(name: str, value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        asked(**{name: value})

    assert caught.value.param == name
