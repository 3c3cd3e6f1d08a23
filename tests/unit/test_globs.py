from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.globs import Glob, is_literal


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-*", "gpt-4o"),
        ("gpt-*", "gpt-"),
        ("*", ""),
        ("*/*", "openai/gpt-4o"),
        ("a*b*c", "a-b-b-c"),
        ("**", "anything"),
        ("*.v1:0", "anthropic.claude.v1:0"),
    ],
)
def test_pattern_matches_the_whole_name(pattern: str, name: str) -> None:
    assert Glob(pattern).matches(name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "GPT-4o"),
        ("gpt-*", "x-gpt-4o"),
        ("a*a", "a"),
        ("a*bc*c", "abc"),
        ("*ab*ba*", "aba"),
        ("gpt?4o", "gpt-4o"),
        ("[a]", "a"),
        ("", "a"),
    ],
)
def test_pattern_does_not_match_another_name(pattern: str, name: str) -> None:
    assert not Glob(pattern).matches(name)


@given(pattern=st.text("ab*.\n", max_size=8), name=st.text("ab.\n", max_size=12))
def test_matching_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    expected = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name, re.DOTALL)

    matched = Glob(pattern).matches(name)

    assert matched == (expected is not None)


def test_only_a_star_makes_a_pattern() -> None:
    assert is_literal("gpt-4o?[x]")
    assert not is_literal("gpt-*")
