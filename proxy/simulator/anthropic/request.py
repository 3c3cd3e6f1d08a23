"""Reads a Messages request: its limits, thinking, tools and wanted form, all that decides the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import BadRequest
from proxy.simulator import fields
from proxy.simulator.anthropic.common import NO_SAMPLING
from proxy.simulator.anthropic.history import read_conversation
from proxy.simulator.anthropic.tools import Tools, read_tools
from proxy.simulator.conversation import Conversation, TokensIn
from proxy.simulator.fields import Fields
from proxy.simulator.reply import Prompt

_SAMPLING: Final = {"temperature": 1.0, "top_p": 1.0, "top_k": 1_000_000.0}  # the most that each may be
_MODES: Final = ("enabled", "adaptive", "disabled", "between_tools")
_DISPLAYS: Final = (None, "summarized", "omitted")
_LEAST_BUDGET: Final = 1024


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether the model thinks before it answers, and whether the client sees it."""

    on: bool
    shown: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that was understood."""

    prompt: Prompt
    tokens_in: TokensIn
    thinking: Thinking


def read_ask(body: Fields, version: str) -> Ask:
    """Read all of a request but the model and how to answer it."""
    limit = fields.count(body, "max_tokens")
    if limit is None:
        raise BadRequest("`max_tokens` is required.", param="max_tokens")
    _check_sampling(body, version)
    tools = read_tools(body)
    conversation = read_conversation(body, tools.spans)
    thinking = read_thinking(body, limit, after_tool=conversation.after_tool)
    if thinking.on and tools.forced:
        raise BadRequest("`tool_choice` may not force a tool while `thinking` is on.", param="tool_choice")
    tokens_in = conversation.tokens()
    prompt = Prompt(
        last=conversation.last,
        question=conversation.question,
        tokens_in=tokens_in.total,
        limit=limit,
        thinks=thinking.on,
        after_tool=conversation.after_tool,
        calls=_calls(tools, conversation),
        schema=_schema(body),
        stops=fields.texts(body, "stop_sequences"),
    )
    return Ask(prompt, tokens_in, thinking)


def count_tokens(body: Fields) -> int:
    """Return how many tokens the same request would cost, which needs no limit and tells none."""
    return read_conversation(body, read_tools(body).spans).tokens().total


def read_thinking(body: Fields, limit: int | None, *, after_tool: bool) -> Thinking:
    """Read `thinking`, whose budget must leave room below *limit*."""
    given = fields.table(body, "thinking")
    mode, display = given.get("type", "disabled"), given.get("display")
    if mode not in _MODES:
        raise BadRequest(f"`thinking.type` must be one of {', '.join(_MODES)}.", param="thinking.type")
    if display not in _DISPLAYS:
        raise BadRequest("`thinking.display` must be summarized or omitted.", param="thinking.display")
    if mode == "enabled":
        _check_budget(given.get("budget_tokens"), limit)
    on = mode in ("enabled", "adaptive") or (mode == "between_tools" and after_tool)
    return Thinking(on, display != "omitted")


def _check_budget(budget: object, limit: int | None) -> None:
    name = "thinking.budget_tokens"
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < _LEAST_BUDGET:
        raise BadRequest(f"`{name}` must be a whole number of at least {_LEAST_BUDGET}.", param=name)
    if limit is not None and budget >= limit:
        raise BadRequest(f"`{name}` must be less than the limit of all tokens.", param=name)


def _check_sampling(body: Fields, version: str) -> None:
    for name, most in _SAMPLING.items():
        if body.get(name) is not None and version == NO_SAMPLING:
            raise BadRequest(f"`{name}` is not there any more in the API version {NO_SAMPLING}.", param=name)
        fields.number(body, name, most=most)


def _calls(tools: Tools, conversation: Conversation) -> tuple[Any, ...]:
    return () if conversation.after_tool else tools.to_call(conversation.question)


def _schema(body: Fields) -> Fields | None:
    wanted = fields.table(fields.table(body, "output_config"), "format")
    return fields.table(wanted, "schema") if wanted.get("type") == "json_schema" else None
