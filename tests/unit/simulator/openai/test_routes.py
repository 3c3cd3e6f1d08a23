"""Whatever JSON comes in, every endpoint either answers or refuses in the agreed way."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import RequestError
from proxy.simulator.openai import ROUTES
from proxy.simulator.reply import Shape
from tests.unit.simulator.openai.support import call

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
KEYS = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "function",
        "name",
        "parameters",
        "properties",
        "required",
        "items",
        "minItems",
        "minimum",
        "exclusiveMinimum",
        "maximum",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "$ref",
        "format",
        "json_schema",
        "schema",
        "include_usage",
        "x",
    ]
)
VALUES = st.sampled_from(
    ["user", "tool", "function", "json_schema", "object", "array", "integer", "number", "string", "#", "#/x"]
)
JSON = st.recursive(
    SCALARS | VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
TEXT = st.just("Use both tools")
PARAMETERS = st.fixed_dictionaries(
    {}, optional={"type": JSON, "properties": JSON, "required": JSON, "anyOf": JSON, "allOf": JSON, "items": JSON}
)
NAMED = st.fixed_dictionaries({"name": st.just("f"), "parameters": PARAMETERS | JSON})
FUNCTION = st.fixed_dictionaries(
    {"type": st.just("function"), "function": NAMED, "name": st.just("f"), "parameters": PARAMETERS | JSON}
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": TEXT | JSON})
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["demo", "demo-think"])},
    optional={
        "messages": st.lists(MESSAGE, min_size=1, max_size=3) | JSON,
        "input": TEXT | st.lists(MESSAGE | JSON, max_size=3) | JSON,
        "prompt": TEXT | JSON,
        "tools": st.lists(FUNCTION | JSON, max_size=2),
        "tool_choice": JSON,
        "response_format": st.fixed_dictionaries(
            {"type": st.just("json_schema"), "json_schema": st.fixed_dictionaries({"schema": PARAMETERS})}
        )
        | JSON,
        "text": JSON,
        "stream": st.booleans() | JSON,
        "stream_options": JSON,
        "n": st.integers(-1, 3),
        "max_tokens": st.integers(-1, 9),
        "max_output_tokens": st.integers(-1, 9),
        "parallel_tool_calls": st.booleans() | JSON,
        "instructions": JSON,
        "dimensions": st.integers(-1, 9),
        "encoding_format": JSON,
    },
)


@settings(max_examples=100, deadline=None)
@given(BODIES | JSON)
def test_every_body_is_answered_or_refused(body: Any) -> None:
    for route in ROUTES:
        try:
            answer = route.read(call(body, id="demo"))
        except RequestError:
            continue

        assert orjson.loads(answer.whole(Shape()).body)
        if answer.stream is not None:
            assert [event.bytes for event in answer.stream.events(Shape())]
