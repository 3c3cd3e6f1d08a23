"""An allow-list covers what its patterns say, and nothing by accident."""

from __future__ import annotations

import pytest

from proxy.auth import Principal


def principal(models: tuple[str, ...] | None) -> Principal:
    return Principal(subject="ci", method="api_key", models=models, max_streams=1)


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        (None, "anything", True),
        ((), "anything", False),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-*",), "gpt-4o", True),
        (("gpt-*",), "my-gpt-4o", False),
        (("claude-*", "gpt-*"), "gpt-4o", True),
        (("*",), "", True),
        (("a*b*c",), "axxbyyc", True),
        (("gpt-[4]o",), "gpt-4o", False),
        (("gpt-?o",), "gpt-4o", False),
        (("GPT-*",), "gpt-4o", False),
    ],
)
def test_only_a_star_is_special_in_an_allow_list(models: tuple[str, ...] | None, model: str, allowed: bool) -> None:
    verdict = principal(models).may_use(model)

    assert verdict is allowed


def test_principals_with_the_same_facts_are_equal() -> None:
    assert principal(("gpt-*",)) == principal(("gpt-*",))
    assert principal(("gpt-*",)) != principal(None)


def test_callers_of_the_same_name_are_told_apart_by_who_gave_it() -> None:
    """Their slots and streams are nobody else's."""
    given = [("api_key", ""), ("jwt", "https://a"), ("jwt", "https://a.example"), ("anonymous", "")]

    slots = {Principal(subject="ann", method=method, models=None, max_streams=1, issuer=issuer).slot for method, issuer in given}

    assert len(slots) == len(given)


def test_no_subject_passes_for_that_of_another_issuer() -> None:
    one = Principal(subject="8443:ann", method="jwt", models=None, max_streams=1, issuer="https://a")
    other = Principal(subject="ann", method="jwt", models=None, max_streams=1, issuer="https://a:8443")

    assert one.slot != other.slot
