"""Reads a Converse request: its limits, thinking, tools and wanted form, all that decides the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.anthropic.request import Ask, read_thinking
from proxy.simulator.bedrock.history import cache_point, kind_of, read_conversation
from proxy.simulator.conversation import Span
from proxy.simulator.fields import Fields
from proxy.simulator.reply import Prompt, Tool, tools_to_call

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CHOICES: Final = ("auto", "any", "tool")
_SAMPLING: Final = {"temperature": 1.0, "topP": 1.0}  # the most that each may be


@dataclass(frozen=True, slots=True)
class Tools:
    """The client's own tools, what the definitions of all cost, and the one that has to be called."""

    own: Sequence[Tool]
    spans: Sequence[Span]
    named: str | None


def read_ask(body: Fields) -> Ask:
    """Read all of a request but the model, which is in the path."""
    config = fields.table(body, "inferenceConfig")
    limit = fields.count(config, "maxTokens")
    for name, most in _SAMPLING.items():
        fields.number(config, name, most=most)
    tools = _tools(fields.table(body, "toolConfig"))
    conversation = read_conversation(body, tools.spans)
    more = fields.table(body, "additionalModelRequestFields")
    thinking = read_thinking(more, limit, after_tool=conversation.after_tool)
    calls = tools_to_call(tools.own, conversation.question, named=tools.named, parallel=None)
    tokens_in = conversation.tokens()
    prompt = Prompt(
        last=conversation.last,
        question=conversation.question,
        tokens_in=tokens_in.total,
        limit=limit,
        thinks=thinking.on,
        after_tool=conversation.after_tool,
        calls=() if conversation.after_tool else calls,
        schema=_schema(body),
        stops=fields.texts(config, "stopSequences"),
    )
    return Ask(prompt, tokens_in, thinking)


def _tools(config: Fields) -> Tools:
    given = fields.tables(config, "tools")
    if config and not given:
        raise BadRequest("`toolConfig.tools` must not be empty.", param="toolConfig.tools")
    places = [(tool, f"toolConfig.tools.{index}") for index, tool in enumerate(given)]
    own = [_own(fields.table(tool, "toolSpec"), where) for tool, where in places if kind_of(tool, where) == "toolSpec"]
    return Tools(own, [_span(tool, where) for tool, where in places], _named(fields.table(config, "toolChoice"), own))


def _own(spec: Fields, where: str) -> Tool:
    name, schema = spec.get("name"), fields.table(spec, "inputSchema").get("json")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequest(f"`{where}.toolSpec.name` must be 1 to 64 letters, digits, `_` and `-`.", param=where)
    if not isinstance(schema, dict):
        raise BadRequest(f"`{where}.toolSpec.inputSchema.json` is required.", param=where)
    return Tool(name, schema)


def _span(tool: Fields, where: str) -> Span:
    return cache_point(tool, where) if "cachePoint" in tool else Span(text.estimate(orjson.dumps(tool).decode()))


def _named(choice: Fields, own: Sequence[Tool]) -> str | None:
    """Return the tool that `toolChoice` names."""
    if not choice:
        return None
    if kind_of(choice, "toolConfig.toolChoice") not in _CHOICES:
        raise BadRequest(f"`toolConfig.toolChoice` must be one of {', '.join(_CHOICES)}.", param="toolConfig.toolChoice")
    named = fields.table(choice, "tool").get("name")
    if "tool" in choice and all(tool.name != named for tool in own):
        raise BadRequest("`toolConfig.toolChoice.tool.name` is not in `tools`.", param="toolConfig.toolChoice.tool.name")
    return named


def _schema(body: Fields) -> Fields | None:
    wanted = fields.table(fields.table(body, "outputConfig"), "textFormat")
    if wanted.get("type") != "json_schema":
        return None
    given = fields.table(fields.table(wanted, "structure"), "jsonSchema")
    return fields.read_object(fields.required_text(given, "schema").encode())
