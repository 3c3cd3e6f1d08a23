from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.anthropic.request import Thinking, count_tokens, read_ask, read_thinking
from tests.unit.simulator.anthropic.support import BODY, SCHEMA, VERSION

NEWEST = "2026-10-21"
TOOL = {"name": "weather", "input_schema": SCHEMA}


def test_limit_stops_and_schema_reach_the_prompt() -> None:
    format_ = {"type": "json_schema", "schema": SCHEMA}

    prompt = read_ask({**BODY, "stop_sequences": ["END"], "output_config": {"format": format_}}, VERSION).prompt

    assert (prompt.limit, prompt.stops, prompt.schema) == (1000, ("END",), SCHEMA)
    assert (prompt.last, prompt.question) == ("Tell me about tea", "Tell me about tea")


def test_tools_are_called_until_they_have_answered() -> None:
    use = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "21 degrees"}
    answered = [*BODY["messages"], {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]

    asks = read_ask({**BODY, "tools": [TOOL]}, VERSION), read_ask({**BODY, "tools": [TOOL], "messages": answered}, VERSION)

    assert [len(ask.prompt.calls) for ask in asks] == [1, 0]
    assert [ask.prompt.after_tool for ask in asks] == [False, True]


@pytest.mark.parametrize(
    ("thinking", "after_tool", "read"),
    [
        (None, False, Thinking(on=False, shown=True)),
        ({"type": "disabled"}, False, Thinking(on=False, shown=True)),
        ({"type": "adaptive"}, False, Thinking(on=True, shown=True)),
        ({"type": "adaptive", "display": "summarized"}, False, Thinking(on=True, shown=True)),
        ({"type": "enabled", "budget_tokens": 1024, "display": "omitted"}, False, Thinking(on=True, shown=False)),
        ({"type": "between_tools"}, False, Thinking(on=False, shown=True)),
        ({"type": "between_tools"}, True, Thinking(on=True, shown=True)),
    ],
)
def test_thinking_is_read(thinking: Any, after_tool: bool, read: Thinking) -> None:
    assert read_thinking({"thinking": thinking}, 2000, after_tool=after_tool) == read


@pytest.mark.parametrize(
    ("thinking", "param"),
    [
        ("on", "thinking"),
        ({"type": "deep"}, "thinking.type"),
        ({"type": "adaptive", "display": "loud"}, "thinking.display"),
        ({"type": "enabled"}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": 1023}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": True}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": 2000}, "thinking.budget_tokens"),
    ],
)
def test_wrong_thinking_is_refused_by_name(thinking: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_thinking({"thinking": thinking}, 2000, after_tool=False)

    assert refused.value.param == param


def test_budget_without_a_limit_is_only_bounded_from_below() -> None:
    assert read_thinking({"thinking": {"type": "enabled", "budget_tokens": 5000}}, None, after_tool=False).on


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.5), ("top_p", 1), ("top_k", 40)])
def test_sampling_is_taken_in_the_old_version_and_refused_in_the_new_one(name: str, value: float) -> None:
    assert read_ask({**BODY, name: value}, VERSION)

    with pytest.raises(BadRequest) as refused:
        read_ask({**BODY, name: value}, NEWEST)

    assert refused.value.param == name
    assert NEWEST in refused.value.public


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": [" "]}, "stop_sequences"),
        ({"output_config": "json"}, "output_config"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}}, "tool_choice"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_ask({**BODY, **change}, VERSION)

    assert refused.value.param == param


def test_counted_tokens_are_those_that_a_message_is_billed_for() -> None:
    body = {**BODY, "tools": [TOOL], "system": "Be brief"}

    assert (
        count_tokens({name: value for name, value in body.items() if name != "max_tokens"})
        == read_ask(body, VERSION).tokens_in.total
    )
