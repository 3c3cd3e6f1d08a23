from __future__ import annotations

from typing import Any

import pytest

from proxy.settings.explain import in_order
from proxy.settings.problems import Problem


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("worker: 2", "c.yaml:1:1 worker: unknown key; did you mean workers?"),
        ("limits: {boddy: 1}", "c.yaml:1:10 limits.boddy: unknown key; did you mean body?"),
        ("drain: {xyzzy: 1}", "c.yaml:1:9 drain.xyzzy: unknown key; known here: deadline, grace"),
        (
            "upstreams: {a: {kind: openai, timout: 5s}}",
            "c.yaml:1:31 upstreams.a.timout: unknown key; did you mean connect_timeout?",
        ),
        ("workers: many", "c.yaml:1:10 workers: expected a whole number"),
        ("workers: 1.5", "c.yaml:1:10 workers: expected a whole number"),
        ("workers: 0", "c.yaml:1:10 workers: expected 1 or more"),
        ("workers: 1000", "c.yaml:1:10 workers: expected 256 or less"),
        ("retry: {budget_ratio: x}", "c.yaml:1:23 retry.budget_ratio: expected a number"),
        ("retry: {budget_ratio: nan}", "c.yaml:1:23 retry.budget_ratio: expected a finite number"),
        ("log: {level: verbose}", "c.yaml:1:14 log.level: expected 'debug', 'info', 'warning' or 'error'"),
        ("limits: text", "c.yaml:1:9 limits: expected a mapping of keys to values"),
        ("upstreams: {a: }", "c.yaml:1:16 upstreams.a: expected a mapping of keys to values"),
        ("upstreams: text", "c.yaml:1:12 upstreams: expected a mapping of keys to values"),
        ("upstreams: {a: {}}", "c.yaml:1:16 upstreams.a.kind: this key is required"),
        ("cors: {origins: x}", "c.yaml:1:17 cors.origins: expected a list"),
        ("diagnostics: {public: maybe}", "c.yaml:1:23 diagnostics.public: expected true or false"),
        ("diagnostics: {public: [true]}", "c.yaml:1:23 diagnostics.public: expected true or false"),
        ("usage: {store_file: }\nlog: {level: [a]}", "c.yaml:2:14 log.level: expected 'debug', 'info', 'warning' or 'error'"),
        (
            "upstreams: {a: {kind: openai}}\nmodels: [{name: a, targets: []}]",
            "c.yaml:2:29 models.0.targets: expected at least one entry",
        ),
        (
            "streaming: {commit_after: 5}",
            "c.yaml:1:27 streaming.commit_after: a number alone has no unit: expected a duration such as 250ms, 10s, 5m or 2h",
        ),
        (
            "upstreams: {'a b': {kind: simulator}}",
            "c.yaml:1:20 upstreams.a b: expected at most 64 letters, digits, or . _ @ + - between them",
        ),
        ("upstreams: {a: {kind: openai, api_version: ''}}", "c.yaml:1:44 upstreams.a.api_version: expected some text"),
        ("upstreams: {a: {kind: openai, api_version: [x]}}", "c.yaml:1:44 upstreams.a.api_version: expected text"),
    ],
)
def test_a_mistake_is_told_where_it_is_what_was_expected_and_how_to_mend_it(complaints: Any, text: str, line: str) -> None:
    assert complaints(text) == [line]


def test_a_list_whose_only_entry_is_wrong_is_not_also_called_empty(complaints: Any) -> None:
    lines = complaints("upstreams: {a: {kind: openai}}\nmodels: [{name: m, targets: [text]}]")

    assert lines == ["c.yaml:2:30 models.0.targets.0: expected a mapping of keys to values"]


def test_problems_come_in_the_order_of_the_file_and_each_once() -> None:
    second, third, tenth = (Problem(f"c.yaml:{place}", "", "m") for place in ("2:9", "3:1", "10:1"))
    elsewhere = Problem("environment variable X", "", "m")

    assert in_order([elsewhere, tenth, third, second, third]) == [second, third, tenth, elsewhere]
