"""Sends stdlib logging through the line writer; of other people's libraries only what cannot hold a client's bytes.

Our own records are a constant message with values as fields (`extra=`). A library's record may quote anything: aiohttp
puts the malformed header line, and so a credential with one bad byte, into message, arguments and exception text. What is
kept of it is which logger it was, where in the code, and the exception's class and frames.
"""

from __future__ import annotations

import logging
import os
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

    def event(self, record: logging.LogRecord) -> str:
        return record.getMessage() if _is_ours(record) else WITHHELD

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {"logger": record.name}
        if _is_ours(record):
            fields.update((key, _field(value)) for key, value in vars(record).items() if key not in self._standard)
        else:
            fields["where"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["exception"] = printable(" from ".join(_chain(error)), MAX_TEXT)
            fields["frames"] = _frames(error.__traceback__)
        return fields


class _JsonFormatter(_FieldFormatter):
    def format(self, record: logging.LogRecord) -> str:
        event = printable(self.event(record), MAX_TEXT)
        fields = {"time": self._clock.rfc3339(record.created), "level": record.levelname.lower(), "event": event}
        for key, value in self.fields(record).items():
            fields.setdefault(key, value)
        return json_line(fields)[:-1].decode()


class _TextFormatter(_FieldFormatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields(record)
        frames = fields.pop("frames", [])
        label = level_label(record.levelname.lower(), colour=self._colour)
        values = [f"{key}={text_value(value)}" for key, value in fields.items()]
        line = " ".join([self._clock.rfc3339(record.created)[11:], label, printable(self.event(record), MAX_TEXT), *values])
        return "\n    ".join([line, *frames])


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
