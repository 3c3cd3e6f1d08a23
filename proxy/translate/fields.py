"""Reads the members of a request by the place where they stand, so that whatever is wrong or cannot be honoured is named."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from proxy.errors import BadRequest, Untranslatable

_NO_EQUIVALENT: Final = "has no equivalent in the API of this model's backend"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Fields:
    """One JSON object of a request, and where it stands. Null counts as absent. All readers raise BadRequest."""

    __slots__ = ("_at", "values")

    def __init__(self, values: Mapping[str, Any], at: str = "") -> None:
        self.values = values
        self._at = at

    def where(self, key: str) -> str:
        """Return the path of a member, as an error names it."""
        return f"{self._at}.{key}" if self._at else key

    def wrong(self, key: str, must: str) -> BadRequest:
        """Return the error for a member that is not what it *must* be."""
        problem = "is missing" if self.values.get(key) is None else f"must be {must}"
        return BadRequest(f"The field '{self.where(key)}' {problem}.", param=self.where(key))

    def text(self, key: str) -> str:
        """Return a string that must be there."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def name(self, key: str) -> str:
        """Return a string that must be there and must not be empty."""
        if not (value := self.text(key)):
            raise self.wrong(key, "a non-empty string")
        return value

    def maybe_text(self, key: str) -> str | None:
        """Return a string, or None."""
        return None if self.values.get(key) is None else self.text(key)

    def flag(self, key: str) -> bool | None:
        """Return a boolean, or None."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str, *, most: float | None = None) -> float | None:
        """Return a number, or None; with *most* one from 0 to that."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        if most is not None and not 0 <= value <= most:
            raise self.wrong(key, f"a number between 0 and {most:g}")
        return value

    def count(self, key: str) -> int | None:
        """Return a whole number above zero, or None."""
        value = self.values.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise self.wrong(key, "a whole number above 0")
        return value

    def integer(self, key: str) -> int | None:
        """Return a whole number, or None."""
        value = self.values.get(key)
        if value is not None and type(value) is not int:
            raise self.wrong(key, "a whole number")
        return value

    def word(self, key: str, words: Collection[str]) -> str | None:
        """Return one of *words*, or None."""
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or value not in words):
            raise self.wrong(key, f"one of {', '.join(sorted(words))}")
        return value

    def table(self, key: str) -> Fields | None:
        """Return an object, or None."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Fields(value, self.where(key))

    def inner(self, key: str) -> Fields:
        """Return an object that must be there."""
        inner = self.table(key)
        if inner is None:
            raise self.wrong(key, "an object")
        return inner

    def tables(self, key: str) -> list[Fields]:
        """Return a list of objects; none where it is absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(key, "an array of objects")
        return [Fields(each, f"{self.where(key)}[{index}]") for index, each in enumerate(value)]

    def texts(self, key: str) -> list[str]:
        """Return a list of strings; none where it is absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "an array of strings")
        return value


def cannot(param: str, problem: str = _NO_EQUIVALENT) -> Untranslatable:
    """Return the error for what the target cannot honour, and what cannot be left out either."""
    return Untranslatable(f"The parameter '{param}' {problem}.", param=param)


def refuse(param: str, problem: str = _NO_EQUIVALENT, *, drop: bool) -> None:
    """Raise Untranslatable for a parameter that the target cannot honour, unless it may be left out."""
    if not drop:
        raise cannot(param, problem)


def refuse_unknown(values: Mapping[str, Any], known: Collection[str], *, drop: bool) -> None:
    """Refuse the first member of which nothing is known: what it would mean to leave it out is not known either."""
    for key, value in values.items():
        if key not in known and value is not None:
            # a name is repeated only where it looks like one
            refuse(key if _NAME.fullmatch(key) else "(unknown)", drop=drop)


def without_empty(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that say something: no null, no empty text, list or object."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}


def dumped(value: Any) -> bytes:
    """Return *value* as JSON. Half a surrogate pair and a number of any size go out as they came in.

    Raises BadRequest for what is nested too deeply to be written.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except (RecursionError, ValueError) as exc:
            raise BadRequest("The request body is nested too deeply, or holds a number with too many digits.") from exc
