"""Invents a small value that fits a JSON schema, for tool arguments and structured answers.

Simple on purpose: types, enums, required and optional properties, bounds of numbers and arrays, local references.
Patterns are not solved. A budget of values keeps a recursive schema from growing without end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, Final

FREE_OBJECT: Final = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "sure": {"type": "boolean"}},
}  # where any object will do

_MAX_DEPTH: Final = 6
_MAX_VALUES: Final = 300
_MAX_ITEMS: Final = 8
_MAX_LENGTH: Final = 256
_SAFE: Final = 2**53  # the largest number that JSON readers agree on
_PLACES: Final = ("Paris", "Lisbon", "Nairobi", "Oslo", "Kyoto")
_BY_FORMAT: Final = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "3f2b8c1e-5d47-4a90-8e6b-0c9d1a2b3c4d",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
    "duration": "PT15M",
}
_BY_NAME: Final = {"date": "date", "day": "date", "email": "email", "url": "uri", "uri": "uri", "time": "time"}
_PLACE_NAMES: Final = frozenset({"city", "location", "place", "town"})


class Inventor:
    """Makes values for one root schema; deterministic for one state of *rng*."""

    __slots__ = ("_left", "_rng", "_root", "_topic")

    def __init__(self, root: object, *, rng: random.Random, topic: str) -> None:
        self._root = root
        self._rng = rng
        self._topic = topic
        self._left = _MAX_VALUES

    def value(self) -> Any:
        """Return a value for the root schema."""
        return self._value(self._root, "", 0)

    def _value(self, schema: object, name: str, depth: int) -> Any:
        self._left -= 1
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(options := schema.get("enum"), list) and options:
            return self._rng.choice(options)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind == "string":
            return self._string(schema, name)
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer", wish=self._rng.randint(1, 9))
        return True if kind == "boolean" else None

    def _resolved(self, schema: object) -> Mapping[str, Any]:
        """Follow references and the first usable alternative, a few steps at most."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return {}
            if isinstance(reference := schema.get("$ref"), str):
                schema = _local(self._root, reference)
            elif isinstance(parts := schema.get("allOf"), list) and parts:
                schema = _merged(schema, [self._part(part) for part in parts])
            elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
                schema = _first_not_null(alternatives)
            else:
                return schema
        return {}

    def _part(self, part: object) -> object:
        if isinstance(part, Mapping) and isinstance(reference := part.get("$ref"), str):
            return _local(self._root, reference)
        return part

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or depth > _MAX_DEPTH or self._left <= 0:
            return {}
        required = schema.get("required")
        needed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        chosen = needed if depth >= _MAX_DEPTH // 2 else [*properties]
        return {name: self._value(properties.get(name), name, depth + 1) for name in chosen if self._left > 0}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        if depth > _MAX_DEPTH:
            return []
        count = min(max(_bound(schema, "minItems", 1), 1), _bound(schema, "maxItems", _MAX_ITEMS), _MAX_ITEMS)
        return [self._value(schema.get("items"), name, depth + 1) for _ in range(count) if self._left > 0]

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        word = name.lower()
        form = schema.get("format")
        known = _BY_FORMAT.get(form if isinstance(form, str) else _BY_NAME.get(word, ""))
        text = known or (self._rng.choice(_PLACES) if word in _PLACE_NAMES else self._topic)
        least = min(_bound(schema, "minLength", 0), _MAX_LENGTH)
        return text.ljust(least, ".")[: _bound(schema, "maxLength", _MAX_LENGTH)]


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _bound(schema: Mapping[str, Any], key: str, default: int) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _number(schema: Mapping[str, Any], *, whole: bool, wish: int) -> int | float:
    low = max(_limit(schema, "minimum", -math.inf), _limit(schema, "exclusiveMinimum", -math.inf, 1 if whole else 0.5))
    high = min(_limit(schema, "maximum", math.inf), _limit(schema, "exclusiveMaximum", math.inf, -1 if whole else -0.5))
    value = max(low, min(high, wish))
    return math.ceil(value) if whole and math.isfinite(value) else value


def _limit(schema: Mapping[str, Any], key: str, default: float, step: float = 0) -> float:
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return max(-_SAFE, min(_SAFE, value)) + step


def _local(root: object, reference: str) -> object:
    """Return what a `#/…` reference points to; nothing for any other."""
    found: object = root
    for step in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(found, Mapping):
            return {}
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _merged(schema: Mapping[str, Any], parts: list[object]) -> Mapping[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        for key, value in part.items():
            old = merged.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                merged[key] = old | value
            elif isinstance(old, list) and isinstance(value, list) and key == "required":
                merged[key] = old + value
            else:
                merged[key] = value
    return merged


def _first_not_null(alternatives: object) -> object:
    if not isinstance(alternatives, list):
        return {}
    return next((one for one in alternatives if not (isinstance(one, Mapping) and one.get("type") == "null")), {})
