from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import Untranslatable
from proxy.translate.conversation import (
    Audio,
    Document,
    Image,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.translate.converse_turns import TOOL_NAME, write_system, write_turn
from proxy.translate.names import Names


def blocks(*parts: Part) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = write_turn(Turn("user", parts), Names(TOOL_NAME))["content"]
    return written


def document(title: str = "", media_type: str = "application/pdf") -> Document:
    return Document(at="f", media_type=media_type, data="JVBE", title=title)


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Text("a"), {"text": "a"}),
        (Image(at="i", media_type="image/jpeg", data="/9j/"), {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}),
        (Audio(at="a", format="mp3", data="SUQz"), {"audio": {"format": "mp3", "source": {"bytes": "SUQz"}}}),
        (
            ToolUse(id="c1", name="now", input={"a": 1}),
            {"toolUse": {"toolUseId": "c1", "name": "now", "input": {"a": 1}}},
        ),
        (
            ToolResult(call="c1", name="now", content=(Text("Noon"), Text("sharp"))),
            {"toolResult": {"toolUseId": "c1", "content": [{"text": "Noon"}, {"text": "sharp"}]}},
        ),
        (
            ToolResult(call="c1", name="now", content=(Image(at="i", media_type="image/png", data="iVBO"),)),
            {"toolResult": {"toolUseId": "c1", "content": [{"image": {"format": "png", "source": {"bytes": "iVBO"}}}]}},
        ),
        (ToolResult(call="c1", name="now"), {"toolResult": {"toolUseId": "c1", "content": []}}),
        (
            ToolResult(
                call="c1", name="now", content=(Text("a", "5m"), Image(at="i", media_type="image/png", data="iV")), failed=True
            ),
            {
                "toolResult": {
                    "toolUseId": "c1",
                    "content": [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": "iV"}}}],
                    "status": "error",
                }
            },
        ),
        (Thinking("Hm", "sig"), {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "sig"}}}),
        (RedactedThinking("eA=="), {"reasoningContent": {"redactedContent": "eA=="}}),
    ],
)
def test_each_part_has_its_block(part: Part, written: dict[str, Any]) -> None:
    assert blocks(part) == [written]


@pytest.mark.parametrize(("ttl", "point"), [("5m", {"type": "default"}), ("1h", {"type": "default", "ttl": "1h"})])
def test_behind_what_shall_be_cached_stands_a_cache_point(ttl: str, point: dict[str, str]) -> None:
    assert blocks(Text("a", ttl), Text("b")) == [{"text": "a"}, {"cachePoint": point}, {"text": "b"}]
    for part in (ToolUse(id="c", name="now", input={}, cache=ttl), ToolResult(call="c", name="now", cache=ttl)):
        assert blocks(part)[1:] == [{"cachePoint": point}]
    assert write_system([Text("a", ttl)]) == [{"text": "a"}, {"cachePoint": point}]


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/pdf", "pdf"),
        ("text/csv", "csv"),
        ("text/plain", "txt"),
        ("text/markdown", "md"),
        ("application/msword", "doc"),
    ],
)
def test_a_document_has_its_format(media_type: str, kind: str) -> None:
    assert blocks(document(media_type=media_type), Text("a"))[0]["document"] == {
        "format": kind,
        "name": "document",
        "source": {"bytes": "JVBE"},
    }


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Report 2025.pdf", "Report 2025"),
        ("a_b:c  (1) [x]-y.tar.gz", "a b c (1) [x]-y tar"),
        ("résumé", "r sum"),
        ("...", "document"),
        ("€.pdf", "document"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_documents_name_is_told_as_far_as_bedrock_takes_it(title: str, name: str) -> None:
    assert blocks(document(title), Text("a"))[0]["document"]["name"] == name


def test_a_document_does_not_stand_without_words() -> None:
    assert blocks(document())[1:] == [{"text": "."}]
    assert blocks(document(), Text("a"))[1:] == [{"text": "a"}]


@pytest.mark.parametrize(
    ("part", "place", "why"),
    [
        (Image(at="i", url="https://a/b.png"), "i", "as a data URL"),
        (Image(at="i", media_type="image/bmp", data="Qk0="), "i", "JPEG"),
        (document(media_type="application/zip"), "f", "PDF"),
    ],
)
def test_what_bedrock_does_not_take_is_refused_by_place(part: Part, place: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=why) as caught:
        blocks(part)

    assert caught.value.param == place


@pytest.mark.parametrize("call", ["call:1", "x" * 65])
def test_a_call_and_its_result_keep_one_id_where_it_does_not_fit(call: str) -> None:
    used, result = blocks(ToolUse(id=call, name="now", input={}), ToolResult(call=call, name="now"))

    assert used["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"] != call
    assert len(used["toolUse"]["toolUseId"]) <= 64


def test_a_turn_has_its_role() -> None:
    assert write_turn(Turn("assistant", (Text("a"),)), Names(TOOL_NAME)) == {"role": "assistant", "content": [{"text": "a"}]}
