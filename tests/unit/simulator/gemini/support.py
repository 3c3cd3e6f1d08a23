"""Requests for the Gemini endpoints, and how they are asked without a socket."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.simulator.dialect import Answer
from proxy.simulator.gemini.content import read_generate, read_stream
from tests.unit.simulator.asking import call, events_of, whole_of

HELLO = [{"role": "user", "parts": [{"text": "Tell me about tea"}]}]
BODY: dict[str, Any] = {"contents": HELLO}
SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
TOOLS = [{"functionDeclarations": [{"name": "weather", "parameters": SCHEMA}, {"name": "clock"}]}]


def streamed(body: Any, **query: str) -> Answer:
    """Ask for a stream."""
    return read_stream(call(body, query=query, model="demo"))


def whole(body: Any, **shape: int) -> Any:
    """Return the answer in one object."""
    return whole_of(read_generate(call(body, model="demo")), **shape)


def chunks(body: Any, **shape: int) -> list[Any]:
    """Return the answer's chunks."""
    events = events_of(streamed(body, alt="sse"), **shape)
    return [orjson.loads(event.bytes.removeprefix(b"data: ")) for event in events]


def parts(chunk: Any) -> Any:
    """Return the parts of a chunk's one candidate."""
    return chunk["candidates"][0]["content"]["parts"]
