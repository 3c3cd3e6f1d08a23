from __future__ import annotations

import pytest

from proxy.translate import claude
from proxy.translate.claude import ThinkingMode
from proxy.translate.conversation import Choice
from proxy.translate.messages_turns import TOOL_NAME
from proxy.translate.names import Names

ADAPTIVE: dict[str, object] = {"type": "adaptive", "display": "summarized"}


def budget(tokens: int) -> ThinkingMode:
    return ThinkingMode({"type": "enabled", "budget_tokens": tokens}, budget=tokens)


@pytest.mark.parametrize(
    ("model", "adaptive", "sampling", "only_one"),
    [
        ("claude-3-opus-20240229", False, True, False),
        ("claude-3-7-sonnet-20250219", False, True, False),
        ("claude-sonnet-4-20250514", False, True, False),
        ("claude-opus-4-1-20250805", False, True, True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", False, True, True),
        ("claude-haiku-4-5@20251001", False, True, True),
        ("anthropic/claude-opus-4.6", True, True, True),
        ("global.anthropic.claude-opus-4-6-v1", True, True, True),
        ("Claude-Opus-4-7", True, False, True),
        ("claude-sonnet-5", True, False, True),
        ("claude-next", True, True, False),
        ("deepseek-chat", False, True, False),
    ],
)
def test_a_generation_is_known_by_its_name(model: str, adaptive: bool, sampling: bool, only_one: bool) -> None:
    mode = claude.thinking(model, "low", None)

    assert mode is not None
    assert (mode.config["type"] == "adaptive") is adaptive
    assert claude.has_sampling(model) is sampling
    assert claude.takes_one_sampling(model) is only_one


@pytest.mark.parametrize(
    ("effort", "tokens"), [("minimal", 1024), ("low", 1024), ("medium", 2048), ("high", 4096), ("xhigh", 8192), ("max", 16384)]
)
def test_an_older_claude_thinks_by_budget(effort: str, tokens: int) -> None:
    assert claude.thinking("claude-sonnet-4-5", effort, None) == budget(tokens)


@pytest.mark.parametrize(("effort", "word"), [("minimal", "low"), ("low", "low"), ("high", "high"), ("max", "max")])
def test_a_newer_claude_is_told_how_hard_to_think(effort: str, word: str) -> None:
    assert claude.thinking("claude-opus-4-6", effort, 10) == ThinkingMode(ADAPTIVE, word)


@pytest.mark.parametrize(("limit", "mode"), [(100_000, budget(4096)), (5000, budget(2500)), (2048, budget(1024)), (2047, None)])
def test_a_budget_leaves_room_for_words_within_the_clients_limit(limit: int, mode: ThinkingMode | None) -> None:
    assert claude.thinking("claude-sonnet-4-5", "high", limit) == mode


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-7"])
def test_no_effort_is_no_thinking(model: str) -> None:
    mode = claude.thinking(model, "none", 10)

    assert mode == ThinkingMode({"type": "disabled"})
    assert not mode.on


@pytest.mark.parametrize("mode", [ThinkingMode(ADAPTIVE), budget(1024)])
def test_thinking_is_on_by_budget_or_at_the_models_own_will(mode: ThinkingMode) -> None:
    assert mode.on


def test_a_claude_is_known_by_its_name_wherever_it_is_served() -> None:
    assert claude.is_claude("eu.anthropic.Claude-sonnet-4-5-v1:0")
    assert not claude.is_claude("amazon.nova-pro-v1:0")


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (Choice(), {"type": "auto"}),
        (Choice("none"), {"type": "none"}),
        (Choice("tool", "a.b"), {"type": "tool", "name": Names(TOOL_NAME).there("a.b")}),
        (Choice("any", parallel=False), {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_which_tools_may_be_called_is_told_in_anthropics_words(choice: Choice, told: dict[str, object]) -> None:
    assert claude.tool_choice(choice, Names(TOOL_NAME)) == told
