from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from proxy.logs.formats import Clock, json_line, level_label, printable, text_value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1763719383.123, "2025-11-21T10:03:03.123Z"),
        (1763719383.9994, "2025-11-21T10:03:03.999Z"),
        (1763719383.9996, "2025-11-21T10:03:04.000Z"),
        (1763719384.0, "2025-11-21T10:03:04.000Z"),
        (1763719383.5, "2025-11-21T10:03:03.500Z"),
        (1763719382.9996, "2025-11-21T10:03:03.000Z"),
        (1763719383.9994999, "2025-11-21T10:03:03.999Z"),
        (1763719383.0035, "2025-11-21T10:03:03.003Z"),  # the nearest there is to it lies below
    ],
)
def test_time_is_utc_to_the_millisecond(seconds: float, text: str) -> None:
    clock = Clock()
    clock.rfc3339(1763719383.0)

    assert clock.rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("größer 模型 🙂", "größer 模型 🙂"),
        ("a\r\nb\tc\0d", "a\\r\\nb\\tc\\x00d"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("line\u2028para\u2029", "line\\u2028para\\u2029"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_steers_a_terminal_or_hides_is_escaped(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


def test_a_long_word_is_cut() -> None:
    assert printable("x" * 500, 128) == "x" * 128


@pytest.mark.parametrize("value", [{"a": 10**30}, {"a": "\ud800"}, {"a": 1 << 64, "b": "\n"}, {"a": Path("/x")}, {1: "a"}])
def test_a_json_line_is_one_line_of_json_whatever_is_in_it(value: dict[str, object]) -> None:
    line = json_line(value)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(json.loads(line)) == len(value)


def test_json_has_no_word_for_not_a_number() -> None:
    assert json_line({"a": math.nan}) == b'{"a":null}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('a="b"', '"a=\\"b\\""'),
        ("a=b", '"a=b"'),
        ("", '""'),
        ("a\nb", "a\\nb"),
        (True, "true"),
        (False, "false"),
        (0.5, "0.5"),
        (412.0, "412"),
        (3, "3"),
    ],
)
def test_text_values_can_be_told_apart_again(value: object, text: str) -> None:
    assert text_value(value) == text


def test_a_level_is_coloured_only_when_asked() -> None:
    assert level_label("warning", colour=False) == "warning "
    assert level_label("warning", colour=True) == "\x1b[33mwarning \x1b[0m"
    assert level_label("notice", colour=True) == "notice  "
