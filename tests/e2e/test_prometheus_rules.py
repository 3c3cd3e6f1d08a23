"""The alerts and recording rules, held to their word by Debian's promtool."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from proxy.metrics import Metrics
from tests.e2e.alert_cases import CASES, Case
from tests.support.components import require
from tests.support.house import House

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = sorted((ROOT / "config" / "prometheus" / "rules").glob("*.yml"))
CONFIGS: Final = [ROOT / "config" / "prometheus.yml", ROOT / "config" / "prometheus" / "static.yml"]

pytestmark = pytest.mark.component("promtool")


def promtool(*arguments: str | Path, told: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end, with *told* as its standard input."""
    command: list[str | Path] = [require("promtool"), *arguments]
    return subprocess.run(command, input=told, capture_output=True, text=True, check=False)


def rules() -> dict[str, dict[str, Any]]:
    """Every rule by its name."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule.get("alert") or rule["record"]: rule for group in groups for rule in group["rules"]}


def alerts() -> list[str]:
    return [name for name, rule in rules().items() if "alert" in rule]


def expected(case: Case) -> dict[str, Any]:
    """Return the alert as it must fire, its texts filled in."""
    rule = rules()[case.alert]
    texts = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: case.labels[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": texts}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{'fires' if case.fires else 'is quiet'}")
def test_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    wanted = [expected(case)] if case.fires else []
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": wanted}],
    }
    file = tmp_path / "case.yml"
    file.write_text(json.dumps({"rule_files": [str(path) for path in RULES], "tests": [test]}))

    done = promtool("test", "rules", file)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_history_that_fires_it_and_one_that_does_not(alert: str) -> None:
    assert {case.fires for case in CASES if case.alert == alert} == {True, False}


def test_every_alert_has_its_row_in_the_documentation() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()

    assert set(re.findall(r"LLMProxy\w+", page)) == set(alerts())


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_says_what_to_do(alert: str) -> None:
    rule = rules()[alert]

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert len(rule["annotations"]["summary"]) < 100
    assert len(rule["annotations"]["runbook"]) > 150


def test_rules_ask_for_metrics_that_exist() -> None:
    shown = set(re.findall(r"^# TYPE (\w+)", Metrics().render().decode(), re.MULTILINE))
    text = " ".join(str(rule["expr"]) for rule in rules().values())
    asked = {re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"\bllm_proxy_\w+", text)}
    recorded = set(re.findall(r"\bllm_proxy:[\w:]+", text))

    assert asked <= shown
    assert recorded <= set(rules())


@pytest.mark.parametrize("path", [*RULES, *CONFIGS], ids=lambda path: path.name)
def test_file_is_valid(path: Path) -> None:
    done = promtool("check", "rules" if path in RULES else "config", path)

    assert done.returncode == 0, done.stdout + done.stderr


async def test_what_the_proxy_exposes_is_in_good_form(house: House) -> None:
    async with house.client() as client:
        await (await client.request("GET", "/healthz")).read()

    done = promtool("check", "metrics", told=await house.admin("/metrics"))

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
