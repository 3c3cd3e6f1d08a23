"""Chat completions: reads the request, and writes the answer as chunks or as one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.dialect import Answer, Call, Event, Failure, Part, Whole
from proxy.simulator.fields import Fields
from proxy.simulator.openai import common
from proxy.simulator.reply import Prompt, Reply, Shape, Tool, compose
from proxy.simulator.schema import FREE_OBJECT

_ROLES: Final = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
_TOOL_ROLES: Final = frozenset({"tool", "function"})
_MAX_CHOICES: Final = 128
_MESSAGE_TOKENS: Final = 4  # what a message costs besides its text
_TOOL_TOKENS: Final = 40  # what the definition of a tool costs
_FINGERPRINT: Final = "fp_simulator"


def read_chat(call: Call) -> Answer:
    """Read `POST /v1/chat/completions`."""
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    usage = common.asks_for_usage(body, fields.table(body, "stream_options"))
    chat = ChatCompletion(
        model=model,
        prompt=_prompt(body, model),
        choices=fields.count(body, "n", most=_MAX_CHOICES) or 1,
        usage=usage,
        born=call.born,
        seed=call.seed,
    )
    return Answer(model, chat.whole, chat if fields.flag(body, "stream") else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompletion:
    """One chat completion, to be told as a stream or whole."""

    model: str
    prompt: Prompt
    choices: int
    usage: bool  # the stream tells the usage
    born: int
    seed: int
    content_type: str = common.EVENT_STREAM
    idle: bytes = common.PROCESSING

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return role, deltas in turn over the choices, finish reasons, usage if asked for, and `[DONE]`."""
        replies = self._replies(shape)
        name = replies[0].id
        for index, reply in enumerate(replies):
            yield self._choice(name, index, _role(reply), None, Part.FRAME)
        for row in zip_longest(*(_deltas(reply) for reply in replies)):
            for index, delta in enumerate(row):
                if delta is not None:
                    yield self._choice(name, index, delta, None, Part.TOKEN)
        for index, reply in enumerate(replies):
            yield self._choice(name, index, {}, _finish(reply), Part.END)
        if self.usage:
            chunk = self._chunk(name, [], usage=common.chat_usage(self.prompt.tokens_in, replies))
            yield Event(common.data_frame(chunk), Part.END)
        yield Event(common.DONE, Part.END)

    def whole(self, shape: Shape) -> Whole:
        """Return the answer as one `chat.completion` object."""
        replies = self._replies(shape)
        body = {
            "id": f"chatcmpl-{replies[0].id}",
            "object": "chat.completion",
            "created": self.born,
            "model": self.model,
            "choices": [
                {"index": index, "message": _message(reply), "logprobs": None, "finish_reason": _finish(reply)}
                for index, reply in enumerate(replies)
            ],
            "usage": common.chat_usage(self.prompt.tokens_in, replies),
            "service_tier": "default",
            "system_fingerprint": _FINGERPRINT,
        }
        return Whole(orjson.dumps(body), tokens=max(reply.pieces for reply in replies))

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the error as an event; this dialect has no number to put on it."""
        return common.data_frame({"error": common.error_object(failure)})

    def _replies(self, shape: Shape) -> list[Reply]:
        return [compose(self.prompt, shape, seed=self.seed, index=index) for index in range(self.choices)]

    def _choice(self, name: str, index: int, delta: dict[str, Any], finish: str | None, part: Part) -> Event:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Event(common.data_frame(self._chunk(name, [choice], usage=None)), part)

    def _chunk(self, name: str, choices: list[dict[str, Any]], *, usage: dict[str, Any] | None) -> dict[str, Any]:
        chunk = {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion.chunk",
            "created": self.born,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": _FINGERPRINT,
            "choices": choices,
        }
        return chunk | {"usage": usage} if self.usage else chunk


def _prompt(body: Fields, model: str) -> Prompt:
    messages = _messages(body)
    texts = [fields.content_text(message.get("content")) for message in messages]
    roles = [message["role"] for message in messages]
    question = next((said for role, said in zip(reversed(roles), reversed(texts), strict=True) if role == "user"), texts[-1])
    after_tool = roles[-1] in _TOOL_ROLES
    tools = _tools(body)
    calls = common.calls_now(body, tools, question, parallel=fields.flag(body, "parallel_tool_calls"))
    return Prompt(
        last=texts[-1],
        question=question,
        tokens_in=sum(map(text.estimate, texts)) + _MESSAGE_TOKENS * len(texts) + _TOOL_TOKENS * len(tools),
        limit=fields.count(body, "max_completion_tokens") or fields.count(body, "max_tokens"),
        thinks=common.thinks(model),
        after_tool=after_tool,
        calls=() if after_tool else calls,
        schema=_schema(fields.table(body, "response_format")),
    )


def _messages(body: Fields) -> list[Fields]:
    messages = fields.tables(body, "messages")
    if not messages:
        raise BadRequest("`messages` is required and must not be empty.", param="messages")
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or role not in _ROLES:
            raise BadRequest(f"`role` must be one of {', '.join(sorted(_ROLES))}.", param=f"messages[{index}].role")
        if content is not None and not isinstance(content, str | list):
            raise BadRequest("`content` must be a string or an array of parts.", param=f"messages[{index}].content")
    return messages


def _tools(body: Fields) -> list[Tool]:
    """Return the function tools; the simulated model calls no other kind."""
    return [common.function_tool(tool.get("function")) for tool in fields.tables(body, "tools") if tool.get("type") == "function"]


def _schema(wanted: Fields) -> Fields | None:
    if wanted.get("type") == "json_object":
        return FREE_OBJECT
    if wanted.get("type") != "json_schema":
        return None
    return fields.table(fields.table(wanted, "json_schema"), "schema")


def _role(reply: Reply) -> dict[str, Any]:
    return {"role": "assistant", "content": None if reply.calls else "", "refusal": None}


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    for piece in reply.reasoning:
        yield {"reasoning_content": piece}
    for piece in reply.text:
        yield {"content": piece}
    for index, call in enumerate(reply.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [head]}
        for piece in call.arguments:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else "".join(reply.text), "refusal": None}
    if reply.reasoning:
        message["reasoning_content"] = "".join(reply.reasoning)
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in reply.calls
        ]
    return message


def _finish(reply: Reply) -> str:
    if reply.cut:
        return "length"
    return "tool_calls" if reply.calls else "stop"
