"""The endpoints of the Gemini API: reads the request, and sends content whole, as server-sent events, or as a growing array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from proxy.simulator import fields
from proxy.simulator.dialect import Answer, Call, Event, Failure, Part, Whole
from proxy.simulator.gemini.common import error_object
from proxy.simulator.gemini.generation import Generation
from proxy.simulator.gemini.request import count_tokens, read_ask
from proxy.simulator.reply import Shape
from proxy.simulator.wire import JSON


def read_generate(call: Call) -> Answer:
    """Read `POST /v1beta/models/{model}:generateContent`."""
    generation = _generation(call)
    return Answer(generation.model, lambda shape: _whole(generation, shape))


def read_stream(call: Call) -> Answer:
    """Read `POST /v1beta/models/{model}:streamGenerateContent`."""
    generation = _generation(call)
    stream = SseStream(generation) if call.query.get("alt") == "sse" else ArrayStream(generation)
    return Answer(generation.model, lambda shape: _whole(generation, shape), stream)


def read_count(call: Call) -> Answer:
    """Read `POST /v1beta/models/{model}:countTokens`."""
    tokens = count_tokens(fields.read_object(call.body))
    body = orjson.dumps({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})
    return Answer(call.parameters["model"], lambda _: Whole(body))


@dataclass(frozen=True, slots=True)
class SseStream:
    """Content as server-sent events, which have neither names nor an end of their own."""

    generation: Generation
    content_type: str = "text/event-stream"
    idle: bytes = b"\r\n"  # Google itself stays silent; its clients take an empty line and no comment

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return each chunk as an event."""
        for chunk, part in self.generation.chunks(self.generation.replies(shape)):
            yield Event(_frame(chunk), part)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the error as an event."""
        return _frame(error_object(failure))


@dataclass(frozen=True, slots=True)
class ArrayStream:
    """Content as one JSON array that arrives element by element."""

    generation: Generation
    content_type: str = JSON
    idle: bytes = b"\n"

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return each chunk as an element, and the closing bracket."""
        for sent, (chunk, part) in enumerate(self.generation.chunks(self.generation.replies(shape))):
            yield Event(_element(chunk, sent), part)
        yield Event(b"]", Part.END)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the error as the last element."""
        return _element(error_object(failure), sent) + b"]"


def _generation(call: Call) -> Generation:
    return Generation(model=call.parameters["model"], ask=read_ask(fields.read_object(call.body)), seed=call.seed)


def _whole(generation: Generation, shape: Shape) -> Whole:
    replies = generation.replies(shape)
    return Whole(orjson.dumps(generation.whole(replies)), tokens=max(reply.pieces for reply in replies))


def _frame(chunk: object) -> bytes:
    return b"data: %b\r\n\r\n" % orjson.dumps(chunk)


def _element(chunk: object, sent: int) -> bytes:
    return (b",\r\n" if sent else b"[") + orjson.dumps(chunk)
