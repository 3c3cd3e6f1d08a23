"""Writes OpenAI chat chunks and answers, and what stands around their text only once for a whole stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.base import Cost, Source, no_cost, with_cost
from proxy.translate.chat_request import ChatRequest
from proxy.translate.json_text import dumped
from proxy.translate.names import Names

DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a request decides about the form of its answer. `loops`: with tools, so reasoning may have to be sent back."""

    request_id: str
    created: int
    model: str
    include_usage: bool
    names: Names
    loops: bool
    cost: Cost = no_cost

    @classmethod
    def of(cls, source: Source, chat: ChatRequest, names: Names) -> Self:
        """Return the facts of a request that was read."""
        return cls(
            request_id=source.request_id,
            created=source.now,
            model=source.model,
            include_usage=chat.include_usage,
            names=names,
            loops=bool(chat.toolbox.tools),
            cost=source.cost,
        )

    @property
    def id(self) -> str:
        """The answer's id."""
        return f"chatcmpl-{self.request_id}"

    def call_id(self, number: int) -> str:
        """Return an id for a tool call that its upstream gave none, unique among all answers."""
        return f"call_{self.request_id}_{number}"


class Chunks:
    """Writes the chunks of one stream. Text is given as it stands inside a JSON string, so that none has to be read for it."""

    __slots__ = (
        "_after",
        "_before",
        "_cost",
        "_nulled",
        "arguments_after",
        "reasoning_before",
        "text_after",
        "text_before",
    )

    def __init__(self, facts: Facts, model: str) -> None:
        head = {"id": facts.id, "object": "chat.completion.chunk", "created": facts.created, "model": model}
        self._cost = facts.cost
        self._nulled = b',"usage":null}\n\n' if facts.include_usage else b"}\n\n"
        self._before = b"data: %b," % dumped(head)[:-1] + b'"choices":[{"index":0,"delta":{'
        self._after = b'},"finish_reason":null}]' + self._nulled
        self.text_before = self._before + b'"content":"'
        self.reasoning_before = self._before + b'"reasoning_content":"'
        self.text_after = b'"' + self._after
        self.arguments_after = b'"}}]' + self._after

    def delta(self, members: Mapping[str, Any]) -> bytes:
        """Return the chunk for any delta."""
        return self._before + dumped(members)[1:-1] + self._after

    def arguments_before(self, number: int) -> bytes:
        """Return what stands before a piece of the arguments of the tool call *number*."""
        return self._before + b'"tool_calls":[{"index":%d,"function":{"arguments":"' % number

    def finish(self, reason: str) -> bytes:
        """Return the chunk that tells why the answer ended."""
        return self._before + b'},"finish_reason":"%b"}]' % reason.encode() + self._nulled

    def usage(self, usage: Usage) -> bytes:
        """Return the chunk that tells what the answer used."""
        before = self._before.removesuffix(b'{"index":0,"delta":{')
        return before + b'],"usage":%b}\n\n' % dumped(with_cost(usage_object(usage), usage, self._cost))


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return OpenAI's `usage`; what the upstream did not say is null, and details without any are left out."""
    before, after = usage.tokens_in, usage.tokens_out
    told: dict[str, Any] = {
        "prompt_tokens": before,
        "completion_tokens": after,
        "total_tokens": None if before is None or after is None else before + after,
    }
    into = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    for name, details in (("prompt_tokens_details", into), ("completion_tokens_details", {"reasoning_tokens": usage.reasoning})):
        said = {key: value for key, value in details.items() if value is not None}
        if said:
            told[name] = said
    return told


def write_call(facts: Facts, call: Any, name: Any, arguments: Any, **extra: Any) -> dict[str, Any]:
    """Return a whole tool call. Raises UpstreamMalformed for one without an id or a name."""
    if not isinstance(call, str) or not isinstance(name, str):
        raise UpstreamMalformed("a tool call has no id, or no name")
    written = dumped(arguments if isinstance(arguments, dict) else {}).decode()
    return {"id": call, "type": "function", "function": {"name": facts.names.here(name), "arguments": written}, **extra}


def write_message(
    facts: Facts, *, words: Iterable[Any], thoughts: Iterable[Any], signed: Iterable[Any], calls: Sequence[Any]
) -> dict[str, Any]:
    """Return what a model said, without its role. What is no text in *words* and *thoughts* is left out."""
    text = "".join(each for each in words if isinstance(each, str))
    message = {
        "content": text or (None if calls else ""),
        "reasoning_content": "".join(each for each in thoughts if isinstance(each, str)),
        "thinking_blocks": [*signed] if facts.loops else [],
        "tool_calls": calls,
    }
    return {key: value for key, value in message.items() if value or key == "content"}


def answer(facts: Facts, message: Mapping[str, Any], *, model: str, reason: str, usage: Usage | None) -> bytes:
    """Return a whole answer; *message* is what the model said, without its role."""
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    return dumped(
        {
            "id": facts.id,
            "object": "chat.completion",
            "created": facts.created,
            "model": model,
            "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": reason}],
            "usage": None if usage is None else with_cost(usage_object(usage), usage, facts.cost),
        }
    )
