from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from proxy.errors import Untranslatable
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
from proxy.translate.to_chat import write_limit, write_messages, write_schema, write_tools, write_user

PNG = Image(at="a", media_type="image/png", data="aW1n")
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1n"}}
TOOL = Tool(name="f", schema={"type": "object"}, strict=None)


def user(*parts: Part) -> list[dict[str, Any]]:
    return write_messages((), [Turn("user", parts)])


def assistant(*parts: Part) -> list[dict[str, Any]]:
    return write_messages((), [Turn("assistant", parts)])


def document(media_type: str, data: bytes, title: str = "") -> Document:
    return Document(at="a", media_type=media_type, data=base64.b64encode(data).decode(), title=title)


def test_instructions_are_the_systems_wherever_they_stand() -> None:
    turns = [Turn("user", (Text("Hi"),)), Turn("system", (Text("Now"), Text("brief.")))]

    assert write_messages([Text("Be kind."), Text("And short.")], turns) == [
        {"role": "system", "content": "Be kind.\n\nAnd short."},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Now\n\nbrief."},
    ]


def test_words_alone_are_one_string() -> None:
    assert user(Text("a"), Text("b")) == [{"role": "user", "content": "a\n\nb"}]


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (PNG, PNG_PART),
        (
            Image(at="a", url="https://x/y", detail="low"),
            {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}},
        ),
        (Audio(at="a", format="wav", data="c24="), {"type": "input_audio", "input_audio": {"data": "c24=", "format": "wav"}}),
        (
            document("application/pdf", b"pdf"),
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
        ),
        (
            document("application/pdf", b"pdf", "My paper"),
            {"type": "file", "file": {"filename": "My paper", "file_data": "data:application/pdf;base64,cGRm"}},
        ),
        (document("text/plain", "é".encode()), {"type": "text", "text": "é"}),
        (document("text/markdown", b"words", "Title"), {"type": "text", "text": "Title\n\nwords"}),
    ],
)
def test_each_kind_of_part_has_its_place(part: Part, written: dict[str, Any]) -> None:
    assert user(PNG, part) == [{"role": "user", "content": [PNG_PART, written]}]


@pytest.mark.parametrize("part", [document("text/plain", b"\xff"), document("application/zip", b"x")])
def test_a_document_that_chat_cannot_carry_is_refused_by_its_place(part: Document) -> None:
    with pytest.raises(Untranslatable) as caught:
        user(part)

    assert caught.value.param == "a"


def test_an_answer_is_its_words_and_its_calls() -> None:
    call = ToolUse(id="c1", name="f", input={"a": "é"})

    assert assistant(Text("One "), Text("two."), call) == [
        {
            "role": "assistant",
            "content": "One two.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}}],
        }
    ]
    assert assistant(call)[0]["content"] is None


def test_arguments_go_back_as_the_model_wrote_them() -> None:
    (message,) = assistant(ToolUse(id="c1", name="f", input={}, written='{"a": '))

    assert message["tool_calls"][0]["function"]["arguments"] == '{"a": '


def test_thoughts_are_left_out_and_an_answer_of_thoughts_is_none() -> None:
    assert assistant(Thinking("Hm", "s"), Text("Yes")) == [{"role": "assistant", "content": "Yes"}]
    assert assistant(Thinking("Hm", "s"), RedactedThinking("x")) == []


def test_each_result_is_a_message_and_words_follow_them() -> None:
    one = ToolResult(call="c1", name="f", content=(Text("a"), Text("b")))
    two = ToolResult(call="c2", name="f")

    assert user(one, two, Text("And?")) == [
        {"role": "tool", "tool_call_id": "c1", "content": "a\n\nb"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "And?"},
    ]


def test_a_failed_call_says_so_in_words() -> None:
    failed = [ToolResult(call="c", name="f", content=content, failed=True) for content in ((Text("no such city"),), ())]

    assert [user(each)[0]["content"] for each in failed] == ["Error: no such city", "Error"]


def test_a_results_images_are_shown_behind_all_results() -> None:
    seen = ToolResult(call="c1", name="f", content=(Text("a"), PNG))
    other = ToolResult(call="c2", name="f", content=(Text("b"),))

    assert user(seen, other, Text("And?")) == [
        {"role": "tool", "tool_call_id": "c1", "content": "a"},
        {"role": "tool", "tool_call_id": "c2", "content": "b"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of the tool call c1:"},
                PNG_PART,
                {"type": "text", "text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("tool", "function"),
    [
        (TOOL, {"name": "f", "parameters": {"type": "object"}}),
        (
            Tool(name="f", schema={}, description="d", strict=True),
            {"name": "f", "parameters": {}, "description": "d", "strict": True},
        ),
        (Tool(name="f", schema={}), {"name": "f", "parameters": {}, "strict": False}),
    ],
)
def test_a_tool_is_a_function(tool: Tool, function: dict[str, Any]) -> None:
    assert write_tools([tool], None) == {"tools": [{"type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("choice", "members"),
    [
        (Choice(), {"tool_choice": "auto"}),
        (Choice("none"), {"tool_choice": "none"}),
        (Choice("any"), {"tool_choice": "required"}),
        (Choice("tool", "f"), {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (Choice(parallel=False), {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_each_choice_has_its_word(choice: Choice, members: dict[str, Any]) -> None:
    written = write_tools([TOOL], choice)

    assert {key: value for key, value in written.items() if key != "tools"} == members


def test_without_tools_nothing_is_said_about_them() -> None:
    assert write_tools([], Choice("none")) == {}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_completion_tokens"),
        ("openai/gpt-5.1", "max_completion_tokens"),
        ("our-GPT5-mini", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("chatgpt-4o-latest", "max_completion_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("mistral-large", "max_tokens"),
        ("llama-3.1-70b", "max_tokens"),
        ("deepseek-reasoner", "max_tokens"),
        ("phi4o2", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_model_knows(model: str, name: str) -> None:
    assert write_limit(model, 5) == {name: 5}
    assert write_limit(model, None) == {}


def test_a_schema_has_a_name_and_is_strict() -> None:
    assert write_schema({"type": "object"}) == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }
    assert write_schema({}, "n", "d", strict=None)["json_schema"] == {"name": "n", "description": "d", "schema": {}}


def test_a_users_name_that_is_too_long_is_told_by_its_digest() -> None:
    assert write_user("") is None
    assert write_user("a" * 64) == "a" * 64
    assert write_user("a" * 65) == hashlib.sha256(b"a" * 65).hexdigest()
