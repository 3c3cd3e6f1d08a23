"""Reads an OpenAI chat request into checked pieces, the same for every target, and refuses what no target can honour.

What is refused is named, and left out instead where the model's `drop_params` says so. Ignored is only what has no bearing on
the answer: where it is kept, what it costs, how it is cached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.translate.base import Source
from proxy.translate.chat_messages import Conversation, read_messages
from proxy.translate.chat_tools import Toolbox, read_tools
from proxy.translate.fields import Fields, refuse, refuse_unknown

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_READ: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "reasoning_effort"}
    | {"response_format", "user", "safety_identifier"}
)
_IGNORED: Final = frozenset(
    {"store", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
)
_NEUTRAL: Final[Mapping[str, Any]] = {  # asks for what happens anyway
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
}


@dataclass(frozen=True, slots=True)
class Format:
    """The form that an answer must have; `schema` is None where any JSON object will do."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A whole request; None is for what the client left open. `include_usage`: in the stream too."""

    conversation: Conversation
    toolbox: Toolbox
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    stop: tuple[str, ...]
    effort: str | None
    format: Format | None
    user: str | None
    include_usage: bool


def read_chat(source: Source, honoured: Collection[str] = ()) -> ChatRequest:
    """Read and check the request that *source* holds. *honoured* are parameters that this target has, and reads itself.

    Raises BadRequest and Untranslatable.
    """
    body = Fields(source.values)
    asking = {name: value for name, value in source.values.items() if name not in _NEUTRAL or value != _NEUTRAL[name]}
    refuse_unknown(asking, {*_READ, *_IGNORED, *honoured}, drop=source.drop_params)
    options = body.table("stream_options")
    return ChatRequest(
        conversation=read_messages(body),
        toolbox=read_tools(body, drop=source.drop_params),
        max_tokens=body.count("max_completion_tokens") or body.count("max_tokens"),
        temperature=body.number("temperature", most=2),
        top_p=body.number("top_p", most=1),
        top_k=body.count("top_k"),
        stop=_stop(body),
        effort=body.word("reasoning_effort", EFFORTS),
        format=_format(body),
        user=body.maybe_text("safety_identifier") or body.maybe_text("user"),
        include_usage=bool(options and options.flag("include_usage")),
    )


def schema_of(source: Source, chat: ChatRequest) -> Format | None:
    """Return the form that the answer must have, where the target knows no other than those with a schema."""
    if chat.format and chat.format.schema is None:
        refuse("response_format", "must come with a schema for this model's backend", drop=source.drop_params)
        return None
    return chat.format


def _stop(body: Fields) -> tuple[str, ...]:
    one = body.values.get("stop")
    return tuple(text for text in ([one] if isinstance(one, str) else body.texts("stop")) if text)


def _format(body: Fields) -> Format | None:
    told = body.table("response_format")
    kind = told.word("type", ("text", "json_object", "json_schema")) if told else None
    if told is None or kind == "text":
        return None
    if kind == "json_object":
        return Format()
    schema = told.inner("json_schema")
    described = schema.maybe_text("description") or ""
    return Format(schema.inner("schema").values, schema.maybe_text("name") or "", described)
