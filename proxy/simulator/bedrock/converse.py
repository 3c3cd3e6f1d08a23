"""Converse: reads the request, and writes the answer as frames of an event stream or as one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.simulator import fields
from proxy.simulator.anthropic.message import stop_reason
from proxy.simulator.anthropic.request import Ask
from proxy.simulator.bedrock import common
from proxy.simulator.bedrock.blocks import Block, blocks_of
from proxy.simulator.bedrock.request import read_ask
from proxy.simulator.dialect import Answer, Call, Event, Failure, Part, Whole
from proxy.simulator.reply import Reply, Shape, compose

_STOP_SEQUENCE: Final = "/stop_sequence"  # the one field of the model's own answer that can be asked for


def read_converse(call: Call) -> Answer:
    """Read `POST /model/{id}/converse`."""
    converse = _converse(call)
    return Answer(converse.model, converse.whole)


def read_converse_stream(call: Call) -> Answer:
    """Read `POST /model/{id}/converse-stream`."""
    converse = _converse(call)
    return Answer(converse.model, converse.whole, converse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Converse:
    """One answer, to be told as a stream or whole."""

    model: str
    ask: Ask
    tells_stop: bool  # the client wants to know which stop sequence it was
    seed: int
    content_type: str = common.EVENT_STREAM
    idle: bytes = b""  # this API has no keepalive

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the answer's frames: `messageStart`, blocks, `messageStop`, and `metadata` after that."""
        for kind, payload, part in self._story(self._reply(shape)):
            yield Event(common.event_frame(kind, payload), part)

    def whole(self, shape: Shape) -> Whole:
        """Return the answer as one object."""
        reply = self._reply(shape)
        content = [block.done() for block in self._blocks(reply)]
        body = {"output": {"message": {"role": "assistant", "content": content}}, **self._end(reply), **self._metadata(reply)}
        return Whole(orjson.dumps(body), tokens=reply.pieces)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the exception that ends the stream."""
        return common.exception_frame(failure)

    def _story(self, reply: Reply) -> Iterator[tuple[str, dict[str, Any], Part]]:
        yield "messageStart", {"role": "assistant"}, Part.FRAME
        for index, block in enumerate(self._blocks(reply)):
            where = {"contentBlockIndex": index}
            if (begun := block.begun()) is not None:
                yield "contentBlockStart", {**where, "start": begun}, Part.FRAME
            for delta, part in block.deltas():
                yield "contentBlockDelta", {**where, "delta": delta}, part
            yield "contentBlockStop", where, Part.FRAME
        yield "messageStop", self._end(reply), Part.END
        yield "metadata", self._metadata(reply), Part.END

    def _reply(self, shape: Shape) -> Reply:
        return compose(self.ask.prompt, shape, seed=self.seed)

    def _blocks(self, reply: Reply) -> list[Block]:
        return blocks_of(reply, shown=self.ask.thinking.shown)

    def _end(self, reply: Reply) -> dict[str, Any]:
        end: dict[str, Any] = {"stopReason": stop_reason(reply)}
        return end | {"additionalModelResponseFields": {"stop_sequence": reply.stopped}} if self.tells_stop else end

    def _metadata(self, reply: Reply) -> dict[str, Any]:
        tokens = self.ask.tokens_in
        usage: dict[str, Any] = {
            "inputTokens": tokens.fresh,
            "outputTokens": reply.tokens,
            "totalTokens": tokens.total + reply.tokens,
            "cacheReadInputTokens": tokens.read,
            "cacheWriteInputTokens": sum(tokens.written.values()),
        }
        if tokens.written:
            usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": count} for ttl, count in tokens.written.items()]
        return {"usage": usage, "metrics": {"latencyMs": common.latency(reply)}}


def _converse(call: Call) -> Converse:
    body = fields.read_object(call.body)
    paths = fields.texts(body, "additionalModelResponseFieldPaths")
    return Converse(model=call.parameters["id"], ask=read_ask(body), tells_stop=_STOP_SEQUENCE in paths, seed=call.seed)
