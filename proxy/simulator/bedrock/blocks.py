"""The content blocks of a Converse answer: reasoning, text, tool use; each knows its deltas and its finished form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.simulator.anthropic.blocks import signature
from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall

Delta = tuple[dict[str, Any], Part]


class Block(Protocol):
    """One content block."""

    def begun(self) -> dict[str, Any] | None:
        """Return how the block is announced; None: it is not, as all but tool use."""

    def deltas(self) -> Iterator[Delta]:
        """Return what fills it, piece by piece."""

    def done(self) -> dict[str, Any]:
        """Return the block when it is finished."""


def blocks_of(reply: Reply, *, shown: bool) -> list[Block]:
    """Return the blocks of *reply*, in order, with its thoughts *shown* or only signed for."""
    blocks: list[Block] = []
    if reply.reasoning:
        blocks.append(Reasoning(reply.reasoning if shown else (), signature(reply)))
    if reply.text:
        blocks.append(Text(reply.text))
    blocks += [ToolUse(call) for call in reply.calls]
    return blocks


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it answered."""

    tokens: tuple[str, ...]
    signature: str

    def begun(self) -> None:
        """Return nothing."""

    def deltas(self) -> Iterator[Delta]:
        """Return the thoughts token by token, and the signature at the end."""
        for token in self.tokens:
            yield {"reasoningContent": {"text": token}}, Part.TOKEN
        yield {"reasoningContent": {"signature": self.signature}}, Part.FRAME

    def done(self) -> dict[str, Any]:
        """Return the block with its thoughts."""
        return {"reasoningContent": {"reasoningText": {"text": "".join(self.tokens), "signature": self.signature}}}


@dataclass(frozen=True, slots=True)
class Text:
    """The answer in words."""

    tokens: tuple[str, ...]

    def begun(self) -> None:
        """Return nothing."""

    def deltas(self) -> Iterator[Delta]:
        """Return the words token by token."""
        for token in self.tokens:
            yield {"text": token}, Part.TOKEN

    def done(self) -> dict[str, Any]:
        """Return the block with its words."""
        return {"text": "".join(self.tokens)}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools."""

    call: ToolCall

    def begun(self) -> dict[str, Any]:
        """Return the call without arguments."""
        return {"toolUse": self._named()}

    def deltas(self) -> Iterator[Delta]:
        """Return the arguments as pieces of JSON."""
        for piece in self.call.arguments:
            yield {"toolUse": {"input": piece}}, Part.TOKEN

    def done(self) -> dict[str, Any]:
        """Return the call with its arguments."""
        return {"toolUse": {**self._named(), "input": self.call.values}}

    def _named(self) -> dict[str, Any]:
        return {"toolUseId": f"tooluse_{self.call.id.removeprefix('call_')}", "name": self.call.name}
