"""Decides what of an OpenAI chat request a Claude takes, wherever it is served: thinking, sampling, stop sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.translate import claude
from proxy.translate.base import Source
from proxy.translate.chat_request import ChatRequest
from proxy.translate.claude import ThinkingMode
from proxy.translate.conversation import RedactedThinking, Thinking, ToolResult, ToolUse, Turn
from proxy.translate.fields import refuse

_LEAST_TOP_P: Final = 0.95  # while it thinks


def thinking_of(source: Source, chat: ChatRequest) -> ThinkingMode | None:
    """Return how a Claude is asked to think, None: not at all. Raises Untranslatable where it cannot, as things are."""
    if chat.effort is None:
        return None
    mode = claude.thinking(source.model, chat.effort, chat.max_tokens)
    if mode is None:
        least = 2 * claude.MIN_BUDGET
        refuse("reasoning_effort", f"needs max_completion_tokens of at least {least} here", drop=source.drop_params)
        return None
    if mode.on and chat.toolbox.choice and chat.toolbox.choice.forced:
        refuse("reasoning_effort", "cannot be combined with a forced tool here", drop=source.drop_params)
        return None
    return None if mode.budget and _thoughts_are_lost(chat.conversation.turns) else mode


def sampling_of(source: Source, chat: ChatRequest, thinking: ThinkingMode | None) -> dict[str, float]:
    """Return temperature, top_p and top_k as far as a Claude takes them, in Anthropic's words."""
    if not claude.has_sampling(source.model):
        return {}
    wanted = {"temperature": chat.temperature, "top_p": chat.top_p, "top_k": chat.top_k}
    told = {name: value for name, value in wanted.items() if value is not None}
    if thinking and thinking.on:
        return _while_thinking(told, drop=source.drop_params)
    if "temperature" in told:
        told["temperature"] = min(told["temperature"], 1)
    if "temperature" in told and "top_p" in told and claude.takes_one_sampling(source.model):
        return _one_of_both(told, drop=source.drop_params)
    return told


def stop_of(source: Source, chat: ChatRequest) -> list[str]:
    """Return the stop sequences that a Claude takes: not those of white space only."""
    if not all(text.strip() for text in chat.stop):
        refuse("stop", "must not be white space only here", drop=source.drop_params)
    return [text for text in chat.stop if text.strip()]


def _thoughts_are_lost(turns: Sequence[Turn]) -> bool:
    """Tell whether tool results go on with a turn whose reasoning is not here: a Claude that thinks by budget refuses that."""
    if not isinstance(turns[-1].parts[0], ToolResult):
        return False  # else there is a turn before it, with the call
    before = turns[-2].parts
    return any(isinstance(part, ToolUse) for part in before) and not isinstance(before[0], Thinking | RedactedThinking)


def _while_thinking(told: dict[str, float], *, drop: bool) -> dict[str, float]:
    if told.get("temperature") == 1:
        told.pop("temperature")
    kept = {name: value for name, value in told.items() if name == "top_p" and value >= _LEAST_TOP_P}
    for name in told.keys() - kept.keys():
        refuse(name, "cannot be combined with reasoning_effort here", drop=drop)
    return kept


def _one_of_both(told: dict[str, float], *, drop: bool) -> dict[str, float]:
    """Leave out the one that changes nothing."""
    if told["temperature"] < 1 and told["top_p"] < 1:
        refuse("top_p", "cannot be combined with temperature here", drop=drop)
    spare = "temperature" if told["temperature"] == 1 and told["top_p"] < 1 else "top_p"
    return {name: value for name, value in told.items() if name != spare}
