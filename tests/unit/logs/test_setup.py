from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.errors import UpstreamConnectFailed
from proxy.logs import LineWriter, configure, style
from proxy.logs.formats import Format

CANARY = "sk-canary-0123456789"

Start = Callable[..., None]


class Log:
    """The configured log of one test, written into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._writer = LineWriter(self._file)
        self._restore: Callable[[], None] = lambda: None

    def start(self, fmt: Format = "json", level: str = "info", *, colour: bool = False) -> None:
        self._restore = configure(fmt, level, self._writer, colour=colour)

    def end(self) -> str:
        """End the log and return what was written."""
        if not self._file.closed:
            self._restore()
            self._writer.stop()
            self._file.close()
        return self._path.read_text()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.end().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log")
    yield log
    log.end()


def fail(error: Exception) -> None:
    raise error


def test_a_record_is_one_json_object_with_its_fields(log: Log) -> None:
    log.start()

    logging.getLogger("proxy.server").warning("config not reloaded", extra={"path": "config/proxy.yaml", "line": 7})

    (record,) = log.records()
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "warning",
        "event": "config not reloaded",
        "logger": "proxy.server",
        "path": "config/proxy.yaml",
        "line": 7,
    }


def test_a_field_cannot_replace_what_every_record_has(log: Log) -> None:
    log.start()

    logging.getLogger("proxy").info("started", extra={"event": "other", "time": "never", "logger": "root", "level": "debug"})

    (record,) = log.records()
    assert (record["event"], record["level"], record["logger"]) == ("started", "info", "proxy")
    assert record["time"] != "never"


def test_the_level_is_for_our_own_loggers(log: Log) -> None:
    log.start(level="debug")

    logging.getLogger("proxy.pool").debug("connection opened")
    logging.getLogger("aiohttp.client").debug("connection opened")
    logging.getLogger("aiohttp.client").info("connection opened")

    assert [record["logger"] for record in log.records()] == ["proxy.pool"]


def test_records_below_the_level_are_left_out(log: Log) -> None:
    log.start(level="error")

    logging.getLogger("proxy").warning("odd")
    logging.getLogger("asyncio").warning("odd")
    logging.getLogger("proxy").error("bad")

    assert [record["event"] for record in log.records()] == ["bad"]


def test_a_library_is_named_and_not_quoted(log: Log) -> None:
    log.start()

    try:
        fail(ValueError(f"bad header: {CANARY}"))
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling %s", CANARY, extra={"request": CANARY})

    (record,) = log.records()
    assert record["event"] == "library message withheld"
    assert record["logger"] == "aiohttp.server"
    assert record["where"].startswith("test_setup:")
    assert record["exception"] == "ValueError"
    assert record["frames"][-1].endswith("in fail")
    assert CANARY not in json.dumps(record)


@pytest.mark.parametrize("name", ["asyncio", "aiobotocore", "botocore.hooks", "proxyfoo", "root"])
def test_every_logger_but_ours_counts_as_a_library(log: Log, name: str) -> None:
    log.start()

    logging.getLogger(name).error(CANARY)

    assert CANARY not in log.end()


@pytest.mark.parametrize("fmt", ["json", "text"])
async def test_a_header_with_a_bad_byte_does_not_reach_the_log(log: Log, fmt: Format) -> None:
    """aiohttp's error log repeats the whole line, and the line may be somebody's credential."""
    log.start(fmt)
    runner = web.ServerRunner(web.Server(lambda request: web.Response()))  # type: ignore[arg-type, return-value]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])

    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + CANARY.encode() + b"\x00tail\r\n\r\n")
    answer = await reader.read()

    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
    assert b" 400 " in answer
    text = log.end()
    assert "aiohttp.server" in text
    assert CANARY not in text


def test_our_own_exception_shows_class_and_frames_but_not_its_text(log: Log) -> None:
    """The text of a KeyError or a parser error is whatever the peer sent."""
    log.start()

    try:
        fail(KeyError(CANARY))
    except KeyError as error:
        logging.getLogger("proxy.tasks").error("background task failed", exc_info=error, extra={"error": error})  # noqa: TRY400

    (record,) = log.records()
    assert record["exception"] == "KeyError"
    assert record["error"] == "KeyError"
    assert record["frames"][-1].endswith("in fail")
    assert CANARY not in json.dumps(record)


def test_an_exception_names_what_it_came_from(log: Log) -> None:
    log.start()

    try:
        try:
            fail(ConnectionRefusedError(111, f"refused {CANARY}"))
        except OSError as cause:
            raise UpstreamConnectFailed("refused by all of 2 addresses") from cause
    except UpstreamConnectFailed:
        logging.getLogger("proxy.upstream").exception("no connection")

    (record,) = log.records()
    assert record["exception"] == (
        "UpstreamConnectFailed(refused by all of 2 addresses) from ConnectionRefusedError(Connection refused)"
    )


def test_a_record_that_cannot_be_formatted_says_where_it_is(
    log: Log, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself stdlib prints the record's arguments to stderr."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would raise
    log.start()

    logging.getLogger("proxy").info("%d streams", CANARY)

    (record,) = log.records()
    assert record["event"] == "log record could not be formatted"
    assert record["where"].startswith("test_setup:")
    assert CANARY not in capsys.readouterr().err


def test_text_is_made_for_reading(log: Log) -> None:
    log.start("text")

    logging.getLogger("proxy.server").info("listening", extra={"address": "127.0.0.1:8080", "what": "public listener"})

    line = log.end()
    assert line[13:] == ' info     listening logger=proxy.server address=127.0.0.1:8080 what="public listener"\n'
    assert line[2] == line[5] == ":"


def test_text_shows_frames_below_the_line(log: Log) -> None:
    log.start("text")

    try:
        fail(KeyError(CANARY))
    except KeyError:
        logging.getLogger("proxy").exception("failed")

    first, *frames = log.end().splitlines()
    assert first.endswith("failed logger=proxy exception=KeyError")
    assert len(frames) == 2
    assert all(frame.startswith("    /") for frame in frames)


def test_text_has_colour_only_when_asked(log: Log) -> None:
    log.start("text", colour=True)

    logging.getLogger("proxy").error("failed")

    assert "\x1b[31merror   \x1b[0m failed" in log.end()


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_value_cannot_forge_a_line(log: Log, fmt: Format) -> None:
    log.start(fmt)

    logging.getLogger("proxy").info("refused\n", extra={"why": 'x\n{"level":"error"}\r\x1b[2J\x9b2J'})

    text = log.end()
    assert text.count("\n") == 1
    assert not set(text) & {"\r", "\x1b", "\x9b"}


def test_what_was_before_comes_back(log: Log) -> None:
    root, ours = logging.getLogger(), logging.getLogger("proxy")
    before = (root.level, list(root.handlers), ours.level)
    log.start(level="debug")

    log.end()

    assert (root.level, list(root.handlers), ours.level) == before


class Out:
    """Something to write to."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("configured", "terminal", "environ", "found"),
    [
        ("auto", True, {}, ("text", True)),
        ("auto", False, {}, ("json", False)),
        ("text", False, {}, ("text", False)),
        ("json", True, {"FORCE_COLOR": "1"}, ("json", False)),
        ("auto", True, {"NO_COLOR": "1"}, ("text", False)),
        ("text", False, {"FORCE_COLOR": "1"}, ("text", True)),
    ],
)
def test_lines_are_for_people_and_in_colour_only_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, configured: str, terminal: bool, environ: dict[str, str], found: tuple[str, bool]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Out(terminal=terminal))

    assert style(configured) == found
