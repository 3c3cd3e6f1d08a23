"""Replaces `${VAR}`, `${VAR:-default}` and `${VAR:?message}` in a text from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<inside>[^}]*)(?P<end>\}?))")
_INSIDE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<operator>[-?])(?P<rest>[^$]*))?")


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Return *text* with its references replaced; `$$` is a dollar sign, and so is one that no brace follows.

    Raises ValueError with a sentence for a reference that is malformed or has no value.
    """
    return _REFERENCE.sub(lambda match: _replacement(match, environ), text) if "$" in text else text


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    reference = _INSIDE.fullmatch(match["inside"]) if match["end"] else None
    if reference is None:
        raise ValueError("expected ${VAR}, ${VAR:-default} or ${VAR:?message}; a literal ${ is written $${")
    name, operator = reference["name"], reference["operator"]
    value = environ.get(name)
    if value or (value is not None and operator is None):
        return value
    if operator == "-":
        return reference["rest"]
    if operator == "?":
        raise ValueError(f"the environment variable {name} is not set: {reference['rest'] or 'it is required'}")
    raise ValueError(f"the environment variable {name} is not set: set it, or write ${{{name}:-}} if it may be missing")
