"""How values look in a log line: time, printable text, JSON, and colour for terminals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import orjson

Format: TypeAlias = Literal["json", "text"]

RESET: Final = "\x1b[0m"
COLOURS: Final[Mapping[str, str]] = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}

_FRACTIONS: Final = tuple(f".{millisecond:03d}Z" for millisecond in range(1000))
_LAST: Final = 0.9995  # from here on it is the next second's .000


class Clock:
    """Writes times in UTC to the millisecond. The text of the current second is kept, since most lines share it."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1.0
        self._text = ""

    def rfc3339(self, seconds: float) -> str:
        """Return the time *seconds* after the epoch."""
        within = seconds - self._second
        if not 0.0 <= within < _LAST:
            self._second, within = divmod(seconds, 1.0)
            if within >= _LAST:
                self._second, within = self._second + 1.0, 0.0
            self._text = datetime.fromtimestamp(self._second, UTC).isoformat()[:-6]
        return self._text + _FRACTIONS[int(within * 1000.0 + 0.5)]


def printable(text: str, limit: int) -> str:
    """Return *text* cut to *limit* characters, with everything escaped that moves a cursor or hides: C0, C1, bidi, surrogates."""
    if len(text) > limit:
        text = text[:limit]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def json_line(fields: Mapping[str, Any]) -> bytes:
    """Return *fields* as one line of JSON, its line feed included. What JSON has no form for is written by its `str`."""
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # an integer above 64 bits, a lone surrogate, a key that is no string
        return json.dumps(fields, default=str).encode("ascii") + b"\n"


def text_value(value: object, limit: int = 512) -> str:
    """Return *value* for a `key=value` list: quoted where a blank or a quote would make it ambiguous."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    text = printable(str(value), limit)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text or "=" in text else text


def level_label(level: str, *, colour: bool) -> str:
    """Return *level* as the second column of a text line."""
    label = f"{level:<8}"
    return f"{COLOURS[level]}{label}{RESET}" if colour and level in COLOURS else label
