"""Turns what the model's validation found into problems that say where, what was expected and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from proxy.settings.consistency import Loc
from proxy.settings.document import Document, dotted
from proxy.settings.problems import Problem
from proxy.settings.shape import section_at

_EXPECTED: Final = {
    "missing": "this key is required",
    "string_type": "expected text",
    "string_too_short": "expected some text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping of keys to values",
    "model_type": "expected a mapping of keys to values",
    "model_attributes_type": "expected a mapping of keys to values",
    "too_short": "expected at least one entry",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
}


_POSITION: Final = re.compile(r".*:(\d+):(\d+)")


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """Return what is wrong with the values of *document*; values are never repeated."""
    errors = error.errors(include_url=False, include_input=False)
    paths = [tuple(key for key in each["loc"] if key != "[key]") for each in errors]
    return [
        _problem(each["type"], each["msg"], path, each.get("ctx", {}), document)
        for each, path in zip(errors, paths, strict=True)
        if not document.overshadowed(path) and not (each["type"] == "too_short" and _has_inner(path, paths))
    ]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort *problems* by their places in the file, each once; those from elsewhere come last."""
    return sorted(dict.fromkeys(problems), key=_position)


def _has_inner(path: Loc, paths: Iterable[Loc]) -> bool:
    """Tell whether an entry of the list at *path* is itself wrong: then the list only seems to be empty."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in paths)


def _problem(kind: str, message: str, path: Loc, context: Mapping[str, Any], document: Document) -> Problem:
    if kind == "extra_forbidden":
        return Problem(document.keys.get(path) or document.where(path), dotted(path), _unknown_key(path))
    if kind == "value_error":
        message = str(context["error"])
    elif kind in _EXPECTED:
        message = _EXPECTED[kind].format_map(context)
    return Problem(document.where(path), dotted(path), message)


def _unknown_key(path: Loc) -> str:
    section = section_at(path[:-1])
    known = sorted(section.model_fields) if section else []
    near = get_close_matches(str(path[-1]), known, 1, 0.5)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}"


def _position(problem: Problem) -> tuple[bool, int, int]:
    match = _POSITION.fullmatch(problem.where)
    return (False, int(match[1]), int(match[2])) if match else (True, 0, 0)
