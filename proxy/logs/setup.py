"""Sends stdlib logging through the line writer; of other people's libraries only what cannot hold a client's bytes.

Our own records are a constant message with values as fields (`extra=`). A library's record may quote anything: aiohttp
puts the malformed header line, and so a credential with one bad byte, into message, arguments and exception text. What is
kept of it is which logger it was, where in the code, and the exception's class and frames.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final

from proxy.errors import ProxyError
from proxy.logs.formats import Clock, Format, json_line, level_label, printable, text_value
from proxy.logs.writer import LineWriter

OURS: Final = "proxy"
WITHHELD: Final = "library message withheld"
MAX_FRAMES: Final = 25
MAX_TEXT: Final = 2048


def style(configured: str) -> tuple[Format, bool]:
    """Return the log's format, which may be configured as `auto`, and whether it is in colour."""
    terminal = sys.stdout.isatty()
    fmt: Format = "text" if configured == "text" or (configured == "auto" and terminal) else "json"
    return fmt, fmt == "text" and "NO_COLOR" not in os.environ and (terminal or "FORCE_COLOR" in os.environ)


def configure(fmt: Format, level: str, writer: LineWriter, *, colour: bool = False) -> Callable[[], None]:
    """Log everything through *writer*, `proxy.*` from *level* on and libraries from warnings on.

    Returns a function that restores what was before.
    """
    handler = _WriterHandler(writer, _JsonFormatter() if fmt == "json" else _TextFormatter(colour=colour))
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.level, ours.level
    root.addHandler(handler)
    ours.setLevel(level.upper())
    root.setLevel(max(logging.WARNING, ours.level))

    def restore() -> None:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])

    return restore


class _WriterHandler(logging.Handler):
    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - stdlib would print the record's arguments to stderr
            line = f'{{"level":"error","event":"log record could not be formatted","where":"{record.module}:{record.lineno}"}}'
        self._writer.write(line.encode("utf-8", "backslashreplace") + b"\n")


class _FieldFormatter(logging.Formatter):
    """Takes a record apart into named fields."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()
        self._standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        ours = _is_ours(record)
        fields: dict[str, Any] = {
            "time": self._clock.rfc3339(record.created),
            "level": record.levelname.lower(),
            "event": printable(record.getMessage(), MAX_TEXT) if ours else WITHHELD,
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = printable(" from ".join(_chain(record.exc_info[1])), MAX_TEXT)
            fields["frames"] = _frames(record.exc_info[2])
        if not ours:
            fields["where"] = f"{record.module}:{record.lineno}"
            return fields
        for name, value in vars(record).items():
            if name not in self._standard:
                fields.setdefault(name, _field(value))
        return fields


class _JsonFormatter(_FieldFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return json_line(self.fields(record))[:-1].decode()


class _TextFormatter(_FieldFormatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields(record)
        columns = (fields.pop("time")[11:], level_label(fields.pop("level"), colour=self._colour), fields.pop("event"))
        frames = fields.pop("frames", ())
        values = (f"{name}={text_value(value)}" for name, value in fields.items())
        return "\n    ".join([" ".join([*columns, *values]), *frames])


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == OURS or record.name.startswith(OURS + ".")


def _field(value: object) -> object:
    if isinstance(value, BaseException):
        value = _describe(value)
    return printable(value, MAX_TEXT) if isinstance(value, str) else value


def _chain(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield _describe(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _describe(error: BaseException) -> str:
    """Name the class, and what is known to be safe: our own detail, or the text of an errno."""
    name = type(error).__name__
    if isinstance(error, ProxyError):
        return f"{name}({error.detail})"
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno:
        return f"{name}({os.strerror(error.errno)})"
    return name


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = [f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in walk_tb(traceback)]
    return frames[-MAX_FRAMES:]
