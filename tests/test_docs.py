"""The documentation tells the truth: every code, outcome, metric and key has its row, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel

from proxy.errors import Denied, LimitError, ProxyError, RequestError, UpstreamError
from proxy.exchange import Outcome
from proxy.metrics import Metrics, Vitals
from proxy.settings import Settings

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("examples/*.md")])
BRANCHES: Final = {ProxyError, RequestError, Denied, LimitError, UpstreamError}  # never raised themselves


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def table_words(text: str) -> set[str]:
    """What stands as code in the first column of the page's tables."""
    return {word for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for word in re.findall(r"`([^`]+)`", row)}


def errors(branch: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    for error in branch.__subclasses__():
        if error not in BRANCHES:
            yield error
        yield from errors(error)


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings sections inside a field's type, however they are wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inside in get_args(annotation):
        yield from sections(inside)


def keys(section: type[BaseModel]) -> Iterator[str]:
    """Every key of the configuration, by its last name."""
    for name, field in section.model_fields.items():
        yield name
        for inner in sections(field.annotation):
            yield from keys(inner)


def test_every_error_code_has_its_row_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+|its own) \|", page("errors.md"), re.MULTILINE))
    told = {error.code: "its own" if error.code == "upstream_refused" else str(error.status) for error in errors()}
    told["invalid_request"] = "400"

    assert rows == told


def test_every_outcome_has_its_row() -> None:
    outcomes = page("errors.md").partition("## Outcomes")[2]

    assert table_words(outcomes) == {outcome.value for outcome in Outcome}


def test_every_metric_has_its_row() -> None:
    shown = {line.split()[2] for line in Metrics().render().decode().splitlines() if line.startswith("# TYPE llm_proxy_")}

    assert {word for word in table_words(page("metrics.md")) if word.startswith("llm_proxy_")} == shown


def test_every_metric_of_workers_is_named() -> None:
    registry = CollectorRegistry()
    registry.register(Vitals(dict, int, int))
    shown = set(re.findall(r"^# TYPE (\w+)", generate_latest(registry).decode(), re.MULTILINE))

    assert shown == set(re.findall(r"`(llm_proxy_worker_\w+)`", page("metrics.md")))


def test_every_field_of_the_request_log_is_explained() -> None:
    source = (ROOT / "proxy" / "access_log.py").read_text()
    fields = set(re.findall(r'^ +fields\["(\w+)"\] = |^        "(\w+)": ', source, re.MULTILINE))

    assert {"id", "outcome", "attempts"} <= {"".join(field) for field in fields}
    assert {"".join(field) for field in fields} - set(
        re.findall(r"`(\w+)`", page("metrics.md").partition("## The log line")[2])
    ) == set()


def test_every_alert_has_its_row() -> None:
    rules = "".join(path.read_text() for path in ROOT.glob("config/prometheus/rules/*.yml"))

    told = {word for word in table_words(page("metrics.md")) if word.startswith("LLMProxy")}

    assert told == set(re.findall(r"alert: (\w+)", rules))


def test_every_key_of_the_configuration_is_explained() -> None:
    words = set(re.findall(r"\w+", " ".join(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page("configuration.md")))))

    assert [key for key in keys(Settings) if key not in words] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    found = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", path.read_text())
    links = [link.partition("#")[0] for link in map("".join, found) if "://" not in link]

    assert [link for link in links if link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_every_link_to_a_part_of_a_page_leads_to_its_heading(path: Path) -> None:
    links = [link.partition("#") for link in re.findall(r"\]\(([^)]+#[^)]+)\)", path.read_text()) if "://" not in link]

    assert [(file, part) for file, _, part in links if part not in parts((path.parent / file) if file else path)] == []


def parts(path: Path) -> set[str]:
    """Return what the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_newcomers_command_is_what_decides() -> None:
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()
