"""Reads the tools of an OpenAI chat request, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from proxy.translate.conversation import Choice, Tool
from proxy.translate.fields import Fields, refuse

_EMPTY: Final = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools that may be called. `choice` is None where the client said nothing about it, or where there are no tools."""

    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None


def read_tools(body: Fields, *, drop: bool) -> Toolbox:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`. Raises BadRequest or Untranslatable, which name the place."""
    tools = [tool for each in body.tables("tools") if (tool := _tool(each, drop=drop)) is not None]
    allowed = _allowed(body)
    if allowed is not None:
        tools = _only(tools, allowed)
    choice = _choice(body, drop=drop)
    if not tools and choice and choice.forced:
        raise body.wrong("tool_choice", "none or auto where there are no tools")
    if choice and choice.name and choice.name not in (tool.name for tool in tools):
        raise body.wrong("tool_choice", "a function that is among the tools")
    return Toolbox(tuple(tools), choice if tools else None)


def _tool(tool: Fields, *, drop: bool) -> Tool | None:
    if tool.name("type") != "function":
        refuse(tool.where("type"), drop=drop)  # it takes free text, or runs on OpenAI's servers
        return None
    function = tool.inner("function")
    parameters = function.table("parameters")
    return Tool(
        name=function.name("name"),
        schema=_EMPTY if parameters is None else parameters.values,
        description=function.maybe_text("description") or "",
        strict=bool(function.flag("strict")),
    )


def _choice(body: Fields, *, drop: bool) -> Choice | None:
    parallel = body.flag("parallel_tool_calls") is not False
    if isinstance(body.values.get("tool_choice"), str):
        return _mode(body, "tool_choice", parallel=parallel)
    choice = body.table("tool_choice")
    if choice is None:
        return None if parallel else Choice(parallel=False)
    kind = choice.name("type")
    if kind == "function":
        return Choice("tool", choice.inner("function").name("name"), parallel)
    if kind == "allowed_tools":
        return _mode(choice.inner("allowed_tools"), "mode", parallel=parallel)
    refuse(choice.where("type"), drop=drop)
    return None


def _mode(holder: Fields, key: str, *, parallel: bool) -> Choice:
    word = holder.word(key, ("auto", "none", "required"))
    if word == "none":
        return Choice("none")
    return Choice("any" if word == "required" else "auto", parallel=parallel)


def _allowed(body: Fields) -> Collection[str] | None:
    """Return the names that a list of allowed tools leaves; None: there is no such list."""
    choice = body.values.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return None
    listed = Fields(choice, "tool_choice").inner("allowed_tools")
    return [each.inner("function").name("name") for each in listed.tables("tools")]


def _only(tools: list[Tool], names: Collection[str]) -> list[Tool]:
    """Return the allowed tools: of a model that is told of no others they are the only ones that it can call."""
    return [tool for tool in tools if tool.name in names]
