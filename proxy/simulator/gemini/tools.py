"""Reads the tools of a Gemini request, and decides which of them the simulated model calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.conversation import Span
from proxy.simulator.fields import Fields
from proxy.simulator.gemini.common import camel
from proxy.simulator.reply import Tool, tools_to_call

_MODES: Final = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
_SCHEMAS: Final = frozenset({"items", "anyOf", "prefixItems", "additionalProperties"})
_NAMED_SCHEMAS: Final = frozenset({"properties", "defs"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The client's functions, what their declarations cost, and which may be called."""

    own: Sequence[Tool]
    spans: Sequence[Span]
    mode: str
    allowed: Sequence[str]

    def to_call(self, question: str) -> tuple[Tool, ...]:
        """Return the functions to call now, by mode and the words of the question."""
        if self.mode == "NONE":
            return ()
        allowed = [tool for tool in self.own if not self.allowed or tool.name in self.allowed]
        return tools_to_call(allowed, question, named=None, parallel=None)


def read_tools(body: Fields) -> Tools:
    """Return the functions of a request; what the API runs itself is never called here."""
    declared = [one for tool in fields.tables(body, "tools") for one in fields.tables(camel(tool), "functionDeclarations")]
    own = [_tool(camel(one)) for one in declared]
    spans = [Span(text.estimate(orjson.dumps(one).decode())) for one in declared]
    config = camel(fields.table(camel(fields.table(body, "toolConfig")), "functionCallingConfig"))
    mode = config.get("mode") or "AUTO"
    if mode not in _MODES:
        raise BadRequest(f"`mode` must be one of {', '.join(_MODES)}.", param="tool_config.function_calling_config.mode")
    return Tools(own, spans, mode, fields.texts(config, "allowedFunctionNames"))


def json_schema(schema: Any) -> Any:
    """Return a schema in JSON Schema's spelling; Google writes the names of types in capitals."""
    if isinstance(schema, list):
        return [json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _translated(name, value) for name, value in camel(schema).items()}


def _tool(declared: Fields) -> Tool:
    schema = declared.get("parametersJsonSchema") or json_schema(declared.get("parameters"))
    return Tool(fields.required_text(declared, "name"), schema)


def _translated(name: str, value: Any) -> Any:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _SCHEMAS:
        return json_schema(value)
    if name in _NAMED_SCHEMAS and isinstance(value, dict):
        return {own: json_schema(one) for own, one in value.items()}
    return value
