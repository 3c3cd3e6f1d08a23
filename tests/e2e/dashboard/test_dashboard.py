"""Every query of the dashboard and every recording rule, asked of a real Prometheus about a proxy with real traffic."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.e2e.dashboard.panels import Query, dashboard, panels, queries
from tests.e2e.dashboard.prometheus import SCRAPE, Prometheus, Series, prometheus
from tests.e2e.dashboard.traffic import crowd, settings
from tests.e2e.shipped import ROOT
from tests.support.house import open_house

WITHIN: Final = 45.0  # seconds in which every panel must have something to show
INTERVAL: Final = f"{SCRAPE * 8:.0f}s"  # as Grafana's $__rate_interval: four scrapes at least
SPAN: Final = 3.0  # seconds that are looked at
RULES: Final = ROOT / "config" / "prometheus" / "rules" / "records.yml"
RECORDS: Final = [rule["record"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
QUERIES: Final = list(queries())
NAMES: Final = [*RECORDS, *(query.name for query in QUERIES)]
CHOSEN: Final = "openrouter"

Answers = dict[str, list[Series]]


def good(series: list[Series]) -> bool:
    return any(each.shows_something for each in series) and all(each.finite for each in series)


def differ(series: list[Series], shown: set[str]) -> bool:
    """Tell whether the labels that are shown tell the series apart."""
    return len({tuple(each.labels[label] for label in sorted(shown)) for each in series}) == len(series)


async def look(server: Prometheus) -> Answers:
    """Ask everything that the dashboard asks, for the last seconds, and for every recorded series."""
    end = time.time()
    answers: Answers = {record: await server.now(record) for record in RECORDS}

    async def ask(query: Query, expression: str) -> list[Series]:
        """Of a span, as the panel does: a scrape that came too late leaves nothing to see at this very moment."""
        return await (server.now(expression) if query.instant else server.between(expression, end - SPAN, end, SCRAPE))

    for query in QUERIES:
        answers[query.name] = await ask(query, query.filled(interval=INTERVAL))
        answers[narrowed(query)] = await ask(query, query.filled(interval=INTERVAL, upstream=CHOSEN))
    return answers


def narrowed(query: Query) -> str:
    """Return the name under which its answer is kept when one upstream is chosen."""
    return f"{query.name} of {CHOSEN}"


async def observe(folder: Path) -> Answers:
    """Run everything until all is there that should be, and return what the dashboard then shows."""
    async with open_house(settings()) as house, prometheus(folder, house) as server, crowd(house):
        deadline = time.monotonic() + WITHIN
        while True:
            answers = await look(server)
            if all(good(answers[name]) for name in NAMES) or time.monotonic() > deadline:
                return answers
            await asyncio.sleep(SCRAPE)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return asyncio.run(observe(tmp_path_factory.mktemp("prometheus")))


@pytest.mark.component("prometheus")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_query_has_something_to_show(answers: Answers, query: Query) -> None:
    series = answers[query.name]

    assert any(each.shows_something for each in series)
    assert all(each.finite for each in series)
    assert all(query.labels <= each.labels.keys() for each in series)
    assert query.form == "table" or differ(series, query.labels)


@pytest.mark.component("prometheus")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("query", [query for query in QUERIES if "upstream" in query.labels], ids=lambda query: query.name)
def test_choosing_an_upstream_leaves_the_others_out(answers: Answers, query: Query) -> None:
    assert {each.labels["upstream"] for each in answers[query.name]} > {CHOSEN}
    assert {each.labels["upstream"] for each in answers[narrowed(query)]} == {CHOSEN}


@pytest.mark.component("prometheus")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("record", RECORDS)
def test_recording_rule_has_something_to_record(answers: Answers, record: str) -> None:
    assert good(answers[record])


# The file.


@pytest.mark.parametrize("query", [query for query in QUERIES if query.form == "time_series"], ids=lambda query: query.name)
def test_what_a_query_tells_apart_its_legend_names(query: Query) -> None:
    """Else two lines of a panel would have one name."""
    groups = re.findall(r"by \(([^)]*)\)", query.expression)

    assert {label for group in groups for label in group.split(", ")} - {"le"} <= query.labels


def titles(panel: dict[str, Any]) -> str:
    title: str = panel["title"]
    return title


def test_names_and_numbers_are_unique() -> None:
    everything = dashboard()["panels"]

    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({titles(panel) for panel in everything}) == len(everything)


def test_no_panel_covers_another() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    for one, other in combinations(dashboard()["panels"], 2):
        assert not cells(one) & cells(other), f"{titles(one)} and {titles(other)}"


def references(value: Any) -> Iterator[Any]:
    """Yield whatever is named as a data source, anywhere inside."""
    if isinstance(value, dict):
        yield from (value[key] for key in value if key == "datasource")
        value = list(value.values())
    if isinstance(value, list):
        for inside in value:
            yield from references(inside)


def test_the_data_source_is_a_choice_everywhere() -> None:
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in references(dashboard()))
    assert all(target.get("datasource") for panel in panels() for target in panel["targets"])


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    source = yaml.safe_load((ROOT / "config" / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    scraped = yaml.safe_load((ROOT / "config" / "prometheus.yml").read_text())["global"]["scrape_interval"]

    assert [each["jsonData"]["timeInterval"] for each in source["datasources"]] == [scraped]
