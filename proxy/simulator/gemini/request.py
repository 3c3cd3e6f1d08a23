"""Reads a Gemini request: its contents, tools and generation config, all that decides the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.errors import BadRequest
from proxy.simulator import fields
from proxy.simulator.fields import Fields
from proxy.simulator.gemini.common import camel
from proxy.simulator.gemini.history import read_conversation
from proxy.simulator.gemini.tools import json_schema, read_tools
from proxy.simulator.reply import Prompt
from proxy.simulator.schema import FREE_OBJECT

_MOST_CANDIDATES: Final = 8
_MOST_STOPS: Final = 5
_SAMPLING: Final = {"temperature": 2.0, "topP": 1.0, "topK": 1_000_000.0}  # the most that each may be
_CACHED_TOKENS: Final = 2048  # what every `cachedContent` holds here
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that was understood: so many candidates, of which some prompt tokens come from a cache."""

    prompt: Prompt
    candidates: int
    cached: int
    shows_thoughts: bool


def read_ask(given: Fields) -> Ask:
    """Read all of a request but the model, which is in the path."""
    body = camel(given)
    config = camel(fields.table(body, "generationConfig"))
    thinking = camel(fields.table(config, "thinkingConfig"))
    tools = read_tools(body)
    conversation = read_conversation(body, tools.spans)
    cached = _CACHED_TOKENS if body.get("cachedContent") else 0
    prompt = Prompt(
        last=conversation.last,
        question=conversation.question,
        tokens_in=conversation.tokens().total + cached,
        limit=fields.count(config, "maxOutputTokens"),
        thinks=_thinks(thinking),
        after_tool=conversation.after_tool,
        calls=() if conversation.after_tool else tools.to_call(conversation.question),
        schema=_schema(config),
        stops=_stops(config),
    )
    _check_sampling(config)
    candidates = fields.count(config, "candidateCount", most=_MOST_CANDIDATES) or 1
    return Ask(prompt, candidates, cached, fields.flag(thinking, "includeThoughts") or False)


def count_tokens(given: Fields) -> int:
    """Return how many tokens the contents cost, bare or with all that would be sent with them."""
    body = camel(given)
    body = camel(fields.table(body, "generateContentRequest")) or body
    return read_conversation(body, read_tools(body).spans).tokens().total


def _thinks(thinking: Fields) -> bool:
    budget = thinking.get("thinkingBudget")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < -1):
        raise BadRequest("`thinkingBudget` must be a whole number, -1 for as much as is needed.", param="thinkingBudget")
    return bool(thinking.get("includeThoughts") or thinking.get("thinkingLevel") or budget)


def _stops(config: Fields) -> tuple[str, ...]:
    stops = fields.texts(config, "stopSequences")
    if len(stops) > _MOST_STOPS:
        raise BadRequest(f"`stopSequences` may be {_MOST_STOPS} at most.", param="stopSequences")
    return stops


def _schema(config: Fields) -> Fields | None:
    if config.get("responseMimeType") != _JSON:
        return None
    return fields.table(config, "responseJsonSchema") or json_schema(fields.table(config, "responseSchema")) or FREE_OBJECT


def _check_sampling(config: Fields) -> None:
    for name, most in _SAMPLING.items():
        fields.number(config, name, most=most)
