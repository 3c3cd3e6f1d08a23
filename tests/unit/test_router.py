from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import settings
from proxy.errors import ModelNotFound
from proxy.router import Choice, Route, Router, Target, candidates

STREAMING = settings.Streaming()


def model(name: str, *targets: dict[str, Any], **more: Any) -> settings.Model:
    return settings.Model.model_validate({"name": name, "targets": list(targets) or [{"upstream": "a"}], **more})


def router(*models: settings.Model) -> Router:
    return Router(models, lambda _: STREAMING)


def route(*choices: Choice) -> Route:
    return Route(name="m", targets=choices, streaming=STREAMING, drop_params=False, ask_usage=False, price=None)


def upstreams(order: tuple[Target, ...]) -> list[str]:
    return [target.upstream for target in order]


A, B, C = (Choice(upstream=name) for name in "abc")
HEAVY = Choice(upstream="heavy", weight=3)
LIGHT = Choice(upstream="light", weight=1)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [("gpt-4o-mini", "gpt-4o-mini"), ("gpt-4o", "gpt-*"), ("claude-x", "*"), ("gpt-5", "gpt-*")],
)
def test_first_matching_name_wins(requested: str, expected: str) -> None:
    table = router(model("gpt-4o-mini"), model("gpt-*"), model("gpt-5"), model("*"))

    found = table.resolve(requested)

    assert found.name == expected


def test_the_same_name_finds_the_same_route_again() -> None:
    table = router(model("gpt-*"))

    assert table.resolve("gpt-4o") is table.resolve("gpt-4o")


def test_unknown_model_is_an_error_whose_answer_does_not_repeat_it() -> None:
    with pytest.raises(ModelNotFound) as caught:
        router(model("gpt-4o")).resolve("o" * 5000)

    assert "ooo" not in caught.value.public
    assert len(caught.value.detail) < 200


def test_made_up_model_names_do_not_fill_the_memory() -> None:
    table = router(model("*"))

    for number in range(5000):
        table.resolve(f"name-{number}")
    table.resolve("x" * 100_000)

    assert len(table._cache) <= 1024
    assert max(map(len, table._cache)) < 1000


def test_only_literal_names_are_listed_in_configured_order_and_once() -> None:
    table = router(model("b"), model("gpt-*"), model("a"), model("b"))

    assert table.public_names() == ("b", "a")


def test_route_carries_what_is_configured_for_the_model() -> None:
    merged = settings.Streaming(commit_after=1.0)
    configured = model("m", drop_params=True, ask_usage=True, price={"input": 0.15, "output": 0.6})

    found = Router([configured], lambda asked: merged if asked is configured else STREAMING).resolve("m")

    assert found.streaming is merged
    assert found.drop_params
    assert found.ask_usage
    assert found.price == configured.price


def test_target_without_a_model_keeps_the_requested_name() -> None:
    found = router(model("claude-*", {"upstream": "a"}, {"upstream": "b", "model": "anthropic.{model}-v1:0"})).resolve("claude-x")

    order = candidates(found, "claude-x", draw=0.0, usable=lambda _: True, stateful=False)

    assert order == (Target("a", "claude-x"), Target("b", "anthropic.claude-x-v1:0"))


def test_targets_without_weights_keep_their_order() -> None:
    order = candidates(route(A, B, C), "m", draw=0.99, usable=lambda _: True, stateful=False)

    assert upstreams(order) == ["a", "b", "c"]


@pytest.mark.parametrize(("draw", "first"), [(0.0, "heavy"), (0.74, "heavy"), (0.76, "light"), (0.999999, "light")])
def test_first_target_is_drawn_by_weight(draw: float, first: str) -> None:
    order = candidates(route(HEAVY, LIGHT), "m", draw=draw, usable=lambda _: True, stateful=False)

    assert order[0].upstream == first
    assert len(order) == 2


def test_targets_that_were_not_drawn_keep_their_order() -> None:
    order = candidates(route(A, HEAVY, B, LIGHT, C), "m", draw=0.9, usable=lambda _: True, stateful=False)

    assert upstreams(order) == ["light", "a", "heavy", "b", "c"]


def test_weights_are_drawn_among_usable_targets_only() -> None:
    order = candidates(route(HEAVY, LIGHT), "m", draw=0.1, usable=lambda name: name != "heavy", stateful=False)

    assert upstreams(order) == ["light"]


def test_unusable_targets_are_left_out() -> None:
    order = candidates(route(A, B, C), "m", draw=0.0, usable=lambda name: name != "b", stateful=False)

    assert upstreams(order) == ["a", "c"]


def test_the_last_target_is_never_left_out() -> None:
    order = candidates(route(A, B), "m", draw=0.0, usable=lambda _: False, stateful=False)

    assert upstreams(order) == ["a"]


@pytest.mark.parametrize("usable", [True, False])
def test_stateful_call_goes_to_the_first_target_only(usable: bool) -> None:
    order = candidates(route(HEAVY, LIGHT), "m", draw=0.99, usable=lambda _: usable, stateful=True)

    assert upstreams(order) == ["heavy"]


@given(
    weights=st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0, 1e9]), min_size=1, max_size=6),
    usable=st.lists(st.booleans(), min_size=6, max_size=6),
    draw=st.floats(0.0, 1.0, exclude_max=True),
)
def test_candidates_are_the_usable_targets_each_once(weights: list[float], usable: list[bool], draw: float) -> None:
    choices = [Choice(upstream=str(index), weight=weight) for index, weight in enumerate(weights)]

    order = candidates(route(*choices), "m", draw=draw, usable=lambda name: usable[int(name)], stateful=False)

    good = {choice.upstream for choice in choices if usable[int(choice.upstream)]}
    assert len(order) == len(set(order))
    assert set(upstreams(order)) == (good if good and len(choices) > 1 else {"0"})
    drawable = [choice.upstream for choice in choices if choice.upstream in good and choice.weight > 0]
    assert not drawable or len(choices) == 1 or order[0].upstream in drawable
