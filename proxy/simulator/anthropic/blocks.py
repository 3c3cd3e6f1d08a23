"""The content blocks of a message: thinking, text, tool use; each knows its deltas and its finished form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall

Delta = tuple[dict[str, Any], Part]


class Block(Protocol):
    """One content block."""

    def begun(self) -> dict[str, Any]:
        """Return the block as it is announced."""

    def deltas(self) -> Iterator[Delta]:
        """Return what fills it, piece by piece."""

    def done(self) -> dict[str, Any]:
        """Return the block when it is finished."""


def blocks_of(reply: Reply, *, shown: bool) -> list[Block]:
    """Return the blocks of *reply*, in order, with its thoughts *shown* or only signed for."""
    blocks: list[Block] = []
    if reply.reasoning:
        blocks.append(Thinking(reply.reasoning if shown else (), signature(reply)))
    if reply.text:
        blocks.append(Text(reply.text))
    blocks += [ToolUse(call) for call in reply.calls]
    return blocks


def signature(reply: Reply) -> str:
    """Return what proves to the real API that thoughts were its own."""
    return base64.b64encode(hashlib.sha256("".join((reply.id, *reply.reasoning)).encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought before it answered."""

    tokens: tuple[str, ...]
    signature: str

    def begun(self) -> dict[str, Any]:
        """Return the block without thoughts."""
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self) -> Iterator[Delta]:
        """Return the thoughts token by token, and the signature at the end."""
        for token in self.tokens:
            yield {"type": "thinking_delta", "thinking": token}, Part.TOKEN
        yield {"type": "signature_delta", "signature": self.signature}, Part.FRAME

    def done(self) -> dict[str, Any]:
        """Return the block with its thoughts."""
        return {"type": "thinking", "thinking": "".join(self.tokens), "signature": self.signature}


@dataclass(frozen=True, slots=True)
class Text:
    """The answer in words."""

    tokens: tuple[str, ...]

    def begun(self) -> dict[str, Any]:
        """Return the block without words."""
        return {"type": "text", "text": ""}

    def deltas(self) -> Iterator[Delta]:
        """Return the words token by token."""
        for token in self.tokens:
            yield {"type": "text_delta", "text": token}, Part.TOKEN

    def done(self) -> dict[str, Any]:
        """Return the block with its words."""
        return {"type": "text", "text": "".join(self.tokens)}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools."""

    call: ToolCall

    def begun(self) -> dict[str, Any]:
        """Return the call without arguments."""
        return self._block({})

    def deltas(self) -> Iterator[Delta]:
        """Return the arguments as pieces of JSON, the first of them empty."""
        yield {"type": "input_json_delta", "partial_json": ""}, Part.FRAME
        for piece in self.call.arguments:
            yield {"type": "input_json_delta", "partial_json": piece}, Part.TOKEN

    def done(self) -> dict[str, Any]:
        """Return the call with its arguments."""
        return self._block(self.call.values)

    def _block(self, values: Any) -> dict[str, Any]:
        name = self.call.id.removeprefix("call_")
        return {"type": "tool_use", "id": f"toolu_{name}", "name": self.call.name, "input": values}
