"""Generates bodies that are nearly right, and holds the endpoints to answering or refusing each in the agreed way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import orjson
from hypothesis import strategies as st

from proxy.errors import RequestError
from proxy.simulator.dialect import Route
from proxy.simulator.reply import Shape
from tests.unit.simulator.asking import call

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
WORDS = ("type", "text", "name", "properties", "required", "items", "enum", "const", "anyOf", "$ref", "object", "array", "string")


def json(*words: str) -> st.SearchStrategy[Any]:
    """Return any JSON, with *words* for keys and values more often than chance would have it."""
    known = st.sampled_from([*words, *WORDS])
    return st.recursive(
        SCALARS | known, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known, inner, max_size=5), max_leaves=10
    )


@st.composite
def nearly(draw: st.DrawFn, bodies: Sequence[Any]) -> Any:
    """Return one of *bodies* with any JSON in up to three places; what stands elsewhere in it counts as a word."""
    body = deepcopy(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(list(_places(body))))
        holder[key] = draw(json(*(key for _, key in _places(body) if isinstance(key, str))))
    return body


def holds_its_ground(routes: Iterable[Route], body: Any, **of: str) -> int:
    """Ask every route, and return how many answered; an answer must be complete, and a refusal a RequestError."""
    answered = 0
    for route in routes:
        try:
            answer = route.read(call(body, headers={"anthropic-version": "2023-06-01"}, query={"api-version": "1"}, **of))
        except RequestError:
            continue
        answered += 1
        assert orjson.loads(answer.whole(Shape()).body)
        if answer.stream is not None:
            assert [event.bytes for event in answer.stream.events(Shape())]
    return answered


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield value, key
        yield from _places(one)
