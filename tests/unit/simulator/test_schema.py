from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from proxy.simulator.schema import Inventor


def invented(schema: object, seed: int = 1) -> Any:
    return Inventor(schema, rng=random.Random(seed), topic="tea").value()


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "tea"),
        ({"type": "string", "minLength": 6}, "tea..."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-03-14"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "string"]}, "tea"),
        ({"const": 7}, 7),
        ({"enum": ["only"]}, "only"),
        ({"anyOf": [{"type": "null"}, {"const": "second"}]}, "second"),
        ({"oneOf": [{"const": "first"}, {"const": "second"}]}, "first"),
        ({"type": "integer", "minimum": 41.5, "maximum": 42}, 42),
        ({"type": "integer", "exclusiveMinimum": 10, "maximum": 11}, 11),
        ({"type": "number", "maximum": -3}, -3),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 0}, []),
        ({"items": {"const": 1}}, [1]),
        ({}, "tea"),
        (True, "tea"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 5}}}, 5),
        ({"$ref": "https://example.com/elsewhere"}, "tea"),
    ],
)
def test_value_fits_its_schema(schema: object, value: object) -> None:
    assert invented(schema) == value


def test_object_gets_all_its_properties() -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 5},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city"],
    }

    value = invented(schema)

    assert value.keys() == {"city", "days", "unit"}
    assert 1 <= value["days"] <= 5
    assert value["unit"] in {"C", "F"}


def test_parts_of_all_of_are_put_together() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"b": {"const": 2}}, "required": ["b"]}],
        "$defs": {"a": {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}},
    }

    assert invented(schema) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{n}": {"$ref": "#"} for n in range(20)}, "required": [f"p{n}" for n in range(20)]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1_000_000},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_schema_that_contains_itself_comes_to_an_end(schema: object) -> None:
    assert len(orjson.dumps(invented(schema))) < 20_000


@pytest.mark.parametrize("schema", [{"type": "integer", "minimum": 1e300}, {"type": "integer", "maximum": -1e300}])
def test_number_stays_one_that_every_json_reader_knows(schema: object) -> None:
    assert abs(invented(schema)) <= 2**53


def test_same_state_of_chance_gives_the_same_value() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}

    assert invented(schema, 3) == invented(schema, 3)
    assert len({str(invented(schema, seed)) for seed in range(20)}) > 1
