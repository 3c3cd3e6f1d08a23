from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.conversation import Audio, Document, Image, Part, Text
from proxy.translate.fields import Fields
from proxy.translate.responses_parts import read_parts

PDF = "data:application/pdf;base64,cGRm"


def parts(*content: Any, drop: bool = False) -> list[Part]:
    return read_parts(Fields({"content": list(content)}), "content", drop=drop)


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ({"type": "input_text", "text": "Hi"}, Text("Hi")),
        ({"type": "output_text", "text": "Hi", "annotations": []}, Text("Hi")),
        ({"type": "refusal", "refusal": "No"}, Text("No")),
        (
            {"type": "input_image", "image_url": "https://x/y", "detail": "low"},
            Image(at="content[0].image_url", url="https://x/y", detail="low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,aQ=="},
            Image(at="content[0].image_url", url="data:image/png;base64,aQ=="),
        ),
        (
            {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            Document(at="content[0].file_data", media_type="application/pdf", data="cGRm", title="a.pdf"),
        ),
        (
            {"type": "input_file", "file_data": "data:Text/Plain;charset=utf-8;base64,aQ=="},
            Document(at="content[0].file_data", media_type="text/plain", data="aQ=="),
        ),
        (
            {"type": "input_audio", "input_audio": {"format": "wav", "data": "c24="}},
            Audio(at="content[0].input_audio.data", format="wav", data="c24="),
        ),
    ],
)
def test_each_kind_of_part_is_read(part: dict[str, Any], read: Part) -> None:
    assert parts(part) == [read]


def test_a_content_may_be_a_string_and_empty_texts_are_none() -> None:
    assert read_parts(Fields({"content": "Hi"}), "content", drop=False) == [Text("Hi")]
    assert read_parts(Fields({"content": ""}), "content", drop=False) == []
    assert parts({"type": "input_text", "text": ""}) == []


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "file_id": "f"}, "content[0].file_id"),
        ({"type": "input_file", "file_id": "f"}, "content[0].file_id"),
        ({"type": "input_file", "file_url": "https://x"}, "content[0].file_url"),
    ],
)
def test_what_only_openai_holds_is_always_refused_by_name(part: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        parts(part, drop=True)

    assert caught.value.param == param


def test_a_part_of_a_new_kind_is_refused_or_left_out() -> None:
    assert parts({"type": "hologram"}, drop=True) == []
    with pytest.raises(Untranslatable) as caught:
        parts({"type": "hologram"})
    assert caught.value.param == "content[0].type"


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({}, "content[0].type"),
        ({"type": "input_text"}, "content[0].text"),
        ({"type": "input_image"}, "content[0].image_url"),
        ({"type": "input_image", "image_url": {"url": "x"}}, "content[0].image_url"),
        ({"type": "input_file"}, "content[0].file_data"),
        ({"type": "input_file", "file_data": "cGRm"}, "content[0].file_data"),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,"}, "content[0].file_data"),
        ({"type": "input_file", "file_data": "data:text/plain,words"}, "content[0].file_data"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(part: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parts(part)

    assert caught.value.param == param


def test_a_content_must_be_there() -> None:
    with pytest.raises(BadRequest, match="'output' is missing"):
        read_parts(Fields({}), "output", drop=False)
