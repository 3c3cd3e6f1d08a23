"""Reads an Anthropic messages request into checked pieces, whatever API it is going to be asked in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from proxy.errors import BadRequest
from proxy.translate.base import Source
from proxy.translate.conversation import (
    Choice,
    Document,
    Image,
    Part,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.translate.fields import Fields, refuse, refuse_unknown
from proxy.translate.messages_parts import cache_of, read_parts, read_texts

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_PARTS: Final[Mapping[Role, tuple[type[Part], ...]]] = {
    "user": (Text, Image, Document, ToolResult),
    "assistant": (Text, ToolUse, Thinking, RedactedThinking),
    "system": (Text,),
}
_THINKING: Final = ("enabled", "adaptive", "disabled", "between_tools")
_TIERS: Final = ("auto", "standard_only")
_CHOICES: Final[Mapping[str, Literal["auto", "any", "tool", "none"]]] = {
    "auto": "auto",
    "any": "any",
    "tool": "tool",
    "none": "none",
}

_KNOWN: Final = frozenset(
    {"model", "max_tokens", "messages", "system", "stop_sequences", "stream", "temperature", "top_p", "top_k", "tools"}
    | {"tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier"}
    # these say how the answer is computed, not what it is. Context editing trims a history that grows too long: without it
    # the model sees more, not less
    | {"cache_control", "context_management", "speed", "anthropic_version", "anthropic_beta", "betas"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesRequest:
    """A whole request. The results in it answer calls of the turn before theirs."""

    system: tuple[Text, ...]
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    choice: Choice | None  # None: the client said nothing, or there are no tools
    max_tokens: int
    stop: tuple[str, ...]
    temperature: float | None
    top_p: float | None
    top_k: int | None
    thinking: Mapping[str, Any]  # as it was written; empty: not wanted
    effort: str | None
    schema: Mapping[str, Any] | None  # that the answer has to follow
    user: str
    standard_only: bool  # no other tier than the standard one may be used


def read_messages_request(source: Source) -> MessagesRequest:
    """Read and check the request that *source* holds. Raises BadRequest and Untranslatable, which name the place."""
    body, drop = Fields(source.values), source.drop_params
    refuse_unknown(source.values, _KNOWN, drop=drop)
    max_tokens = body.count("max_tokens")
    if max_tokens is None:
        raise body.wrong("max_tokens", "a whole number above 0")
    tools = tuple(_tools(body, drop=drop))
    output, metadata = _output(body, drop=drop), body.table("metadata")
    return MessagesRequest(
        system=tuple(read_texts(body, "system")),
        turns=_turns(body, drop=drop),
        tools=tools,
        choice=_choice(body, tools),
        max_tokens=max_tokens,
        stop=tuple(body.texts("stop_sequences")),
        temperature=body.number("temperature", most=1),
        top_p=body.number("top_p", most=1),
        top_k=body.count("top_k"),
        thinking=_thinking(body),
        effort=output.word("effort", EFFORTS),
        schema=_schema(body, output),
        user=(metadata.maybe_text("user_id") if metadata else None) or "",
        standard_only=body.word("service_tier", _TIERS) == "standard_only",
    )


# ---- the conversation


def _turns(body: Fields, *, drop: bool) -> tuple[Turn, ...]:
    """Return what was said: neighbours of one role are one turn, as the API itself has it."""
    merged: list[tuple[Role, list[Part]]] = []
    for message in body.tables("messages"):
        role = _ROLES[message.word("role", _ROLES) or message.name("role")]
        parts = read_texts(message, "content") if role == "system" else read_parts(message, "content", drop=drop)
        if not all(isinstance(part, _PARTS[role]) for part in parts):
            raise message.wrong("content", "made of blocks that this role can have")
        if parts and merged and merged[-1][0] == role:
            merged[-1][1].extend(parts)
        elif parts:
            merged.append((role, [*parts]))
    if not merged:
        raise BadRequest("The field 'messages' must be an array of at least one message with a content.", param="messages")
    return _answered(merged)


def _answered(merged: Iterable[tuple[Role, list[Part]]]) -> tuple[Turn, ...]:
    """Put results first in their turns, with their tools' names. No API takes one without a call, or a call without one."""
    turns: list[Turn] = []
    waiting: dict[str, str] = {}  # calls without a result yet, and the names of their tools
    for role, parts in merged:
        results = [_named(part, waiting) for part in parts if isinstance(part, ToolResult)]
        if waiting and role != "system":
            raise BadRequest("Each tool_use block must have a tool_result block in the message after it.", param="messages")
        waiting |= {part.id: part.name for part in parts if isinstance(part, ToolUse)}
        turns.append(Turn(role, (*results, *(part for part in parts if not isinstance(part, ToolResult)))))
    return tuple(turns)


def _named(result: ToolResult, waiting: dict[str, str]) -> ToolResult:
    name = waiting.pop(result.call, None)
    if name is None:
        raise BadRequest(f"The field '{result.at}' names no tool_use block of the assistant's turn before it.", param=result.at)
    return replace(result, name=name)


# ---- tools


def _tools(body: Fields, *, drop: bool) -> Iterable[Tool]:
    for tool in body.tables("tools"):
        if tool.maybe_text("type") not in (None, "custom"):
            # it runs on Anthropic's servers, or has a schema that only its models know
            refuse(tool.where("type"), drop=drop)
            continue
        yield Tool(
            name=tool.name("name"),
            schema=tool.inner("input_schema").values,
            description=tool.maybe_text("description") or "",
            strict=tool.flag("strict"),
            cache=cache_of(tool),
        )


def _choice(body: Fields, tools: tuple[Tool, ...]) -> Choice | None:
    choice = body.table("tool_choice")
    if choice is None:
        return None
    kind = _CHOICES[choice.word("type", _CHOICES) or choice.name("type")]
    name = choice.name("name") if kind == "tool" else ""
    if kind in ("any", "tool") and not any(name in ("", tool.name) for tool in tools):
        raise BadRequest("The field 'tool_choice' asks for a tool that is not among 'tools'.", param="tool_choice")
    parallel = not choice.flag("disable_parallel_tool_use")
    return Choice(kind, name, parallel) if tools else None


# ---- how to answer


def _thinking(body: Fields) -> Mapping[str, Any]:
    thinking = body.table("thinking")
    if thinking is None:
        return {}
    kind = thinking.word("type", _THINKING) or thinking.name("type")
    if kind == "enabled" and thinking.count("budget_tokens") is None:
        raise thinking.wrong("budget_tokens", "a whole number above 0")
    return {} if kind == "disabled" else thinking.values


def _output(body: Fields, *, drop: bool) -> Fields:
    output = body.table("output_config") or Fields({}, "output_config")
    refuse_unknown(output.values, ("effort", "format"), drop=drop)
    return output


def _schema(body: Fields, output: Fields) -> Mapping[str, Any] | None:
    """Return the JSON schema of the answer, from its place or from the one that it had as a beta."""
    form = output.table("format") or body.table("output_format")
    if form is None:
        return None
    form.word("type", ("json_schema",))
    return form.inner("schema").values
