from __future__ import annotations

import json

import pytest

from proxy.errors import UpstreamMalformed
from proxy.translate.json_text import dumped, escaped, object_in, unescaped

TEXTS = ["", "plain", '"quoted"\n\\', "é🙂", "\ud83d", "\x00\x1f", "a" * 1000]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives_being_put_between_quotes(text: str) -> None:
    assert json.loads(b'"' + escaped(text) + b'"') == text
    assert unescaped(escaped(text)) == text


def test_escapes_of_any_writer_are_read() -> None:
    assert unescaped(rb"\u00e9\/\ud83d\ude42") == "é/🙂"


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert unescaped(b"a\xffb") == "a\ufffdb"


def test_half_a_surrogate_pair_goes_out_as_it_came() -> None:
    assert dumped({"a": "\ud83d"}) == b'{"a":"\\ud83d"}'
    assert dumped({"a": "é"}) == '{"a":"é"}'.encode()


def test_what_is_nested_too_deeply_to_be_written_is_the_upstreams_fault() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]

    with pytest.raises(UpstreamMalformed):
        dumped(nested)


@pytest.mark.parametrize(
    ("text", "read"),
    [("", {}), (" ", {}), ('{"a":1}', {"a": 1}), ("[1]", None), ("null", None), ('{"a":', None), ("\ud83d", None)],
)
def test_arguments_are_an_object_and_nothing_at_all_is_an_empty_one(text: str, read: object) -> None:
    assert object_in(text) == read
