"""Invoke: Claude's own request and answer in Bedrock's clothes, the answer whole or as chunks of an event stream."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields
from proxy.simulator.anthropic.common import NO_SAMPLING
from proxy.simulator.anthropic.message import Message
from proxy.simulator.anthropic.request import read_ask
from proxy.simulator.bedrock import common
from proxy.simulator.dialect import Answer, Call, Event, Failure, Whole
from proxy.simulator.reply import Reply, Shape

_VERSIONS: Final = ("bedrock-2023-05-31", NO_SAMPLING)
_IN_THE_PATH: Final = ("model", "stream")


def read_invoke(call: Call) -> Answer:
    """Read `POST /model/{id}/invoke`."""
    message = _message(call)
    return Answer(message.model, lambda shape: _whole(message, shape))


def read_invoke_stream(call: Call) -> Answer:
    """Read `POST /model/{id}/invoke-with-response-stream`."""
    message = _message(call)
    return Answer(message.model, lambda shape: _whole(message, shape), ChunkStream(message))


@dataclass(frozen=True, slots=True)
class ChunkStream:
    """One message whose native events travel in chunks."""

    message: Message
    content_type: str = common.EVENT_STREAM
    idle: bytes = b""

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the native events without pings; the last one tells what the invocation cost."""
        reply = self.message.reply(shape)
        for event, part in self.message.events(reply):
            if event["type"] == "message_stop":
                event["amazon-bedrock-invocationMetrics"] = self._metrics(reply)
            if event["type"] != "ping":
                yield Event(_chunk(event), part)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the exception that ends the stream."""
        return common.exception_frame(failure)

    def _metrics(self, reply: Reply) -> dict[str, int]:
        tokens = self.message.ask.tokens_in
        metrics = {
            "inputTokenCount": tokens.fresh,
            "outputTokenCount": reply.tokens,
            "invocationLatency": common.latency(reply),
            "firstByteLatency": common.latency(reply) // max(reply.pieces, 1),
        }
        if tokens.read or tokens.written:
            metrics["cacheReadInputTokenCount"] = tokens.read
            metrics["cacheWriteInputTokenCount"] = sum(tokens.written.values())
        return metrics


def _message(call: Call) -> Message:
    body = fields.read_object(call.body)
    version = fields.required_text(body, "anthropic_version")
    if version not in _VERSIONS:
        raise BadRequest(f"`anthropic_version` must be one of {', '.join(_VERSIONS)}.", param="anthropic_version")
    for name in _IN_THE_PATH:
        if name in body:
            raise BadRequest(f"`{name}` is not permitted in this body; the path says it.", param=name)
    return Message(model=call.parameters["id"], ask=read_ask(body, version), seed=call.seed, prefix="msg_bdrk_")


def _whole(message: Message, shape: Shape) -> Whole:
    reply = message.reply(shape)
    headers = {
        "X-Amzn-Bedrock-Input-Token-Count": str(message.ask.tokens_in.fresh),
        "X-Amzn-Bedrock-Output-Token-Count": str(reply.tokens),
        "X-Amzn-Bedrock-Invocation-Latency": str(common.latency(reply)),
    }
    return Whole(orjson.dumps(message.whole(reply)), tokens=reply.pieces, headers=headers)


def _chunk(event: dict[str, Any]) -> bytes:
    return common.event_frame("chunk", {"bytes": base64.b64encode(orjson.dumps(event)).decode()})
