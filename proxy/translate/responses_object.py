"""Writes the response object of OpenAI's responses API: what was asked, said again, and how the answer stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import orjson

from proxy.exchange import Usage
from proxy.translate.base import Cost, Source, with_cost
from proxy.translate.fields import dumped
from proxy.translate.json_text import escaped, quoted

# What a response repeats of its request, and what that is where the request says nothing.
_ECHOED: Final[Mapping[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class ResponseObject:
    """The response of one request, whatever its answer comes to. `model` is the target's name for the model."""

    __slots__ = ("_cost", "_head", "model", "request_id")

    def __init__(self, request_id: str, model: str, head: bytes, cost: Cost) -> None:
        self._cost = cost
        self.request_id = request_id
        self.model = model
        self._head = head

    @classmethod
    def of(cls, source: Source) -> Self:
        """Return the object for a request. Raises BadRequest for what is nested too deeply to be said again."""
        echoed = {name: default if source.values.get(name) is None else source.values[name] for name, default in _ECHOED.items()}
        head = {"id": f"resp_{source.request_id}", "object": "response", "created_at": source.now, **echoed}
        return cls(source.request_id, source.model, dumped(head)[:-1], source.cost)

    def write(
        self,
        status: str,
        model: str,
        output: Sequence[Mapping[str, Any]] = (),
        *,
        usage: Usage | None = None,
        error: Mapping[str, Any] | None = None,
        incomplete: str = "",
    ) -> bytes:
        """Return the object as it stands."""
        state = {
            "status": status,
            "model": quoted(escaped(model or self.model)),
            "output": list(output),
            "usage": None if usage is None else with_cost(usage_object(usage), usage, self._cost),
            "error": orjson.Fragment(dumped(error)),
            "incomplete_details": {"reason": incomplete} if incomplete else None,
        }
        return self._head + b"," + orjson.dumps(state)[1:]


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the `usage` of a response; a count that the upstream did not say is 0, as the clients' types have it."""
    into, out = usage.tokens_in or 0, usage.tokens_out or 0
    return {
        "input_tokens": into,
        "input_tokens_details": {"cached_tokens": usage.cached or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": into + out,
    }
