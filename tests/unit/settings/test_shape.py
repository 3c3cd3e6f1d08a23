from __future__ import annotations

from typing import Any

import pytest

from proxy.settings import Model, Price, Settings, Upstream
from proxy.settings.clients import JwtIssuer
from proxy.settings.consistency import Loc
from proxy.settings.shape import model_of, scalars, section_at


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ((), Settings),
        (("upstreams", "any"), Upstream),
        (("models", 3), Model),
        (("models", 3, "price"), Price),
        (("auth", "jwt", 0), JwtIssuer),
        (("listen",), None),
        (("upstreams",), None),
        (("nowhere",), None),
        (("nowhere", "at", "all"), None),
        (("upstreams", "any", "headers", "x"), None),
    ],
)
def test_a_path_leads_to_its_section(path: Loc, section: Any) -> None:
    assert section_at(path) is section


def test_single_values_are_listed_with_their_paths() -> None:
    found = dict(scalars({}))

    assert found["listen",] is False
    assert found["streaming", "keepalive_interval"] is False
    assert found["auth", "cookie"] is False


def test_lists_of_single_values_are_marked() -> None:
    found = dict(scalars({}))

    assert found["cors", "origins"] is True
    assert found["trusted_proxies",] is True
    assert found["retry", "statuses"] is True


def test_named_and_numbered_sections_are_those_that_exist() -> None:
    found = dict(scalars({"upstreams": {"a": None}, "models": [{"targets": [{}]}]}))

    assert ("upstreams", "a", "api_key") in found
    assert ("models", 0, "price", "input") in found
    assert ("models", 0, "targets", 0, "weight") in found
    assert ("models", 1, "name") not in found
    assert not any(path[:2] == ("auth", "jwt") for path in found)


def test_a_mapping_with_free_keys_is_no_single_value() -> None:
    assert ("upstreams", "a", "headers") not in dict(scalars({"upstreams": {"a": {}}}))


def test_a_section_is_known_behind_a_choice_of_none() -> None:
    assert model_of(Price | None) is Price
    assert model_of(int | str) is None
