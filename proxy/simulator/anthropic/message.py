"""Writes one answer as a message, whole or as its native events; how these are framed is for others to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proxy.simulator.anthropic.blocks import Block, blocks_of
from proxy.simulator.anthropic.request import Ask
from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, Shape, compose


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One answer. `prefix` begins its id."""

    model: str
    ask: Ask
    seed: int
    prefix: str = "msg_"

    def reply(self, shape: Shape) -> Reply:
        """Return what the model says."""
        return compose(self.ask.prompt, shape, seed=self.seed)

    def whole(self, reply: Reply) -> dict[str, Any]:
        """Return *reply* as one object."""
        message = self._object(reply, self._usage(reply))
        message["content"] = [block.done() for block in self._blocks(reply)]
        return message | self._end(reply)

    def events(self, reply: Reply) -> Iterator[tuple[dict[str, Any], Part]]:
        """Return *reply* from `message_start` to `message_stop`, with a ping once its first block has begun."""
        yield {"type": "message_start", "message": self._object(reply, self._usage(None))}, Part.FRAME
        for index, block in enumerate(self._blocks(reply)):
            yield {"type": "content_block_start", "index": index, "content_block": block.begun()}, Part.FRAME
            if index == 0:
                yield {"type": "ping"}, Part.FRAME
            for delta, part in block.deltas():
                yield {"type": "content_block_delta", "index": index, "delta": delta}, part
            yield {"type": "content_block_stop", "index": index}, Part.FRAME
        usage = self._usage(reply)
        del usage["cache_creation"], usage["service_tier"]  # told once, at the start
        yield {"type": "message_delta", "delta": self._end(reply), "usage": usage}, Part.END
        yield {"type": "message_stop"}, Part.END

    def _blocks(self, reply: Reply) -> list[Block]:
        return blocks_of(reply, shown=self.ask.thinking.shown)

    def _object(self, reply: Reply, usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}{reply.id}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }

    def _end(self, reply: Reply) -> dict[str, Any]:
        return {"stop_reason": stop_reason(reply), "stop_sequence": reply.stopped}

    def _usage(self, reply: Reply | None) -> dict[str, Any]:
        """Return the usage of the whole *reply*; None: when it has just begun."""
        tokens = self.ask.tokens_in
        usage: dict[str, Any] = {
            "input_tokens": tokens.fresh,
            "cache_creation_input_tokens": sum(tokens.written.values()),
            "cache_read_input_tokens": tokens.read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": tokens.written.get(ttl, 0) for ttl in ("5m", "1h")},
            "output_tokens": 1 if reply is None else reply.tokens,
            "service_tier": "standard",
        }
        if reply is not None and reply.reasoning:
            usage["output_tokens_details"] = {"thinking_tokens": len(reply.reasoning)}
        return usage


def stop_reason(reply: Reply) -> str:
    """Return why the model stopped, in the word that Anthropic and Bedrock share."""
    if reply.cut:
        return "max_tokens"
    if reply.calls:
        return "tool_use"
    return "end_turn" if reply.stopped is None else "stop_sequence"
