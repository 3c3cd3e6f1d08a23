from __future__ import annotations

import base64
from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import (
    Audio,
    Choice,
    Document,
    Image,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.translate.messages_turns import TOOL_NAME, write_system, write_tools, write_turn
from proxy.translate.names import Names

NOW = Tool(name="now", schema={})


def block(part: Part) -> dict[str, Any]:
    (written,) = write_turn(Turn("user", (part,)), Names(TOOL_NAME))["content"]
    assert isinstance(written, dict)
    return written


def text_file(data: str, media_type: str = "text/csv") -> Document:
    return Document(at="f", media_type=media_type, data=data, title="a.csv")


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text("a"), {"type": "text", "text": "a"}),
        (Text("a", "5m"), {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}),
        (Text("a", "1h"), {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        (
            Image(at="i", media_type="image/png", data="iVBO"),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        ),
        (Image(at="i", url="https://a/b.png"), {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
        (
            Document(at="f", media_type="application/pdf", data="JVBE"),
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        ),
        (
            text_file(base64.b64encode("a;€".encode()).decode()),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a;€"}, "title": "a.csv"},
        ),
        (ToolUse(id="c1", name="now", input={"a": 1}), {"type": "tool_use", "id": "c1", "name": "now", "input": {"a": 1}}),
        (
            ToolResult(call="c1", name="now", content=(Text("Noon"),)),
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "Noon"}]},
        ),
        (ToolResult(call="c1", name="now"), {"type": "tool_result", "tool_use_id": "c1"}),
        (Thinking("Hm", "sig"), {"type": "thinking", "thinking": "Hm", "signature": "sig"}),
        (RedactedThinking("x"), {"type": "redacted_thinking", "data": "x"}),
    ],
)
def test_each_part_has_its_block(part: Part, written: dict[str, Any]) -> None:
    assert block(part) == written


@pytest.mark.parametrize(
    ("part", "place"),
    [
        (Audio(at="a", format="wav", data="UklG"), "a"),
        (Image(at="i", media_type="image/bmp", data="Qk0="), "i"),
        (Document(at="f", media_type="application/zip", data="UEsD"), "f"),
    ],
)
def test_what_anthropic_does_not_take_is_refused_by_place(part: Part, place: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        block(part)

    assert caught.value.param == place


@pytest.mark.parametrize("part", [Image(at="i", url="ftp://a/b.png"), text_file("@@@"), text_file("/w==")])
def test_what_nobody_could_read_is_the_clients_fault(part: Image | Document) -> None:
    with pytest.raises(BadRequest) as caught:
        block(part)

    assert caught.value.param == part.at
    assert not isinstance(caught.value, Untranslatable)


def test_a_call_and_its_result_keep_one_id_where_it_does_not_fit() -> None:
    used = block(ToolUse(id="call:1/x", name="now", input={}))
    result = block(ToolResult(call="call:1/x", name="now"))

    assert used["id"] == result["tool_use_id"] != "call:1/x"


def test_the_systems_texts_are_blocks() -> None:
    assert write_system([Text("a"), Text("b", "5m")]) == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
    ]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (Choice(), {"type": "auto"}),
        (Choice("none"), {"type": "none"}),
        (Choice("any"), {"type": "any"}),
        (Choice("tool", "now"), {"type": "tool", "name": "now"}),
        (Choice(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (Choice("tool", "now", False), {"type": "tool", "name": "now", "disable_parallel_tool_use": True}),
    ],
)
def test_each_choice_has_its_word(choice: Choice, written: dict[str, Any]) -> None:
    assert write_tools(Toolbox((NOW,), choice), (), Names(TOOL_NAME))["tool_choice"] == written


def test_tools_are_written_with_what_they_have() -> None:
    strict = Tool(name="f", schema={"type": "object", "required": []}, description="d", strict=True)

    assert write_tools(Toolbox((NOW, strict)), (), Names(TOOL_NAME)) == {
        "tools": [
            {"name": "now", "input_schema": {"type": "object"}},
            {"name": "f", "input_schema": {"type": "object", "required": []}, "description": "d", "strict": True},
        ]
    }


def test_without_tools_nothing_is_said_of_them() -> None:
    assert write_tools(Toolbox(), (Turn("user", (Text("Hi"),)),), Names(TOOL_NAME)) == {}


def test_tools_that_were_called_are_told_where_none_may_be_called_any_more() -> None:
    turns = (Turn("assistant", (ToolUse(id="c1", name="now", input={}), ToolUse(id="c2", name="now", input={}))),)

    assert write_tools(Toolbox(), turns, Names(TOOL_NAME)) == {
        "tools": [{"name": "now", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "none"},
    }


def test_a_name_that_does_not_fit_is_the_same_in_tools_choice_and_calls() -> None:
    names = Names(TOOL_NAME)
    written = write_tools(Toolbox((Tool(name="a.b", schema={}),), Choice("tool", "a.b")), (), names)
    used = write_turn(Turn("assistant", (ToolUse(id="c", name="a.b", input={}),)), names)["content"][0]

    name = written["tools"][0]["name"]
    assert TOOL_NAME.fullmatch(name)
    assert written["tool_choice"]["name"] == used["name"] == name
    assert names.here(name) == "a.b"
