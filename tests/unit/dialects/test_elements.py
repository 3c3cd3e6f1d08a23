from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.elements import Elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\{}[],:\u20ac\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k"\\{['), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)


def pieces(text: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    largest = rng.choice((1, 2, 7, 100))
    cuts = [0]
    while cuts[-1] < len(text):
        cuts.append(cuts[-1] + rng.randint(1, largest))
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def read(text: bytes, seed: int = 0, **changes: int) -> tuple[list[Any], Elements]:
    elements = Elements(**changes)
    return [json.loads(element) for piece in pieces(text, seed) for element in elements.feed(piece)], elements


@given(st.lists(OBJECTS, max_size=4), st.sampled_from([None, 2]), st.sampled_from([",", "\n,\r\n", " , "]), st.integers(0, 99))
def test_every_object_of_an_array_comes_out_whole_however_it_is_cut(
    objects: list[dict[str, Any]], indent: int | None, comma: str, seed: int
) -> None:
    text = "[" + comma.join(json.dumps(each, indent=indent, ensure_ascii=False) for each in objects) + "\n]\r\n"

    found, elements = read(text.encode(), seed)

    assert found == objects
    assert elements.closed
    assert elements.lost == 0


@given(OBJECTS, st.integers(0, 99))
def test_an_object_alone_is_an_array_of_one(value: dict[str, Any], seed: int) -> None:
    found, elements = read(json.dumps(value).encode(), seed)

    assert found == [value]
    assert elements.closed


@pytest.mark.parametrize("text", [b"", b" ", b"[", b"[{", b'[{"a":1}', b'[{"a":1},', b'[{"a":"]', b'[{"a":"\\"}]', b'{"a":[1]'])
@pytest.mark.parametrize("seed", range(3))
def test_what_has_not_ended_is_not_closed(text: bytes, seed: int) -> None:
    assert not read(text, seed)[1].closed


def test_an_empty_read_behind_a_backslash_changes_nothing() -> None:
    elements = Elements()

    found = [element for piece in (b'[{"a":"\\', b"", b'"}]"}', b"]") for element in elements.feed(piece)]

    assert found == [b'{"a":"\\"}]"}']
    assert elements.closed


@pytest.mark.parametrize("seed", range(8))
def test_an_element_beyond_the_cap_is_left_out_and_counted(seed: int) -> None:
    text = json.dumps([{"a": 1}, {"b": "]" * 41}, {"b": "]" * 42}, {"c": 2}]).encode()

    found, elements = read(text, seed, cap=50)

    assert found == [{"a": 1}, {"b": "]" * 41}, {"c": 2}]
    assert elements.lost == 1
    assert elements.closed


def test_no_more_is_kept_than_the_cap() -> None:
    elements = Elements(cap=1000)

    for _ in range(100):
        elements.feed(b'[{"a":"' + b"x" * 500)

    assert len(elements._held) <= 1000


def test_nothing_is_kept_between_two_elements() -> None:
    elements = Elements()

    elements.feed(b'[{"a":1}\n,\r\n' + b" " * 5000)

    assert not elements._held
