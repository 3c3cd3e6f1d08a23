from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.fields import Fields, cannot, dumped, refuse, refuse_unknown, without_empty

NESTED: Any = []
for _ in range(100_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("read", "bad", "place"),
    [
        pytest.param(lambda f: f.text("a"), 1, "x.a", id="text"),
        pytest.param(lambda f: f.name("a"), "", "x.a", id="empty name"),
        pytest.param(lambda f: f.maybe_text("a"), [], "x.a", id="maybe text"),
        pytest.param(lambda f: f.flag("a"), 1, "x.a", id="flag"),
        pytest.param(lambda f: f.number("a"), True, "x.a", id="number"),
        pytest.param(lambda f: f.number("a"), "1", "x.a", id="number in a string"),
        pytest.param(lambda f: f.number("a", most=2), 2.5, "x.a", id="number above the most"),
        pytest.param(lambda f: f.number("a", most=2), -1, "x.a", id="number below zero"),
        pytest.param(lambda f: f.number("a", most=2), float("nan"), "x.a", id="no number"),
        pytest.param(lambda f: f.count("a"), 0, "x.a", id="count of nothing"),
        pytest.param(lambda f: f.count("a"), True, "x.a", id="count that is a flag"),
        pytest.param(lambda f: f.integer("a"), 1.5, "x.a", id="broken integer"),
        pytest.param(lambda f: f.integer("a"), False, "x.a", id="integer that is a flag"),
        pytest.param(lambda f: f.word("a", ("b", "c")), "d", "x.a", id="word"),
        pytest.param(lambda f: f.word("a", ("b", "c")), ["b"], "x.a", id="list as a word"),
        pytest.param(lambda f: f.table("a"), [], "x.a", id="table"),
        pytest.param(lambda f: f.inner("a"), None, "x.a", id="missing inner table"),
        pytest.param(lambda f: f.tables("a"), [{}, 1], "x.a", id="tables"),
        pytest.param(lambda f: f.texts("a"), ["b", 1], "x.a", id="texts"),
    ],
)
def test_a_member_of_the_wrong_kind_is_named_by_its_place(read: Callable[[Fields], object], bad: Any, place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(Fields({"a": bad}, "x"))

    assert caught.value.param == place
    assert f"'{place}'" in caught.value.public


def test_null_counts_as_absent() -> None:
    absent = Fields({"a": None})

    read: list[object] = [absent.maybe_text("a"), absent.flag("a"), absent.number("a"), absent.count("a"), absent.table("a")]
    assert read == [None] * 5
    assert absent.word("a", ("b",)) is None
    assert absent.integer("a") is None
    assert not absent.tables("a")
    assert not absent.texts("a")


def test_a_member_that_must_be_there_is_said_to_be_missing() -> None:
    with pytest.raises(BadRequest) as caught:
        Fields({}).text("model")

    assert caught.value.public == "The field 'model' is missing."


def test_what_is_right_comes_back_as_it_is() -> None:
    right = Fields({"text": "", "flag": False, "number": 0, "count": 1, "word": "b", "texts": ["a"]})

    assert right.text("text") == ""
    assert right.flag("flag") is False
    assert right.number("number", most=1) == 0
    assert right.count("count") == right.integer("count") == 1
    assert right.word("word", ("b",)) == "b"
    assert right.texts("texts") == ["a"]


def test_the_place_of_an_inner_member_holds_its_number() -> None:
    inner = Fields({"messages": [{}, {"parts": {"x": 1}}]}).tables("messages")[1].inner("parts")

    assert inner.where("x") == "messages[1].parts.x"


def test_a_parameter_is_refused_by_name_or_left_out() -> None:
    refuse("seed", drop=True)

    with pytest.raises(Untranslatable, match="'seed' must not") as caught:
        refuse("seed", "must not be here", drop=False)
    assert caught.value.param == "seed"


def test_the_first_member_of_which_nothing_is_known_is_refused() -> None:
    refuse_unknown({"known": 1, "none": None}, {"known"}, drop=False)
    refuse_unknown({"other": 1}, {"known"}, drop=True)

    with pytest.raises(Untranslatable) as caught:
        refuse_unknown({"known": 1, "other": 1}, {"known"}, drop=False)
    assert caught.value.param == "other"


@pytest.mark.parametrize("name", ["<script>", "a" * 65, "a b", "\ud83d", ""])
def test_a_member_whose_name_looks_like_no_name_is_not_repeated(name: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        refuse_unknown({name: 1}, (), drop=False)

    assert caught.value.param == "(unknown)"


def test_what_cannot_be_left_out_is_refused_in_the_same_words() -> None:
    assert "'a.b'" in cannot("a.b").public


def test_members_that_say_nothing_are_left_out_and_zero_and_false_say_something() -> None:
    assert without_empty({"a": None, "b": "", "c": [], "d": {}, "e": 0, "f": False}) == {"e": 0, "f": False}


def test_half_a_surrogate_pair_and_huge_numbers_are_written_as_they_came() -> None:
    assert dumped({"a": "\ud83d", "b": 1 << 70}) == b'{"a":"\\ud83d","b":1180591620717411303424}'
    assert orjson.loads(dumped({"a": "\u20ac"})) == {"a": "\u20ac"}


def test_what_is_nested_too_deeply_to_be_written_is_the_clients_fault() -> None:
    with pytest.raises(BadRequest, match="nested too deeply"):
        dumped(NESTED)
