"""Knows what the generations of Claude can do, by the model's name, whoever serves them.

Names are told apart, not texts of answers: a model that is asked for what it lacks answers with an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.translate.conversation import Choice
from proxy.translate.names import Names

MIN_BUDGET: Final = 1024  # tokens; less is refused

# claude-opus-4-6, claude-3-7-sonnet-20250219, us.anthropic.claude-sonnet-4-5-20250929-v1:0; a date is no minor version
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_NEWEST: Final = (99, 0)


@dataclass(frozen=True, slots=True)
class ThinkingMode:
    """`config` is Anthropic's `thinking`; `effort` its word for how much; `budget` the tokens set aside for it, or 0."""

    config: dict[str, object]
    effort: str = ""
    budget: int = 0

    @property
    def on(self) -> bool:
        return self.config["type"] != "disabled"


def is_claude(model: str) -> bool:
    """Tell whether *model* names a Claude."""
    return "claude" in model.lower()


def has_sampling(model: str) -> bool:
    """Tell whether the model lets the client choose temperature, top_p and top_k: Claude does not from 4.7 on."""
    return _generation(model) < (4, 7)


def takes_one_sampling(model: str) -> bool:
    """Tell whether the model takes temperature or top_p, but not both."""
    return is_claude(model) and _generation(model) >= (4, 1)


def thinking(model: str, effort: str, limit: int | None) -> ThinkingMode | None:
    """Return how *model* is asked to think with an OpenAI *effort*; None: its *limit* of tokens leaves no room to.

    Claude decides itself how long it thinks from 4.6 on; older ones, and others that speak Anthropic's API, get a budget.
    """
    if effort == "none":
        return ThinkingMode({"type": "disabled"})
    if is_claude(model) and _generation(model, _NEWEST) >= (4, 6):
        return ThinkingMode({"type": "adaptive", "display": "summarized"}, "low" if effort == "minimal" else effort)
    budget = _BUDGETS[effort] if limit is None else min(_BUDGETS[effort], limit // 2)  # words need room too
    if budget < MIN_BUDGET:
        return None
    return ThinkingMode({"type": "enabled", "budget_tokens": budget}, budget=budget)


def tool_choice(choice: Choice, names: Names) -> dict[str, object]:
    """Return Anthropic's words for which tools may be called."""
    told: dict[str, object] = {"type": choice.kind}
    if choice.name:
        told["name"] = names.there(choice.name)
    if not choice.parallel:
        told["disable_parallel_tool_use"] = True
    return told


def _generation(model: str, unknown: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else unknown
