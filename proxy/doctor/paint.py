"""Colours, symbols and small drawings of the terminal; plain where colour is not wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from proxy.logs.formats import printable

LEVELS: Final = "▁▂▃▄▅▆▇█"
LONGEST: Final = 200  # characters of what a server has sent
GOOD, WARN, BAD = "✓", "⚠", "✗"


class Paint:
    """Colours text, or leaves it as it is."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def bold(self, text: str) -> str:
        return self._with("1", text)

    def dim(self, text: str) -> str:
        return self._with("2", text)

    def good(self, text: str) -> str:
        return self._with("32", text)

    def warn(self, text: str) -> str:
        return self._with("33", text)

    def bad(self, text: str) -> str:
        return self._with("31", text)

    def verdict(self, text: str, *, ok: bool) -> str:
        """Return a verdict with its symbol, loud."""
        symbol, code = (GOOD, "1;32") if ok else (BAD, "1;31")
        return self._with(code, f"{symbol} {text}")

    def _with(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def colourful(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether colour is wanted on *stream*: FORCE_COLOR and NO_COLOR decide, else a terminal has it."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (stream.isatty() and environ.get("TERM") != "dumb")


def sparkline(values: Sequence[float], top: float) -> str:
    """Draw *values* between 0 and *top*, one character each."""
    last = len(LEVELS) - 1
    return "".join(LEVELS[min(last, max(0, round(value / top * last)))] if top > 0 else LEVELS[0] for value in values)


def duration(seconds: float) -> str:
    """Return a duration as people say it: `12 ms`, `1.23 s`, `2 min 5 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def clean(text: str) -> str:
    """Return what a server has sent, with everything escaped that a terminal would obey."""
    return printable(text, LONGEST)
