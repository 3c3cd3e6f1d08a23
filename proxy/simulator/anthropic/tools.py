"""Reads the tools of a Messages request, and decides which of them the simulated model calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields
from proxy.simulator.anthropic.history import span_of
from proxy.simulator.conversation import Span
from proxy.simulator.fields import Fields
from proxy.simulator.reply import Tool, tools_to_call

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CHOICES: Final = ("auto", "any", "none", "tool")
_FORCED: Final = frozenset({"any", "tool"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The client's own tools, what the definitions of all cost, and the choice between them."""

    own: Sequence[Tool]
    spans: Sequence[Span]
    choice: Fields

    @property
    def forced(self) -> bool:
        """Whether the model has to call one."""
        return self.choice.get("type") in _FORCED

    def to_call(self, question: str) -> tuple[Tool, ...]:
        """Return the tools to call now, by choice and the words of the question."""
        if self.choice.get("type") == "none":
            return ()
        parallel = False if self.choice.get("disable_parallel_tool_use") else None
        return tools_to_call(self.own, question, named=self.choice.get("name"), parallel=parallel)


def read_tools(body: Fields) -> Tools:
    """Return the tools of a request. Those that the API runs itself are never called here."""
    given = fields.tables(body, "tools")
    own = [_own(tool, f"tools.{index}") for index, tool in enumerate(given) if tool.get("type") in (None, "custom")]
    spans = [span_of(tool, orjson.dumps(tool).decode(), f"tools.{index}") for index, tool in enumerate(given)]
    return Tools(own, spans, _choice(fields.table(body, "tool_choice"), own))


def _own(tool: Fields, where: str) -> Tool:
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequest(f"`{where}.name` must be 1 to 128 letters, digits, `_` and `-`.", param=f"{where}.name")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise BadRequest(f"`{where}.input_schema` is required and must be of type object.", param=f"{where}.input_schema")
    return Tool(name, schema)


def _choice(choice: Fields, own: Sequence[Tool]) -> Fields:
    kind = choice.get("type", "auto")
    if kind not in _CHOICES:
        raise BadRequest(f"`tool_choice.type` must be one of {', '.join(_CHOICES)}.", param="tool_choice.type")
    if kind in _FORCED and not own:
        raise BadRequest("`tool_choice` may only be given while `tools` are.", param="tool_choice")
    if kind == "tool" and all(tool.name != choice.get("name") for tool in own):
        raise BadRequest("`tool_choice.name` names a tool that is not in `tools`.", param="tool_choice.name")
    return choice if kind == "tool" else {**choice, "name": None}
