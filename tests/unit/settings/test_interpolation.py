from __future__ import annotations

import pytest

from proxy.settings.interpolation import interpolated

ENVIRON = {"KEY": "value", "EMPTY": "", "DOLLAR": "$KEY ${KEY}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${KEY}", "value"),
        ("a-${KEY}-${KEY}-b", "a-value-value-b"),
        ("${EMPTY}", ""),
        ("${KEY:-other}", "value"),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b?}", "a:-b?"),
        ("${KEY:?must be there}", "value"),
        ("$$", "$"),
        ("$${KEY}", "${KEY}"),
        ("$KEY costs $5$", "$KEY costs $5$"),
        (r"^a\d{8}-[a-z]{4}$", r"^a\d{8}-[a-z]{4}$"),
        ("${DOLLAR}", "$KEY ${KEY}"),
    ],
)
def test_references_are_replaced_once(text: str, expected: str) -> None:
    assert interpolated(text, ENVIRON) == expected


def test_an_unset_variable_is_named() -> None:
    with pytest.raises(ValueError, match=r"the environment variable NONE is not set: set it, or write \$\{NONE:-\}"):
        interpolated("${NONE}", ENVIRON)


@pytest.mark.parametrize("text", ["${NONE:?ask the team}", "${EMPTY:?ask the team}"])
def test_a_required_variable_says_what_its_author_wrote(text: str) -> None:
    with pytest.raises(ValueError, match="is not set: ask the team"):
        interpolated(text, ENVIRON)


def test_a_required_variable_needs_no_message() -> None:
    with pytest.raises(ValueError, match="NONE is not set: it is required"):
        interpolated("${NONE:?}", ENVIRON)


@pytest.mark.parametrize("text", ["${", "${KEY", "${}", "${KEY-x}", "${1}", "${K EY}", "${A:-${KEY}}", "${KEY:+x}"])
def test_a_malformed_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected \$\{VAR\}"):
        interpolated(text, ENVIRON)
