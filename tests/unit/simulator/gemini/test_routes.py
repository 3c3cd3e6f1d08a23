"""Whatever JSON comes in, every endpoint either answers or refuses in the agreed way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from proxy.simulator.gemini import ROUTES
from tests.unit.simulator.generated import holds_its_ground, json, nearly

SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "days": {"type": "ARRAY", "items": {"type": "INTEGER"}}}}
FUNCTION = {"name": "weather", "parameters": SCHEMA}
BODIES = [
    {
        "contents": [
            {"role": "user", "parts": [{"text": "Use both tools"}, {"inlineData": {"mimeType": "image/png", "data": ""}}]}
        ],
        "systemInstruction": {"parts": [{"text": "Be brief"}]},
        "tools": [{"functionDeclarations": [FUNCTION, {"name": "clock", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "generationConfig": {"candidateCount": 2, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": -1}},
    },
    {
        "contents": [
            {"parts": [{"text": "Use it"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": "eA=="}]},
            {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"degrees": 3}}}]},
        ],
        "tools": [{"function_declarations": [FUNCTION]}],
        "cached_content": "cachedContents/x",
        "generation_config": {
            "max_output_tokens": 40,
            "stop_sequences": ["tea"],
            "temperature": 1.5,
            "response_mime_type": "application/json",
            "response_schema": SCHEMA,
        },
    },
]


@settings(max_examples=100, deadline=None)
@given(nearly(BODIES) | json())
def test_every_body_is_answered_or_refused(body: Any) -> None:
    holds_its_ground(ROUTES, body, model="demo")


@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_are_right_are_answered_everywhere(body: Any) -> None:
    assert holds_its_ground(ROUTES, body, model="demo") == len(ROUTES)
