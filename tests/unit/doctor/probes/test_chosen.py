"""Which probes are made."""

from __future__ import annotations

import argparse

import pytest

from proxy.doctor import arguments
from proxy.doctor.probes.chosen import chosen


def names(*words: str) -> list[str]:
    parser = argparse.ArgumentParser()
    arguments.add_to(parser)
    return [probe.name for probe in chosen(parser.parse_args(["http://a", *words]), "key", arguments.LISTED)]


def test_none_is_made_unless_it_is_asked_for() -> None:
    assert names() == []


@pytest.mark.parametrize(
    "name", ["post", "compression", "disconnect", "reconnect", "websocket", "clock", "headers", "bodies", "idle"]
)
def test_each_has_its_flag(name: str) -> None:
    assert names(f"--{name}") == [name]


def test_all_are_made_with_the_longest_last() -> None:
    assert names("--all") == ["post", "compression", "disconnect", "reconnect", "websocket", "clock", "headers", "bodies", "idle"]


@pytest.mark.parametrize(
    ("words", "seconds"), [(("--idle",), 305), (("--idle", "1,2"), 2), (("--all",), 305), (("--all", "--idle=3"), 3)]
)
def test_list_of_silences_can_be_shortened(words: tuple[str, ...], seconds: float) -> None:
    parser = argparse.ArgumentParser()
    arguments.add_to(parser)

    *_, idle = chosen(parser.parse_args(["http://a", *words]), "", arguments.LISTED)

    assert idle.seconds == seconds
