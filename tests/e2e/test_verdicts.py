"""The page that checks streams gives the verdicts of the doctor, on the same table of arrivals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.browser import open_page
from tests.support.house import House

CASES: Final = json.loads((Path(__file__).parents[1] / "golden" / "verdicts.json").read_text())
ENDS: Final = {"done": "done", "silent": "silent", "broken": "cut", "clean": "cut"}  # a browser does not tell the last two apart
JUDGED: Final = "cases => cases.map(seen => { const { word, says } = judge(seen); return [word, says]; })"


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


@pytest.mark.component("chromium")
async def test_page_gives_every_verdict_of_the_table(chromium: str, house: House) -> None:
    host, port = house.server.address
    async with open_page(chromium, f"http://{host}:{port}/stream-check") as page:
        judged = await page.run(JUDGED, [seen(case) for case in CASES])

    wrong = [
        (case["name"], word, says)
        for case, (word, says) in zip(CASES, judged, strict=True)
        if word != case["word"] or not says.startswith(figure(case))
    ]
    assert wrong == []
