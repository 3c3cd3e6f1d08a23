from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_parts import read_parts, read_texts
from proxy.translate.conversation import Audio, Document, Image, Part, Text
from proxy.translate.fields import Fields

PNG = "data:image/png;base64,iVBORw0KGgo="


def parts(*content: Any) -> list[Part]:
    return read_parts(Fields({"content": list(content)}, "m"))


def image(url: Any, **members: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **members}}


def test_a_string_is_one_text_and_an_empty_one_none() -> None:
    assert read_parts(Fields({"content": "Hi"})) == [Text("Hi")]
    assert read_parts(Fields({"content": ""})) == []


def test_parts_keep_their_order_and_empty_texts_are_left_out() -> None:
    read = parts({"type": "text", "text": "a"}, {"type": "text", "text": ""}, image(PNG), {"type": "text", "text": "b"})

    assert read == [Text("a"), Image(at="m.content[2].image_url.url", media_type="image/png", data="iVBORw0KGgo="), Text("b")]


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("data:image/jpg;base64,AA==", "image/jpeg"),
        ("DATA:IMAGE/PNG;BASE64,AA==", "image/png"),
        ("data:image/svg+xml;charset=utf-8;base64,AA==", "image/svg+xml"),
    ],
)
def test_the_media_type_of_a_data_url_is_told_in_its_common_form(url: str, media_type: str) -> None:
    (read,) = parts(image(url))

    assert isinstance(read, Image)
    assert (read.media_type, read.data, read.url) == (media_type, "AA==", "")


def test_an_image_elsewhere_keeps_its_address() -> None:
    assert parts(image("https://a/b.png", detail="high")) == [Image(at="m.content[0].image_url.url", url="https://a/b.png")]


def test_a_file_and_sound_are_read() -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
    sound = {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}}

    assert parts(file, sound) == [
        Document(at="m.content[0].file.file_data", media_type="application/pdf", data="JVBE", title="a.pdf"),
        Audio(at="m.content[1].input_audio.data", format="wav", data="UklG"),
    ]


@pytest.mark.parametrize(
    ("marker", "cache"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "5m"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, "5m"),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}, "1h"),
        ({"prompt_cache_breakpoint": None}, None),
    ],
)
def test_a_cache_breakpoint_stays_on_its_part(marker: dict[str, Any], cache: str | None) -> None:
    assert parts({"type": "text", "text": "a", **marker}) == [Text("a", cache)]


@pytest.mark.parametrize(
    ("part", "place"),
    [
        pytest.param({"type": "text"}, "m.content[0].text", id="text without text"),
        pytest.param({"type": "text", "text": 1}, "m.content[0].text", id="a number as text"),
        pytest.param({"type": "video"}, "m.content[0].type", id="unknown type"),
        pytest.param({}, "m.content[0].type", id="no type"),
        pytest.param({"type": ["text"]}, "m.content[0].type", id="a list as type"),
        pytest.param({"type": "image_url"}, "m.content[0].image_url", id="image without anything"),
        pytest.param({"type": "image_url", "image_url": "https://a"}, "m.content[0].image_url", id="image as a string"),
        pytest.param(image(None), "m.content[0].image_url.url", id="image without url"),
        pytest.param(image("data:image/png,raw"), "m.content[0].image_url.url", id="data url without base64"),
        pytest.param(image("data:image/png;base64,"), "m.content[0].image_url.url", id="data url without data"),
        pytest.param({"type": "file", "file": {}}, "m.content[0].file.file_data", id="file without data"),
        pytest.param(
            {"type": "file", "file": {"file_data": "JVBE"}}, "m.content[0].file.file_data", id="file that is no data url"
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "A"}}, "m.content[0].input_audio.format", id="audio without format"
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"format": "ogg", "data": "A"}},
            "m.content[0].input_audio.format",
            id="audio of another format",
        ),
        pytest.param(
            {"type": "text", "text": "a", "cache_control": {"ttl": "9d"}}, "m.content[0].cache_control.ttl", id="strange ttl"
        ),
    ],
)
def test_a_part_that_is_wrong_in_any_api_is_named_by_its_place(part: Any, place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parts(part)

    assert caught.value.param == place
    assert not isinstance(caught.value, Untranslatable)


@pytest.mark.parametrize("content", [None, 1, {}, ["text"], [None]])
def test_content_of_no_known_form_is_named(content: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read_parts(Fields({"content": content}, "m"))

    assert caught.value.param == "m.content"


def test_a_file_that_only_openai_holds_cannot_be_taken_elsewhere() -> None:
    with pytest.raises(Untranslatable) as caught:
        parts({"type": "file", "file": {"file_id": "file-1"}})

    assert caught.value.param == "m.content[0].file.file_id"


def test_content_of_text_only_may_be_absent_and_holds_a_refusal_like_any_text() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "No."}]

    assert read_texts(Fields({"content": content})) == [Text("a"), Text("No.")]
    assert read_texts(Fields({})) == read_texts(Fields({"content": ""})) == []
    with pytest.raises(BadRequest) as caught:
        read_texts(Fields({"content": [image(PNG)]}))
    assert caught.value.param == "content[0].type"
