"""Reads typed fields from a JSON request body; what does not fit is a BadRequest that names the field.

A field that is null counts as absent, as it does for the real backends.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import orjson

from proxy.errors import BadRequest

Fields = Mapping[str, Any]

_MAX_LIMIT: Final = 10_000_000
_MAX_DEPTH: Final = 100  # parts of it are written back, and orjson writes less deep than it reads


def read_object(body: bytes) -> Fields:
    """Return the JSON object in *body*."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("The body of this request is not valid JSON.") from exc
    if not isinstance(fields, dict):
        raise BadRequest("The body of this request must be a JSON object.")
    if _too_deep(fields):
        raise BadRequest(f"The body of this request nests deeper than {_MAX_DEPTH} levels.")
    return fields


def required_text(fields: Fields, name: str) -> str:
    """Return a string that must be there and hold something."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"`{name}` is required and must be a string.", param=name)
    return value


def flag(fields: Fields, name: str) -> bool | None:
    """Return a boolean, None when absent."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"`{name}` must be true or false.", param=name)
    return value


def count(fields: Fields, name: str, *, most: int = _MAX_LIMIT) -> int | None:
    """Return a whole number from 1 to *most*, None when absent."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadRequest(f"`{name}` must be a whole number from 1 to {most}.", param=name)
    return value


def number(fields: Fields, name: str, *, most: float) -> float | None:
    """Return a number from 0 to *most*, None when absent."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadRequest(f"`{name}` must be a number from 0 to {most:g}.", param=name)
    return float(value)


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """Return an array of strings that each hold something, an empty one when absent."""
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise BadRequest(f"`{name}` must be an array of strings that are not blank.", param=name)
    return tuple(value)


def table(fields: Fields, name: str) -> Fields:
    """Return an object, an empty one when absent."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"`{name}` must be an object.", param=name)
    return value


def tables(fields: Fields, name: str) -> list[Fields]:
    """Return an array of objects, an empty one when absent."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"`{name}` must be an array of objects.", param=name)
    return value


def content_text(content: object) -> str:
    """Return the text of a message's content: a string, or the text parts of an array."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        below = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in below if isinstance(one, dict | list)]
        if not level:
            return False
    return True
