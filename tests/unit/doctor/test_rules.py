"""The mends, and the page of the docs that says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from proxy.doctor.fingerprints import SIGNS
from proxy.doctor.rules import ANY, RULES, Rule, Symptom, fix

PLATFORMS: Final = Path(__file__).parents[3] / "docs" / "platforms.md"


def rows(product: str) -> list[str]:
    """Return the rows of the docs that are about *product*, by their first cell."""
    lines = [line for line in PLATFORMS.read_text().splitlines() if line.startswith("| ")]
    return [line for line in lines if re.search(rf"\b{re.escape(product.removeprefix('AWS '))}\b", line.split("|")[1])]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.product}-{rule.symptom.name}")
def test_docs_name_the_same_setting(rule: Rule) -> None:
    assert any(rule.setting in row for row in rows(rule.product)), rows(rule.product)


def test_each_product_with_a_mend_can_be_recognised() -> None:
    assert {rule.product for rule in RULES} <= {sign.product for sign in SIGNS}


def test_each_product_has_one_mend_for_a_symptom() -> None:
    pairs = [(rule.product, rule.symptom) for rule in RULES]

    assert len(pairs) == len(set(pairs))


def test_first_product_that_has_a_mend_is_named() -> None:
    found = fix(Symptom.HELD, ["Cloudflare", "nginx", "Caddy"])

    assert found.product == "nginx"
    assert "proxy_buffering off" in found.text


@pytest.mark.parametrize("symptom", Symptom)
def test_unknown_product_gets_what_helps_whoever_it_is(symptom: Symptom) -> None:
    found = fix(symptom, [])

    assert (found.product, found.text) == ("", ANY[symptom])
