"""Whatever JSON comes in, every endpoint either answers or refuses in the agreed way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from proxy.simulator.bedrock import ROUTES
from proxy.simulator.dialect import Route
from tests.unit.simulator.anthropic.support import BODIES as MESSAGES
from tests.unit.simulator.generated import holds_its_ground, json, nearly

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}, {"cachePoint": {"type": "default"}}]}
CONVERSE = [
    {
        "messages": [{"role": "user", "content": [{"text": "Use both tools"}, {"image": {"format": "png", "source": {}}}]}],
        "system": [{"text": "Be brief"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "inferenceConfig": {"maxTokens": 3000, "temperature": 0.5},
        "toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "weather"}}},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    },
    {
        "messages": [
            {"role": "user", "content": [{"text": "Use it"}]},
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "So", "signature": "s"}}},
                    {"toolUse": {"toolUseId": "t", "name": "weather", "input": {"city": "Oslo"}}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"degrees": 3}}, {"text": "cold"}]}}],
            },
        ],
        "inferenceConfig": {"maxTokens": 40, "stopSequences": ["tea"]},
        "toolConfig": TOOLS,
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object"}'}}}},
    },
]
INVOKE = [
    {
        "anthropic_version": "bedrock-2023-05-31",
        **{name: value for name, value in body.items() if name not in ("model", "stream")},
    }
    for body in MESSAGES
]


@settings(max_examples=100, deadline=None)
@given(nearly([*CONVERSE, *INVOKE]) | json())
def test_every_body_is_answered_or_refused(body: Any) -> None:
    holds_its_ground(ROUTES, body, id="demo")


@pytest.mark.parametrize("bodies", [CONVERSE, INVOKE])
def test_bodies_that_are_right_are_answered(bodies: list[Any]) -> None:
    def own(route: Route) -> bool:
        return ("invoke" in route.path) == (bodies is INVOKE)

    for body in bodies:
        assert holds_its_ground(filter(own, ROUTES), body, id="demo") == 2
