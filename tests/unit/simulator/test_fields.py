from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from proxy.errors import BadRequest
from proxy.simulator import fields


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b"null", b"NaN", b'{"a": "\xff"}', b'{"a":' * 101 + b"1" + b"}" * 101]
)
def test_body_that_is_not_a_json_object_of_sane_depth_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        fields.read_object(body)


def test_body_is_read() -> None:
    assert fields.read_object(b'{"a": [{"b": 1}]}') == {"a": [{"b": 1}]}


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (fields.required_text, None),
        (fields.required_text, ""),
        (fields.required_text, 5),
        (fields.flag, "true"),
        (fields.flag, 1),
        (fields.count, 0),
        (fields.count, True),
        (fields.count, 1.5),
        (fields.count, "5"),
        (fields.count, 10_000_001),
        (fields.table, []),
        (fields.tables, {}),
        (fields.tables, [1]),
        (fields.texts, "a"),
        (fields.texts, ["a", 1]),
        (fields.texts, ["a", " "]),
        (partial(fields.number, most=2), -0.1),
        (partial(fields.number, most=2), 2.1),
        (partial(fields.number, most=2), True),
        (partial(fields.number, most=2), "1"),
    ],
)
def test_value_of_the_wrong_kind_is_refused_by_name(read: Callable[..., object], value: object) -> None:
    with pytest.raises(BadRequest) as refused:
        read({"field": value}, "field")

    assert refused.value.param == "field"


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (fields.required_text, "demo", "demo"),
        (fields.flag, True, True),
        (fields.flag, None, None),
        (fields.count, 5, 5),
        (fields.count, None, None),
        (fields.table, {"a": 1}, {"a": 1}),
        (fields.table, None, {}),
        (fields.tables, [{"a": 1}], [{"a": 1}]),
        (fields.tables, None, []),
        (fields.texts, ["a", "b"], ("a", "b")),
        (fields.texts, None, ()),
        (partial(fields.number, most=2), 2, 2.0),
        (partial(fields.number, most=2), 0.5, 0.5),
        (partial(fields.number, most=2), None, None),
    ],
)
def test_value_of_the_right_kind_is_returned_and_null_is_absent(
    read: Callable[..., object], value: object, result: object
) -> None:
    assert read({"field": value}, "field") == result


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("words", "words"),
        ([{"type": "text", "text": "one"}, {"type": "image_url"}, {"text": "two"}, 3, {"text": 4}], "one\ntwo"),
        (None, ""),
        (5, ""),
    ],
)
def test_text_of_a_message_is_its_string_or_its_text_parts(content: object, said: str) -> None:
    assert fields.content_text(content) == said
