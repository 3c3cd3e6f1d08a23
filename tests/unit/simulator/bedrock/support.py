"""Requests for the Bedrock endpoints, and how they are asked without a socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.dialects.eventstream import FrameSplitter, decode
from proxy.simulator.bedrock.converse import read_converse, read_converse_stream
from proxy.simulator.dialect import Answer, Event
from tests.unit.simulator.asking import call, events_of, whole_of

HELLO = [{"role": "user", "content": [{"text": "Tell me about tea"}]}]
BODY: dict[str, Any] = {"messages": HELLO}
TOOLS = [
    {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object", "properties": properties}}}}
    for name, properties in (("weather", {"city": {"type": "string"}}), ("clock", {}))
]
TOOL_CONFIG = {"tools": TOOLS}


def streamed(body: Any) -> Answer:
    """Ask for a stream."""
    return read_converse_stream(call(body, id="demo"))


def whole(body: Any, **shape: int) -> Any:
    """Return the answer as one object."""
    return whole_of(read_converse(call(body, id="demo")), **shape)


def told(body: Any, **shape: int) -> list[tuple[str, Any]]:
    """Return the type and payload of the answer's events, without their padding."""
    return [(kind, payload) for kind, payload, _ in unpacked(events_of(streamed(body), **shape))]


def unpacked(events: Iterable[Event]) -> list[tuple[str, Any, str]]:
    """Return type, payload and padding of events that are one frame each."""
    found = []
    for event in events:
        (raw,) = FrameSplitter().feed(event.bytes)
        headers, payload = decode(raw)
        assert (headers[":message-type"], headers[":content-type"]) == ("event", "application/json")
        members = orjson.loads(payload)
        found.append((headers[":event-type"], members, members.pop("p")))
    return found
