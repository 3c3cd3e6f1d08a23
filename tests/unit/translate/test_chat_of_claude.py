from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import Untranslatable
from proxy.translate.chat_of_claude import sampling_of, stop_of, thinking_of
from proxy.translate.chat_request import read_chat
from tests.unit.translate.asking import USER, WEATHER, call, called, result, source

OLD = "claude-sonnet-4-20250514"  # takes temperature and top_p together, thinks by budget
MIDDLE = "claude-sonnet-4-5-20250929"  # takes one of them
ADAPTIVE = "claude-opus-4-6"  # and thinks as it likes
NEW = "claude-opus-4-7"  # has no sampling

SIGNED = {"type": "thinking", "thinking": "Hm", "signature": "sig"}


def sampling(model: str, *, drop: bool = False, **values: Any) -> dict[str, float]:
    asked = source(model=model, drop=drop, **values)
    chat = read_chat(asked)
    return sampling_of(asked, chat, thinking_of(asked, chat))


def thinking(model: str, *, drop: bool = False, **values: Any) -> dict[str, object] | None:
    asked = source(model=model, drop=drop, reasoning_effort="low", **values)
    mode = thinking_of(asked, read_chat(asked))
    return None if mode is None else mode.config


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        pytest.param(OLD, {}, {}, id="nothing"),
        pytest.param(OLD, {"temperature": 0}, {"temperature": 0}, id="zero"),
        pytest.param(OLD, {"temperature": 1.7}, {"temperature": 1}, id="beyond Anthropic's range"),
        pytest.param(
            OLD, {"temperature": 0.2, "top_p": 0.5, "top_k": 7}, {"temperature": 0.2, "top_p": 0.5, "top_k": 7}, id="all"
        ),
        pytest.param(MIDDLE, {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, id="top_p that changes nothing"),
        pytest.param(MIDDLE, {"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}, id="temperature that changes nothing"),
        pytest.param(MIDDLE, {"temperature": 1, "top_p": 1}, {"temperature": 1}, id="neither changes anything"),
        pytest.param(MIDDLE, {"top_p": 0.5}, {"top_p": 0.5}, id="one of them"),
        pytest.param(NEW, {"temperature": 0.2, "top_p": 0.5, "top_k": 7}, {}, id="a model without any"),
        pytest.param(OLD, {"reasoning_effort": "none", "temperature": 0.2}, {"temperature": 0.2}, id="told not to think"),
        pytest.param(OLD, {"reasoning_effort": "low", "temperature": 1, "top_p": 0.95}, {"top_p": 0.95}, id="while it thinks"),
    ],
)
def test_sampling_is_told_as_far_as_the_model_takes_it(model: str, values: dict[str, Any], told: dict[str, float]) -> None:
    assert sampling(model, **values) == told


@pytest.mark.parametrize(
    ("model", "values", "name", "left"),
    [
        (MIDDLE, {"temperature": 0.2, "top_p": 0.5}, "top_p", {"temperature": 0.2}),
        (OLD, {"reasoning_effort": "low", "temperature": 0.2}, "temperature", {}),
        (ADAPTIVE, {"reasoning_effort": "low", "top_p": 0.5}, "top_p", {}),
        (OLD, {"reasoning_effort": "low", "top_k": 5}, "top_k", {}),
    ],
)
def test_what_cannot_be_combined_is_refused_or_left_out(
    model: str, values: dict[str, Any], name: str, left: dict[str, float]
) -> None:
    with pytest.raises(Untranslatable) as caught:
        sampling(model, **values)

    assert caught.value.param == name
    assert sampling(model, **values, drop=True) == left


def test_a_forced_tool_cannot_be_combined_with_thinking() -> None:
    with pytest.raises(Untranslatable) as caught:
        thinking(MIDDLE, tools=[WEATHER], tool_choice="required")

    assert caught.value.param == "reasoning_effort"
    assert thinking(MIDDLE, tools=[WEATHER], tool_choice="required", drop=True) is None
    assert thinking(MIDDLE, tools=[WEATHER], tool_choice="auto") is not None


def test_a_limit_that_leaves_no_room_to_think_is_refused_or_counts_more() -> None:
    with pytest.raises(Untranslatable, match="2048") as caught:
        thinking(MIDDLE, max_completion_tokens=1000)

    assert caught.value.param == "reasoning_effort"
    assert thinking(MIDDLE, max_completion_tokens=1000, drop=True) is None


def loop(**members: Any) -> list[dict[str, Any]]:
    return [USER, called(call(), **members), result()]


@pytest.mark.parametrize(
    ("model", "messages", "thinks"),
    [
        pytest.param(MIDDLE, loop(), False, id="reasoning is lost"),
        pytest.param(MIDDLE, loop(thinking_blocks=[SIGNED]), True, id="reasoning came back"),
        pytest.param(MIDDLE, loop(thinking_blocks=[{"type": "redacted_thinking", "data": "x"}]), True, id="sealed reasoning"),
        pytest.param(MIDDLE, [*loop(), {"role": "assistant", "content": "a"}, USER], True, id="an older loop"),
        pytest.param(ADAPTIVE, loop(), True, id="a model that does not mind"),
        pytest.param(MIDDLE, [USER], True, id="no loop"),
    ],
)
def test_a_model_with_a_budget_does_not_think_about_results_without_its_reasoning(
    model: str, messages: list[Any], thinks: bool
) -> None:
    assert (thinking(model, messages=messages, tools=[WEATHER]) is not None) is thinks


def test_stop_sequences_of_white_space_are_refused_or_left_out() -> None:
    asked = source(stop=["\n\n", "END"])
    with pytest.raises(Untranslatable) as caught:
        stop_of(asked, read_chat(asked))

    assert caught.value.param == "stop"
    dropping = source(stop=["\n\n", "END"], drop=True)
    assert stop_of(dropping, read_chat(dropping)) == ["END"]
