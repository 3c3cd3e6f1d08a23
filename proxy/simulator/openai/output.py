"""The output items of a response: reasoning, message, function call; each knows its events and its finished form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall

Piece = tuple[str, dict[str, Any], Part]


class Item(Protocol):
    """One output item."""

    @property
    def id(self) -> str:
        """The item's own id."""

    def begun(self) -> dict[str, Any]:
        """Return the item as it is announced."""

    def pieces(self) -> Iterator[Piece]:
        """Return the events between announcement and end: type, fields, part."""

    def done(self) -> dict[str, Any]:
        """Return the item when it is finished."""


def items_of(reply: Reply) -> list[Item]:
    """Return the output items of *reply*, in order."""
    items: list[Item] = []
    if reply.reasoning:
        items.append(Reasoning(f"rs_{reply.id}", reply.reasoning))
    if reply.text:
        items.append(Message(f"msg_{reply.id}", reply.text, "incomplete" if reply.cut else "completed"))
    last = len(reply.calls) - 1
    for index, call in enumerate(reply.calls):
        status = "incomplete" if reply.cut and index == last else "completed"
        items.append(FunctionCall(f"fc_{call.id.removeprefix('call_')}", call, status))
    return items


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The summary of what the model thought."""

    id: str
    tokens: tuple[str, ...]

    def begun(self) -> dict[str, Any]:
        """Return the item without a summary."""
        return {"id": self.id, "type": "reasoning", "summary": []}

    def pieces(self) -> Iterator[Piece]:
        """Return one summary part, token by token."""
        where = {"summary_index": 0}
        yield "response.reasoning_summary_part.added", {**where, "part": {"type": "summary_text", "text": ""}}, Part.FRAME
        for token in self.tokens:
            yield "response.reasoning_summary_text.delta", {**where, "delta": token}, Part.TOKEN
        yield "response.reasoning_summary_text.done", {**where, "text": "".join(self.tokens)}, Part.FRAME
        yield "response.reasoning_summary_part.done", {**where, "part": self._part()}, Part.FRAME

    def done(self) -> dict[str, Any]:
        """Return the item with its summary."""
        return {"id": self.id, "type": "reasoning", "summary": [self._part()]}

    def _part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": "".join(self.tokens)}


@dataclass(frozen=True, slots=True)
class Message:
    """The answer in words."""

    id: str
    tokens: tuple[str, ...]
    status: str

    def begun(self) -> dict[str, Any]:
        """Return the message without content."""
        return {"id": self.id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}

    def pieces(self) -> Iterator[Piece]:
        """Return one text part, token by token."""
        where = {"content_index": 0}
        yield "response.content_part.added", {**where, "part": _text_part("")}, Part.FRAME
        for token in self.tokens:
            yield "response.output_text.delta", {**where, "delta": token, "logprobs": []}, Part.TOKEN
        said = "".join(self.tokens)
        yield "response.output_text.done", {**where, "text": said, "logprobs": []}, Part.FRAME
        yield "response.content_part.done", {**where, "part": _text_part(said)}, Part.FRAME

    def done(self) -> dict[str, Any]:
        """Return the message with its text."""
        return self.begun() | {"status": self.status, "content": [_text_part("".join(self.tokens))]}


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of one of the client's functions."""

    id: str
    call: ToolCall
    status: str

    def begun(self) -> dict[str, Any]:
        """Return the call without arguments."""
        return self._item("in_progress", "")

    def pieces(self) -> Iterator[Piece]:
        """Return the arguments, piece by piece."""
        for piece in self.call.arguments:
            yield "response.function_call_arguments.delta", {"delta": piece}, Part.TOKEN
        whole = {"name": self.call.name, "arguments": "".join(self.call.arguments)}
        yield "response.function_call_arguments.done", whole, Part.FRAME

    def done(self) -> dict[str, Any]:
        """Return the call with its arguments."""
        return self._item(self.status, "".join(self.call.arguments))

    def _item(self, status: str, arguments: str) -> dict[str, Any]:
        call = {"call_id": self.call.id, "name": self.call.name, "arguments": arguments}
        return {"id": self.id, "type": "function_call", "status": status, **call}


def _text_part(said: str) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
