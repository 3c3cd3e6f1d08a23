from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.translate.names import Names, fitting_id

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def test_a_name_that_fits_is_the_same_on_both_sides() -> None:
    names = Names(NAME)

    assert names.there("get_weather") == "get_weather"
    assert names.here("get_weather") == "get_weather"


@given(st.lists(st.text(), unique=True, max_size=5))
def test_every_name_fits_over_there_and_comes_back_as_it_was(clients: list[str]) -> None:
    names = Names(NAME)

    made = [names.there(name) for name in clients]

    assert all(NAME.fullmatch(name) for name in made)
    assert len(set(made)) == len(made)
    assert [names.here(name) for name in made] == clients


def test_a_name_is_made_the_same_way_each_time_and_still_tells_what_the_tool_is_for() -> None:
    assert Names(NAME).there("files.read") == Names(NAME).there("files.read")
    assert "files_read" in Names(NAME).there("files.read")


def test_a_name_that_the_client_never_used_comes_back_as_it_is() -> None:
    assert Names(NAME).here("invented") == "invented"


@given(st.text())
def test_an_id_always_becomes_the_same_one_that_fits(call: str) -> None:
    fits = re.compile(r"[A-Za-z0-9_-]{1,64}")

    assert fits.fullmatch(fitting_id(call, fits))
    assert fitting_id(call, fits) == fitting_id(call, fits)
    assert fitting_id(call, fits) == call or not fits.fullmatch(call)


def test_ids_that_do_not_fit_stay_apart() -> None:
    fits = re.compile(r"[a-z]+")

    assert fitting_id("1", fits) != fitting_id("2", fits)
