"""Colours, drawings and figures."""

from __future__ import annotations

import io

import pytest

from proxy.doctor.paint import Paint, clean, colourful, duration, sparkline


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_for_terminals_unless_the_environment_says_otherwise(
    environ: dict[str, str], terminal: bool, wanted: bool
) -> None:
    assert colourful(Terminal() if terminal else io.StringIO(), environ) is wanted


def test_plain_paint_leaves_text_as_it_is() -> None:
    paint = Paint(colour=False)

    said = [paint.bold("a"), paint.dim("a"), paint.good("a"), paint.warn("a"), paint.bad("a"), paint.verdict("a", ok=True)]

    assert said == ["a"] * 5 + ["✓ a"]


def test_verdict_has_a_symbol_and_not_its_colour_alone() -> None:
    paint = Paint(colour=True)

    assert paint.verdict("CUT", ok=False) == "\x1b[1;31m✗ CUT\x1b[0m"
    assert paint.good("") == ""


def test_sparkline_rises_with_its_values() -> None:
    assert sparkline([0, 0.5, 1, 2], 1) == "▁▅██"
    assert sparkline([0, 0], 0) == "▁▁"
    assert sparkline([], 1) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0124, "12 ms"),
        (0.9996, "1.00 s"),
        (1.234, "1.23 s"),
        (45.04, "45.0 s"),
        (125.2, "2 min 5 s"),
        (300, "5 min"),
    ],
)
def test_duration_is_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_nothing_that_a_server_sends_reaches_the_terminal_as_a_command() -> None:
    assert clean("a\x1b[2Jb\x07\x9b\u202e") == r"a\x1b[2Jb\x07\x9b\u202e"
    assert len(clean("x" * 999)) == 200
