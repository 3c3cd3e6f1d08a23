"""The Responses API: reads the request, and writes the answer as numbered events or as one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.dialect import Answer, Call, Event, Failure, Part, Whole
from proxy.simulator.fields import Fields
from proxy.simulator.openai import common
from proxy.simulator.openai.output import Item, items_of
from proxy.simulator.reply import Prompt, Reply, Shape, Tool, compose
from proxy.simulator.schema import FREE_OBJECT

_ITEM_TOKENS: Final = 4  # what an item costs besides its text
_TOOL_TOKENS: Final = 40  # what the definition of a tool costs
_ECHOED: Final[dict[str, Any]] = {  # request fields that the response object repeats, and what they are when absent
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def read_response(call: Call) -> Answer:
    """Read `POST /v1/responses`."""
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    if fields.flag(body, "background"):
        raise BadRequest("Background responses are not simulated.", param="background")
    echoed = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    response = Response(model=model, prompt=_prompt(body, model), echoed=echoed, born=call.born, seed=call.seed)
    return Answer(model, response.whole, response if fields.flag(body, "stream") else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response, to be told as a stream or whole."""

    model: str
    prompt: Prompt
    echoed: dict[str, Any]
    born: int
    seed: int
    content_type: str = common.EVENT_STREAM
    idle: bytes = common.PROCESSING

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the response's life: created, in progress, its items piece by piece, completed or incomplete."""
        reply = self._reply(shape)
        for number, (kind, body, part) in enumerate(self._story(reply)):
            yield Event(_frame(kind, number, body), part)

    def whole(self, shape: Shape) -> Whole:
        """Return the answer as one `response` object."""
        reply = self._reply(shape)
        return Whole(orjson.dumps(self._finished(reply, items_of(reply))), tokens=reply.pieces)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return a flat `error` as the first event, and `response.failed` once the response was created."""
        if not sent:
            return _frame("error", 0, {"code": failure.code, "message": failure.message, "param": failure.param})
        error = {"code": "server_error", "message": failure.message}
        response = self._object(self._reply(Shape()), "failed") | {"error": error}
        return _frame("response.failed", sent, {"response": response})

    def _story(self, reply: Reply) -> Iterator[tuple[str, dict[str, Any], Part]]:
        begun = {"response": self._object(reply, "in_progress")}
        yield "response.created", begun, Part.FRAME
        yield "response.in_progress", begun, Part.FRAME
        items = items_of(reply)
        for index, item in enumerate(items):
            yield "response.output_item.added", {"output_index": index, "item": item.begun()}, Part.FRAME
            for kind, body, part in item.pieces():
                yield kind, {"item_id": item.id, "output_index": index, **body}, part
            yield "response.output_item.done", {"output_index": index, "item": item.done()}, Part.FRAME
        finished = self._finished(reply, items)
        yield f"response.{finished['status']}", {"response": finished}, Part.END

    def _finished(self, reply: Reply, items: Sequence[Item]) -> dict[str, Any]:
        response = self._object(reply, "incomplete" if reply.cut else "completed")
        response["output"] = [item.done() for item in items]
        response["usage"] = self._usage(reply)
        if reply.cut:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            response["completed_at"] = self.born
        return response

    def _object(self, reply: Reply, status: str) -> dict[str, Any]:
        return {
            "id": f"resp_{reply.id}",
            "object": "response",
            "created_at": self.born,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "usage": None,
            **self.echoed,
        }

    def _usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "input_tokens": self.prompt.tokens_in,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": reply.tokens,
            "output_tokens_details": {"reasoning_tokens": len(reply.reasoning)},
            "total_tokens": self.prompt.tokens_in + reply.tokens,
        }

    def _reply(self, shape: Shape) -> Reply:
        return compose(self.prompt, shape, seed=self.seed)


def _frame(kind: str, number: int, body: dict[str, Any]) -> bytes:
    data = {"type": kind, "sequence_number": number, **body}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(data))


def _prompt(body: Fields, model: str) -> Prompt:
    messages = _input(body)
    last_role, last = messages[-1]
    question = next((said for role, said in reversed(messages) if role == "user"), last)
    tools = _tools(body)
    calls = common.calls_now(body, tools, question, parallel=fields.flag(body, "parallel_tool_calls"))
    instructions = fields.content_text(body.get("instructions"))
    return Prompt(
        last=last,
        question=question,
        tokens_in=text.estimate(instructions)
        + _TOOL_TOKENS * len(tools)
        + sum(text.estimate(said) + _ITEM_TOKENS for _, said in messages),
        limit=fields.count(body, "max_output_tokens"),
        thinks=common.thinks(model),
        after_tool=last_role == "tool",
        calls=() if last_role == "tool" else calls,
        schema=_schema(fields.table(fields.table(body, "text"), "format")),
    )


def _input(body: Fields) -> list[tuple[str, str]]:
    """Return (role, text) of every input item; the result of a tool has the role `tool`."""
    given = body.get("input")
    if isinstance(given, str) and given:
        return [("user", given)]
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise BadRequest("`input` is required: a string or an array of items.", param="input")
    return [_said(item) for item in given]


def _said(item: Fields) -> tuple[str, str]:
    if item.get("type") == "function_call_output":
        return "tool", fields.content_text(item.get("output"))
    role = item.get("role")
    return role if isinstance(role, str) else "", fields.content_text(item.get("content"))


def _tools(body: Fields) -> list[Tool]:
    """Return the function tools; the simulated model calls no other kind."""
    return [common.function_tool(tool) for tool in fields.tables(body, "tools") if tool.get("type") == "function"]


def _schema(wanted: Fields) -> Fields | None:
    if wanted.get("type") == "json_object":
        return FREE_OBJECT
    return fields.table(wanted, "schema") if wanted.get("type") == "json_schema" else None
