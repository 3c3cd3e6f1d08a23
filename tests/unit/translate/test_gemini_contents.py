from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import Untranslatable
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
from proxy.translate.gemini_contents import TOOL_NAME, write_contents, write_system, write_tools
from proxy.translate.names import Names

NOW = Tool(name="now", schema={})
STRICT = Tool(name="now", schema={}, strict=True)


def contents(*turns: Turn) -> list[dict[str, Any]]:
    return write_contents(turns, Names(TOOL_NAME))


def parts(part: Part) -> list[dict[str, Any]]:
    (content,) = contents(Turn("user", (part,)))
    written: list[dict[str, Any]] = content["parts"]
    return written


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text("a", "5m"), {"text": "a"}),
        (Image(at="i", media_type="image/png", data="iVBO"), {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
        (Image(at="i", url="gs://b/a.png"), {"fileData": {"fileUri": "gs://b/a.png", "mimeType": "image/png"}}),
        (Image(at="i", url="gs://b/a"), {"fileData": {"fileUri": "gs://b/a"}}),
        (
            Document(at="f", media_type="application/pdf", data="JVBE", title="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        ),
        (Audio(at="a", format="wav", data="UklG"), {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}),
        (ToolUse(id="c1", name="now", input={"a": 1}), {"functionCall": {"name": "now", "args": {"a": 1}}}),
        (
            ToolUse(id="c1", name="now", input={}, signature="c2ln"),
            {"functionCall": {"name": "now", "args": {}}, "thoughtSignature": "c2ln"},
        ),
    ],
)
def test_each_part_has_its_own(part: Part, written: dict[str, Any]) -> None:
    assert parts(part) == [written]


@pytest.mark.parametrize("url", ["https://a/b.png", "http://a/b.png", "ftp://a"])
def test_an_image_elsewhere_is_refused_by_place(url: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        parts(Image(at="i", url=url))

    assert caught.value.param == "i"


def test_results_stand_alone_in_the_order_of_their_calls() -> None:
    """Two calls of one tool are told apart by nothing but their order."""
    one, two = (ToolUse(id=f"c{number}", name="now", input={"n": number}) for number in (1, 2))
    first, second = (ToolResult(call=f"c{number}", name="now", content=(Text(f"{number}"), Text("!"))) for number in (1, 2))

    written = contents(
        Turn("user", (Text("Hi"),)), Turn("assistant", (Text("a"), one, two)), Turn("user", (second, first, Text("b")))
    )

    assert [content["role"] for content in written] == ["user", "model", "user", "user"]
    assert written[2]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": "1\n!"}}},
        {"functionResponse": {"name": "now", "response": {"output": "2\n!"}}},
    ]
    assert written[3]["parts"] == [{"text": "b"}]


def test_an_empty_result_is_a_result() -> None:
    used = Turn("assistant", (ToolUse(id="c1", name="now", input={}),))

    assert contents(used, Turn("user", (ToolResult(call="c1", name="now"),)))[1]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": ""}}}
    ]


def test_reasoning_of_another_model_is_not_told() -> None:
    thoughts = (Thinking("Hm", "sig"), RedactedThinking("x"))

    assert contents(Turn("assistant", (*thoughts, Text("a")))) == [{"role": "model", "parts": [{"text": "a"}]}]
    assert contents(Turn("assistant", thoughts)) == []


def test_the_systems_texts_are_parts() -> None:
    assert write_system([Text("a"), Text("b")]) == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert write_system([]) == {}


@pytest.mark.parametrize(
    ("tool", "choice", "config"),
    [
        (NOW, Choice(), {"mode": "AUTO"}),
        (NOW, Choice("none"), {"mode": "NONE"}),
        (NOW, Choice("any"), {"mode": "ANY"}),
        (NOW, Choice("tool", "now"), {"mode": "ANY", "allowedFunctionNames": ["now"]}),
        (STRICT, None, {"mode": "VALIDATED"}),
        (STRICT, Choice(), {"mode": "VALIDATED"}),
        (STRICT, Choice("any"), {"mode": "ANY"}),
    ],
)
def test_each_choice_has_its_mode(tool: Tool, choice: Choice | None, config: dict[str, Any]) -> None:
    assert write_tools(Toolbox((tool,), choice), Names(TOOL_NAME))["toolConfig"] == {"functionCallingConfig": config}


def test_tools_are_written_with_what_they_have() -> None:
    described = Tool(name="f", schema={"type": "object", "required": []}, description="d")

    assert write_tools(Toolbox((NOW, described)), Names(TOOL_NAME)) == {
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "now", "parametersJsonSchema": {"type": "object"}},
                    {"name": "f", "parametersJsonSchema": {"type": "object", "required": []}, "description": "d"},
                ]
            }
        ]
    }
    assert write_tools(Toolbox(), Names(TOOL_NAME)) == {}


@pytest.mark.parametrize(
    ("name", "fits"), [("files.read-1", True), ("1st", False), ("-x", False), ("a b", False), ("x" * 65, False)]
)
def test_a_tools_name_begins_with_a_letter(name: str, fits: bool) -> None:
    names = Names(TOOL_NAME)

    made = names.there(name)

    assert TOOL_NAME.fullmatch(made)
    assert (made == name) is fits
    assert names.here(made) == name


def test_a_tool_that_answers_with_an_image_is_refused_by_its_place() -> None:
    image = Image(media_type="image/png", data="aGk=", at="")
    result = ToolResult(call="c1", name="now", content=(image,), at="messages[3]")

    with pytest.raises(Untranslatable) as caught:
        contents(Turn("assistant", (ToolUse(id="c1", name="now", input={}),)), Turn("user", (result,)))

    assert caught.value.param == "messages[3]"
