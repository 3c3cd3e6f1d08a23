from __future__ import annotations

from proxy.settings.problems import Problem, SettingsError


def test_a_problem_reads_as_place_path_and_message() -> None:
    problem = Problem("c.yaml:3:5", "limits.body", "expected a size")

    assert str(problem) == "c.yaml:3:5 limits.body: expected a size"


def test_a_problem_without_a_key_has_no_path() -> None:
    problem = Problem("c.yaml:1:1", "", "not YAML")

    assert str(problem) == "c.yaml:1:1: not YAML"


def test_the_error_shows_one_problem_on_each_line() -> None:
    error = SettingsError([Problem("a", "", "one"), Problem("b", "", "two")])

    assert str(error) == "a: one\nb: two"
    assert [problem.where for problem in error.problems] == ["a", "b"]
