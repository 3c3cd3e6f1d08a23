"""The endpoints of the Messages API: reads the request, and frames the answer as server-sent events or as one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from proxy.simulator import fields
from proxy.simulator.anthropic import common
from proxy.simulator.anthropic.message import Message
from proxy.simulator.anthropic.request import count_tokens, read_ask
from proxy.simulator.dialect import Answer, Call, Event, Failure, Whole
from proxy.simulator.reply import Shape


def read_messages(call: Call) -> Answer:
    """Read `POST /v1/messages`."""
    version = common.known_version(call.headers)
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    message = Message(model=model, ask=read_ask(body, version), seed=call.seed)
    stream = MessageStream(message, call.id) if fields.flag(body, "stream") else None
    return Answer(model, lambda shape: whole(message, shape), stream)


def read_count(call: Call) -> Answer:
    """Read `POST /v1/messages/count_tokens`."""
    common.known_version(call.headers)
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    answer = orjson.dumps({"input_tokens": count_tokens(body)})
    return Answer(model, lambda _: Whole(answer))


def whole(message: Message, shape: Shape) -> Whole:
    """Return *message* as one JSON object."""
    reply = message.reply(shape)
    return Whole(orjson.dumps(message.whole(reply)), tokens=reply.pieces)


@dataclass(frozen=True, slots=True)
class MessageStream:
    """One message in the request called *name*, told in named events."""

    message: Message
    name: str
    content_type: str = common.EVENT_STREAM
    idle: bytes = common.PING

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the message's events, each under the name of its type."""
        for event, part in self.message.events(self.message.reply(shape)):
            yield Event(common.frame(event), part)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the `error` event; no `message_stop` follows it."""
        return common.frame(common.error_object(failure, self.name))
