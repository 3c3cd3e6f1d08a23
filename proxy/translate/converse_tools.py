"""Writes the tools of a request as Bedrock's Converse has them, and the ways around what it lacks.

Converse has no word for *no tool* and none for *one at a time*, and refuses a conversation with calls in it that comes without
tools. A Claude behind it takes Anthropic's own words for the first two, in the fields that go to the model unread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from proxy.translate import claude
from proxy.translate.base import Source
from proxy.translate.chat_messages import Conversation
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Choice, Tool, called_tools
from proxy.translate.converse_turns import cached
from proxy.translate.fields import refuse
from proxy.translate.names import Names


@dataclass(frozen=True, slots=True)
class ConverseTools:
    """`config` is the request's `toolConfig`, empty for none; `model_fields` goes to the model as it is."""

    config: dict[str, Any] = field(default_factory=dict)
    model_fields: dict[str, Any] = field(default_factory=dict)


def write_tools(source: Source, toolbox: Toolbox, conversation: Conversation, names: Names) -> ConverseTools:
    """Return how the tools are told. Raises Untranslatable for a wish that the model has no word for."""
    used = called_tools(conversation.turns)
    if not toolbox.tools:
        return _of_the_past(source, used, names) if used else ConverseTools()
    choice = toolbox.choice
    if choice and choice.kind == "none" and not used:
        return ConverseTools()
    listed = {"tools": [block for tool in toolbox.tools for block in cached(_tool(tool, names), tool.cache)]}
    if choice is None:
        return ConverseTools(listed)
    if choice.kind != "none" and choice.parallel:
        return ConverseTools({**listed, "toolChoice": _choice(choice, names)})
    return _in_claudes_words(source, listed, choice, names)


def _of_the_past(source: Source, used: Iterable[Tool], names: Names) -> ConverseTools:
    """Return the tools that a conversation has used, where none may be used any more."""
    listed = {"tools": [_tool(tool, names) for tool in used]}
    if not claude.is_claude(source.model):
        refuse("tools", "must list the tools that were called, for this model's backend", drop=source.drop_params)
        return ConverseTools(listed)
    return ConverseTools(listed, {"tool_choice": {"type": "none"}})


def _in_claudes_words(source: Source, listed: dict[str, Any], choice: Choice, names: Names) -> ConverseTools:
    if claude.is_claude(source.model):
        return ConverseTools(listed, {"tool_choice": claude.tool_choice(choice, names)})
    refuse("tool_choice" if choice.kind == "none" else "parallel_tool_calls", drop=source.drop_params)
    return ConverseTools(listed if choice.kind == "none" else {**listed, "toolChoice": _choice(choice, names)})


def _choice(choice: Choice, names: Names) -> dict[str, Any]:
    return {choice.kind: {"name": names.there(choice.name)} if choice.name else {}}


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    told: dict[str, Any] = {"name": names.there(tool.name), "inputSchema": {"json": {"type": "object", **tool.schema}}}
    if tool.description:
        told["description"] = tool.description
    if tool.strict:
        told["strict"] = True
    return {"toolSpec": told}
