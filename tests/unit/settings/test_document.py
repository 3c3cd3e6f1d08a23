from __future__ import annotations

import pytest

from proxy.settings.consistency import Loc
from proxy.settings.document import Document, dotted


def test_a_place_that_is_unknown_is_that_of_the_section_around_it() -> None:
    document = Document("c.yaml", places={(): "c.yaml:1:1", ("upstreams", "a"): "c.yaml:4:7"})

    assert document.where(("upstreams", "a", "kind")) == "c.yaml:4:7"
    assert document.where(("limits", "body")) == "c.yaml:1:1"


def test_without_any_place_the_source_has_to_do() -> None:
    assert Document("environment").where(("listen",)) == "environment"


def test_a_value_can_be_put_where_no_section_is() -> None:
    document = Document("environment", data={"auth": None})

    document.put(("auth", "tickets", "ttl"), "1s", "here")

    assert document.data == {"auth": {"tickets": {"ttl": "1s"}}}
    assert document.where(("auth", "tickets", "ttl")) == "here"


def test_a_value_can_be_put_into_an_entry_of_a_list() -> None:
    document = Document("c.yaml", data={"models": [{"name": "a"}, "text"]})

    document.put(("models", 0, "name"), "b", "here")
    document.put(("models", 1, "name"), "c", "here")

    assert document.data == {"models": [{"name": "b"}, {"name": "c"}]}


@pytest.mark.parametrize(("old", "new"), [("api_key_file", "api_key"), ("api_key", "api_key_file")])
def test_a_secret_that_is_put_takes_the_place_of_its_other_spelling(old: str, new: str) -> None:
    document = Document("c.yaml", data={"upstreams": {"a": {old: "x"}}})

    document.put(("upstreams", "a", new), "y", "here")

    assert document.data == {"upstreams": {"a": {new: "y"}}}


def test_putting_a_value_mends_the_broken_one() -> None:
    document = Document("c.yaml", data={"listen": ""})
    document.breaks(("listen",), "the variable is not set")

    document.put(("listen",), "127.0.0.1:1", "here")

    assert document.broken == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("auth",), True),
        (("auth", "jwt"), True),
        (("auth", "jwt", 0), True),
        ((), True),
        (("auth", "cookie"), False),
        (("cors",), False),
    ],
)
def test_a_broken_value_silences_complaints_above_and_below_it(path: Loc, expected: bool) -> None:
    document = Document("c.yaml")
    document.breaks(("auth", "jwt"), "unreadable")

    assert document.overshadowed(path) is expected


def test_mappings_are_found_in_lists_too() -> None:
    document = Document("c.yaml", data={"a": {"b": [{"c": {}}]}, "d": "x"})

    assert {path for path, _ in document.mappings()} == {(), ("a",), ("a", "b", 0), ("a", "b", 0, "c")}


def test_a_path_is_written_with_dots() -> None:
    assert dotted(("models", 0, "name")) == "models.0.name"
