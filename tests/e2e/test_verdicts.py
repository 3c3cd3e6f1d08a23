"""The page that checks streams says what the doctor says: the same verdicts on the same arrivals, the same settings that mend it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.doctor.fingerprints import SIGNS, Sign
from proxy.doctor.rules import RULES, Rule, Symptom
from tests.e2e.browser import Page, open_page
from tests.support.house import House

pytestmark = pytest.mark.component("chromium")

CASES: Final = json.loads((Path(__file__).parents[1] / "golden" / "verdicts.json").read_text())
ENDS: Final = {"done": "done", "silent": "silent", "broken": "cut", "clean": "cut"}  # a browser does not tell the last two apart
JUDGED: Final = "cases => cases.map(seen => { const { word, says } = judge(seen); return [word, says]; })"

REMEDIES: Final = """sights => sights.map(([word, seen]) => {
    const { cause, fix } = remedyFor({ word }, seen);
    return [cause, fix];
})"""
SIGHTS: Final[dict[Symptom, dict[str, Any]]] = {
    Symptom.HELD: {"word": "BUFFERED"},
    Symptom.ENCODED: {"word": "COALESCED", "encoding": "gzip"},
    Symptom.SILENCE: {"word": "CUT", "endedAt": 3000},
    Symptom.TOTAL: {"word": "CUT", "endedAt": 700},
}


def sight(rule: Rule, sign: Sign) -> tuple[str, dict[str, Any]]:
    """Return a verdict and what the page has noted, where *rule* is right and its product has left *sign*."""
    given = SIGHTS[rule.symptom]
    value = re.sub(r"\\b|\^|\|.*", "", sign.value) or "1"
    headers = {"content-encoding": given.get("encoding", "identity"), sign.header: value}
    return given["word"], {"headers": headers, "arrived": [0, 300, 600], "end": "cut", "endedAt": given.get("endedAt", 0)}


def seen(case: dict[str, Any]) -> dict[str, Any]:
    """Return what the page would have noted."""
    sent, arrived = ([times[index] * 1000 for times in case["arrivals"]] for index in (0, 1))
    ended_at = case.get("ended_at", 60) * 1000
    return {"count": case["count"], "sent": sent, "arrived": arrived, "end": ENDS[case["end"]], "endedAt": ended_at}


def figure(case: dict[str, Any]) -> str:
    """Return what the page says with the word, up to the figure."""
    seconds = case.get("seconds", 0)
    return {
        "STREAMING": f"each of {case['count']} events",
        "COALESCED": f"up to {case.get('burst')} events at once",
        "BUFFERED": f"all at once after {seconds:.1f} s",
        "CUT": f"at {seconds:.1f} s, after {len(case['arrivals'])} of {case['count']} events"
        if seconds >= 1
        else f"at {seconds * 1000:.0f} ms, after",
    }[case["word"]]


@pytest.fixture
async def page(chromium: str, house: House) -> AsyncIterator[Page]:
    host, port = house.server.address
    async with open_page(chromium, f"http://{host}:{port}/stream-check") as opened:
        yield opened


async def test_page_gives_every_verdict_of_the_table(page: Page) -> None:
    judged = await page.run(JUDGED, [seen(case) for case in CASES])

    wrong = [
        (case["name"], word, says)
        for case, (word, says) in zip(CASES, judged, strict=True)
        if word != case["word"] or not says.startswith(figure(case))
    ]
    assert wrong == []


async def test_page_names_the_setting_of_each_product_by_each_of_its_signs(page: Page) -> None:
    pairs = [(rule, sign) for rule in RULES if rule.symptom in SIGHTS for sign in SIGNS if sign.product == rule.product]
    told = await page.run(REMEDIES, [sight(rule, sign) for rule, sign in pairs])

    assert len(pairs) > 30
    wrong = [(rule, fix) for (rule, _), (_, fix) in zip(pairs, told, strict=True) if rule.setting not in fix]
    assert wrong == []


@pytest.mark.parametrize("symptom", ["held", "encoded", "silence", "total"])
async def test_page_says_something_of_use_where_nobody_left_a_sign(page: Page, symptom: str) -> None:
    rule = Rule("", Symptom[{"silence": "SILENCE", "total": "TOTAL"}.get(symptom, symptom.upper())], "", "")
    [[cause, fix]] = await page.run(REMEDIES, [sight(rule, Sign("", "x-nobody"))])

    assert cause.startswith("Something on the way")
    assert fix == await page.run(f"() => WHOEVER_IT_IS.{symptom}")
