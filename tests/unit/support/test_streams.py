"""The generated cases are repeatable, well-formed, and strong enough to convict every wrong injection rule we know of."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings

from tests.support.streams import BOM, LONG, TICK, Case, Tick, case_count, cases, event_streams, random_cases
from tests.support.whatwg import openai_events, parse

COMMENT = b": k\n\n"
COMMENT_LINE = b":\n"
BOUNDARIES = (b"\n\n", b"\n\r\n", b"\r\r\n")

Rule = Callable[[bytes], bool]  # may a frame go in after these bytes?


def injected(case: Case, rule: Rule, frame: bytes) -> bytes:
    """Play *case* through the plainest of relays; it forwards a BOM that no longer leads, as a careless one does."""
    upstream = client = b""
    for step in case.steps():
        if not isinstance(step, Tick):
            upstream += step
            client += step
        elif rule(upstream):
            client += frame
    return client


def at_boundary(sent: bytes) -> bool:
    return sent.endswith(BOUNDARIES)


def same_for_openai(case: Case, rule: Rule, frame: bytes) -> bool:
    return openai_events([injected(case, rule, frame)]) == openai_events([case.stream])


def whole_characters(case: Case) -> bool:
    try:
        case.stream.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_same_seed_gives_the_same_cases() -> None:
    cases = list(random_cases(50, seed=3))

    assert len(cases) == 50
    assert cases == list(random_cases(50, seed=3))
    assert cases != list(random_cases(50, seed=4))


def test_pieces_are_the_stream_and_steps_hold_every_tick() -> None:
    for case in random_cases(1_000, seed=5):
        steps = list(case.steps())

        assert b"".join(step for step in steps if not isinstance(step, Tick)) == case.stream
        assert steps.count(TICK) == len([tick for tick in case.ticks if tick <= len(case.pieces)])
        assert all(case.pieces)


def test_steps_put_a_tick_before_its_piece() -> None:
    case = Case(b"abc", cuts=(1,), ticks=frozenset({0, 2}))

    assert list(case.steps()) == [TICK, b"a", b"bc", TICK]


def test_every_ingredient_is_in_the_first_thousand() -> None:
    streams = [case.stream for case in random_cases(1_000)]

    for part in (BOM, BOM + BOM, b"\r\n\r\n", b"\r\r", b"\n\n", b"id: 7", b"\0", b"\n:", b"\xe2\x82\xac", b"\ndata\n"):
        assert any(part in stream for stream in streams), part
    assert any(piece.endswith(b"\xf0\x9f") for case in random_cases(1_000) for piece in case.pieces)
    assert any(piece.endswith(b"\r") and b"\r\n" in case.stream for case in random_cases(1_000) for piece in case.pieces)
    assert b"" in streams


@pytest.mark.parametrize("frame", [COMMENT, COMMENT_LINE, b"\n"], ids=repr)
def test_right_rule_changes_nothing(frame: bytes) -> None:
    for case in random_cases(3_000, seed=6):
        assert parse(injected(case, at_boundary, frame)) == parse(case.stream), case


@pytest.mark.parametrize(
    ("rule", "frame"),
    [
        pytest.param(lambda sent: sent.endswith(b"\n"), COMMENT, id="a frame at the end of any line"),
        pytest.param(lambda sent: sent.endswith(b"\r"), COMMENT_LINE, id="a comment line after a CR"),
        pytest.param(lambda sent: not sent.endswith((b"\r", b"\n")), COMMENT, id="a frame in mid-line"),
        pytest.param(lambda sent: not sent.endswith((b"\r", b"\n")), COMMENT_LINE, id="a comment line in mid-line"),
        pytest.param(lambda sent: len(sent) > 1 and set(sent[-2:]) <= set(b"\r\n"), COMMENT, id="any two of CR and LF"),
        pytest.param(lambda sent: sent == b"", COMMENT_LINE, id="in front of a BOM"),
        pytest.param(lambda sent: sent.endswith((b"\n\n", b"\r\n", b"\r\r\n")), COMMENT, id="a single CRLF"),
        pytest.param(at_boundary, b"id: k\n\n", id="an id of our own"),
        pytest.param(at_boundary, b"retry: 1\n\n", id="a retry of our own"),
        pytest.param(at_boundary, b"data:\n\n", id="empty data"),
        pytest.param(at_boundary, b": k", id="a comment without an end"),
    ],
)
def test_wrong_rule_is_convicted(rule: Rule, frame: bytes) -> None:
    assert any(parse(injected(case, rule, frame)) != parse(case.stream) for case in random_cases(1_000))


def test_frame_with_a_blank_line_after_an_id_is_convicted_by_the_openai_decoder() -> None:
    usable = [case for case in random_cases(3_000) if whole_characters(case)]

    assert not all(same_for_openai(case, at_boundary, COMMENT) for case in usable)
    assert all(same_for_openai(case, at_boundary, b": k\n") for case in usable)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_strategy_makes_cases_like_the_random_ones(case: Case) -> None:
    assert b"".join(case.pieces) == case.stream
    assert all(0 < cut < len(case.stream) for cut in case.cuts)
    assert parse(injected(case, at_boundary, COMMENT)) == parse(case.stream)


@given(event_streams())
@settings(max_examples=50, deadline=None)
def test_strategy_makes_whole_characters_only(stream: bytes) -> None:
    assert stream.decode().encode() == stream


@pytest.mark.parametrize(("value", "count"), [("1", 100_000), ("0", 10_000), (None, 10_000)])
def test_long_profile_tries_ten_times_as_many(monkeypatch: pytest.MonkeyPatch, value: str | None, count: int) -> None:
    monkeypatch.delenv(LONG, raising=False)
    if value is not None:
        monkeypatch.setitem(os.environ, LONG, value)

    assert case_count() == count
