"""Reads the tools of an OpenAI responses request, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from proxy.errors import BadRequest
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Choice, Tool
from proxy.translate.fields import Fields, refuse

_MODES: Final[dict[str, Literal["auto", "none", "any"]]] = {"auto": "auto", "none": "none", "required": "any"}
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def read_tools(body: Fields, *, drop: bool) -> Toolbox:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`. Raises BadRequest or Untranslatable, which name the place."""
    tools = tuple(_tools(body, drop=drop))
    parallel = body.flag("parallel_tool_calls") is not False
    value = body.values.get("tool_choice")
    if isinstance(value, dict):
        choice, allowed = _object(Fields(value, "tool_choice"), parallel=parallel, drop=drop)
    else:
        mode, allowed = body.word("tool_choice", _MODES), None
        choice = Choice(_MODES[mode or "auto"], parallel=parallel) if mode or not parallel else None
    if allowed is not None:
        # for a model that is told of no others, these are the only ones it may call
        tools = tuple(tool for tool in tools if tool.name in allowed)
    if choice is not None and choice.forced and not any(choice.name in ("", tool.name) for tool in tools):
        raise BadRequest("The field 'tool_choice' asks for a tool that is not among 'tools'.", param="tool_choice")
    return Toolbox(tools, choice if tools else None)


def _tools(body: Fields, *, drop: bool) -> Iterable[Tool]:
    for tool in body.tables("tools"):
        if tool.name("type") != "function":
            refuse(tool.where("type"), drop=drop)  # runs on OpenAI's servers, or takes what is no JSON
            continue
        parameters = tool.table("parameters")
        yield Tool(
            name=tool.name("name"),
            schema=_NO_PARAMETERS if parameters is None else parameters.values,
            description=tool.maybe_text("description") or "",
            strict=tool.flag("strict"),
        )


def _object(choice: Fields, *, parallel: bool, drop: bool) -> tuple[Choice | None, list[str] | None]:
    """Return the choice, and the names of the only tools that it allows; None: it allows all."""
    kind = choice.name("type")
    if kind == "function":
        return Choice("tool", choice.name("name"), parallel), None
    if kind == "allowed_tools":
        mode = choice.word("mode", ("auto", "required")) or choice.name("mode")
        names = [tool.name("name") for tool in choice.tables("tools") if tool.name("type") == "function"]
        return Choice(_MODES[mode], parallel=parallel), names
    refuse(choice.where("type"), drop=drop)
    return None, None
