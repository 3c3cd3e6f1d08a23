from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import Untranslatable
from proxy.translate.chat_messages import Conversation
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Choice, Text, Tool, ToolUse, Turn
from proxy.translate.converse_tools import ConverseTools, write_tools
from proxy.translate.converse_turns import TOOL_NAME
from proxy.translate.names import Names
from tests.unit.translate.asking import source

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
NOW = Tool(name="now", schema={})
SPEC = {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object"}}}}
WORDS = Conversation((), (Turn("user", (Text("Hi"),)),))
LOOP = Conversation((), (*WORDS.turns, Turn("assistant", (ToolUse(id="c1", name="now", input={}),))))


def written(
    model: str, choice: Choice | None = None, said: Conversation = WORDS, *tools: Tool, drop: bool = False
) -> ConverseTools:
    return write_tools(source(model=model, drop=drop), Toolbox(tools, choice), said, Names(TOOL_NAME))


def test_tools_are_written_with_what_they_have() -> None:
    strict = Tool(name="f", schema={"type": "object", "required": []}, description="d", strict=True)

    assert written(NOVA, None, WORDS, NOW, strict) == ConverseTools(
        {
            "tools": [
                SPEC,
                {
                    "toolSpec": {
                        "name": "f",
                        "inputSchema": {"json": {"type": "object", "required": []}},
                        "description": "d",
                        "strict": True,
                    }
                },
            ]
        }
    )


@pytest.mark.parametrize(
    ("choice", "told"),
    [(Choice(), {"auto": {}}), (Choice("any"), {"any": {}}), (Choice("tool", "now"), {"tool": {"name": "now"}})],
)
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_each_choice_has_its_word(model: str, choice: Choice, told: dict[str, Any]) -> None:
    assert written(model, choice, WORDS, NOW) == ConverseTools({"tools": [SPEC], "toolChoice": told})


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_a_model_that_may_use_no_tool_is_told_of_none(model: str) -> None:
    assert written(model, Choice("none"), WORDS, NOW) == written(model) == ConverseTools()


def test_a_claude_takes_in_its_own_words_what_converse_has_none_for() -> None:
    none, single = {"type": "none"}, {"type": "any", "disable_parallel_tool_use": True}

    assert written(CLAUDE, Choice("none"), LOOP, NOW) == ConverseTools({"tools": [SPEC]}, {"tool_choice": none})
    assert written(CLAUDE, Choice("any", parallel=False), WORDS, NOW) == ConverseTools({"tools": [SPEC]}, {"tool_choice": single})
    assert written(CLAUDE, None, LOOP).model_fields == {"tool_choice": none}


@pytest.mark.parametrize(
    ("choice", "said", "tools", "place", "left"),
    [
        (Choice("none"), LOOP, (NOW,), "tool_choice", {"tools": [SPEC]}),
        (Choice("any", parallel=False), WORDS, (NOW,), "parallel_tool_calls", {"tools": [SPEC], "toolChoice": {"any": {}}}),
        (None, LOOP, (), "tools", {"tools": [{"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]}),
    ],
)  # fmt: skip
def test_any_other_model_refuses_it_by_name_or_does_without(
    choice: Choice | None, said: Conversation, tools: tuple[Tool, ...], place: str, left: dict[str, Any]
) -> None:
    with pytest.raises(Untranslatable) as caught:
        written(NOVA, choice, said, *tools)

    assert caught.value.param == place
    assert written(NOVA, choice, said, *tools, drop=True) == ConverseTools(left)


def test_behind_a_tool_that_shall_be_cached_stands_a_cache_point() -> None:
    cached = Tool(name="now", schema={}, cache="5m")

    assert written(NOVA, None, WORDS, cached, NOW).config["tools"] == [SPEC, {"cachePoint": {"type": "default"}}, SPEC]
