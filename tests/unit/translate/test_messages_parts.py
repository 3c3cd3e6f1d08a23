from __future__ import annotations

import base64
from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.conversation import Document, Image, Part, RedactedThinking, Text, Thinking, ToolResult, ToolUse
from proxy.translate.fields import Fields
from proxy.translate.messages_parts import cache_of, read_parts, read_texts
from tests.unit.translate.messages_asking import call, document, image, result, text

AT = "content[0].source"
CACHED = {"cache_control": {"type": "ephemeral"}}


def parts(*blocks: Any, drop: bool = False) -> list[Part]:
    return read_parts(Fields({"content": list(blocks)}), "content", drop=drop)


def encoded(said: str) -> str:
    return base64.b64encode(said.encode()).decode()


@pytest.mark.parametrize(
    ("block", "read"),
    [
        (text("Hi"), [Text("Hi")]),
        (text("Hi", **CACHED, citations=None), [Text("Hi", "5m")]),
        (text(""), []),
        (image(), [Image(at=f"{AT}.data", media_type="image/png", data="aW1n")]),
        ({**image(), **CACHED}, [Image(at=f"{AT}.data", media_type="image/png", data="aW1n", cache="5m")]),
        (image(type="url", url="https://x/y.png"), [Image(at=f"{AT}.url", url="https://x/y.png")]),
        (document(), [Document(at=f"{AT}.data", media_type="application/pdf", data="cGRm")]),
        (
            {**document(type="text", media_type="text/plain", data="é"), "title": "T", "context": "C"},
            [Text("C"), Document(at=f"{AT}.data", media_type="text/plain", data=encoded("é"), title="T")],
        ),
        (document(type="content", content=[text("a"), text("b")]), [Text("a"), Text("b")]),
        (document(type="content", content="a"), [Text("a")]),
        ({**document(), "citations": {"enabled": False}}, [Document(at=f"{AT}.data", media_type="application/pdf", data="cGRm")]),
        (call(city="Rome"), [ToolUse(id="c1", name="weather", input={"city": "Rome"})]),
        (result("Sunny"), [ToolResult(call="c1", name="", content=(Text("Sunny"),), at="content[0].tool_use_id")]),
        (result(None, is_error=True), [ToolResult(call="c1", name="", at="content[0].tool_use_id", failed=True)]),
        (
            result([text("a"), image()]),
            [
                ToolResult(
                    call="c1",
                    name="",
                    content=(Text("a"), Image(at="content[0].content[1].source.data", media_type="image/png", data="aW1n")),
                    at="content[0].tool_use_id",
                )
            ],
        ),
        ({"type": "thinking", "thinking": "Hm", "signature": "s"}, [Thinking("Hm", "s")]),
        ({"type": "thinking", "thinking": "Hm"}, [Thinking("Hm", "")]),
        ({"type": "redacted_thinking", "data": "x"}, [RedactedThinking("x")]),
    ],
)
def test_each_kind_of_block_is_read(block: dict[str, Any], read: list[Part]) -> None:
    assert parts(block) == read


def test_a_content_may_be_a_string() -> None:
    assert (
        read_parts(Fields({"content": "Hi"}), "content", drop=False)
        == read_texts(Fields({"content": "Hi"}), "content")
        == [Text("Hi")]
    )
    assert read_parts(Fields({"content": ""}), "content", drop=False) == []


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "server_tool_use", "id": "x"}, "content[0].type"),
        ({"type": "search_result"}, "content[0].type"),
        ({**document(), "citations": {"enabled": True}}, "content[0].citations.enabled"),
        (result([{"type": "tool_reference"}]), "content[0].content[0].type"),
    ],
)
def test_what_is_anthropics_own_is_refused_by_name_or_left_out(block: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        parts(block)

    assert caught.value.param == param
    assert all(isinstance(part, Document | ToolResult) for part in parts(block, drop=True))


@pytest.mark.parametrize(
    "block", [image(type="file", file_id="f"), document(type="file", file_id="f"), document(type="url", url="https://x")]
)
def test_what_only_anthropic_holds_or_fetches_is_always_refused_by_name(block: dict[str, Any]) -> None:
    with pytest.raises(Untranslatable) as caught:
        parts(block, drop=True)

    assert caught.value.param == f"{AT}.type"


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({}, "content[0].type"),
        ({"type": 1}, "content[0].type"),
        ({"type": "text"}, "content[0].text"),
        ({"type": "image"}, "content[0].source"),
        (image(type="base64", media_type="image/png"), f"{AT}.data"),
        (image(type="url"), f"{AT}.url"),
        (call() | {"input": "{}"}, "content[0].input"),
        (call() | {"id": ""}, "content[0].id"),
        (result() | {"tool_use_id": None}, "content[0].tool_use_id"),
        (result([call()]), "content[0].content"),
        (result("x", is_error="yes"), "content[0].is_error"),
        ({"type": "thinking"}, "content[0].thinking"),
        (text("Hi", cache_control={"ttl": "1y"}), "content[0].cache_control.ttl"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(block: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parts(block, drop=True)

    assert caught.value.param == param


def test_a_content_must_be_there() -> None:
    with pytest.raises(BadRequest, match="'content' is missing"):
        read_parts(Fields({}), "content", drop=False)


def test_where_text_alone_may_stand_nothing_else_may() -> None:
    assert read_texts(Fields({"system": [text("a", **CACHED), text(""), text("b")]}), "system") == [Text("a", "5m"), Text("b")]
    assert read_texts(Fields({}), "system") == []
    with pytest.raises(BadRequest) as caught:
        read_texts(Fields({"system": [image()]}), "system")
    assert caught.value.param == "system[0].type"


def test_a_cache_lasts_as_long_as_the_client_wants() -> None:
    assert [cache_of(Fields(each)) for each in ({}, CACHED, {"cache_control": {"type": "ephemeral", "ttl": "1h"}})] == [
        None,
        "5m",
        "1h",
    ]
