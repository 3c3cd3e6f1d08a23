"""Reads an OpenAI responses request into checked pieces, for a backend that keeps nothing and has no tools of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.translate.base import Source
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Text, Turn
from proxy.translate.fields import Fields, cannot, refuse, refuse_unknown
from proxy.translate.responses_input import read_input
from proxy.translate.responses_tools import read_tools

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_READ: Final = frozenset(
    {"model", "input", "instructions", "stream", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"}
    | {"max_output_tokens", "temperature", "top_p", "top_logprobs", "include", "user", "safety_identifier", "service_tier"}
)
# state that only the account has that made it, and work that goes on when the answer has been given
_STATEFUL: Final = ("previous_response_id", "conversation", "prompt", "background")
# these say nothing about the answer, or only about tools that are refused. Truncation and context management shorten what
# has become too long: without them the backend sees all of it, or says that it is too much
_MEANINGLESS: Final = frozenset(
    {"store", "metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "client_metadata"}
    | {"stream_options", "truncation", "context_management", "max_tool_calls"}
)
_LOGPROBS: Final = "message.output_text.logprobs"


@dataclass(frozen=True, slots=True)
class Form:
    """What form the answer must have: an object with any members, or one that follows *schema*."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest:
    """A whole request. `effort`, `tier` and `user` are empty where nothing is said about them."""

    system: tuple[Text, ...]
    turns: tuple[Turn, ...]
    toolbox: Toolbox
    form: Form | None
    verbosity: str
    effort: str
    summary: bool  # whether thoughts are wanted as a summary
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    user: str
    tier: str


def read_responses_request(source: Source) -> ResponsesRequest:
    """Read and check the request that *source* holds. Raises BadRequest and Untranslatable, which name the place."""
    body, drop = Fields(source.values), source.drop_params
    _refuse(body, drop=drop)
    system, turns = read_input(body, drop=drop)
    text = body.table("text") or Fields({}, "text")
    reasoning = body.table("reasoning") or Fields({}, "reasoning")
    tier = body.maybe_text("service_tier") or ""
    return ResponsesRequest(
        system=system,
        turns=turns,
        toolbox=read_tools(body, drop=drop),
        form=_form(text),
        verbosity=text.word("verbosity", ("low", "medium", "high")) or "",
        effort=reasoning.word("effort", _EFFORTS) or "",
        summary=bool(reasoning.maybe_text("summary") or reasoning.maybe_text("generate_summary")),
        max_tokens=body.count("max_output_tokens"),
        temperature=body.number("temperature", most=2),
        top_p=body.number("top_p", most=1),
        user=body.maybe_text("safety_identifier") or body.maybe_text("user") or "",
        tier="" if tier == "auto" else tier,
    )


def _refuse(body: Fields, *, drop: bool) -> None:
    for name in _STATEFUL:
        if body.values.get(name):
            raise cannot(name)  # without it the answer would be to another question
    refuse_unknown(body.values, {*_READ, *_STATEFUL, *_MEANINGLESS}, drop=drop)
    if body.values.get("top_logprobs"):
        refuse("top_logprobs", drop=drop)
    if _LOGPROBS in body.texts("include"):  # what else may be asked for here, nobody is hurt to miss
        refuse("include", drop=drop)


def _form(text: Fields) -> Form | None:
    form = text.table("format")
    if form is None:
        return None
    kind = form.word("type", ("text", "json_object", "json_schema")) or form.name("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Form()
    description = form.maybe_text("description") or ""
    return Form(form.inner("schema").values, form.name("name"), description, form.flag("strict"))
