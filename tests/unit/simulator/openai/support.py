"""Asks the OpenAI endpoints without a socket."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.simulator.dialect import Part
from tests.unit.simulator.asking import BORN, Read, call, events_of, whole_of

__all__ = ["BORN", "call", "chunks", "frames", "whole"]


def whole(read: Read, body: Any, **shape: int) -> Any:
    """Return the answer in one JSON object."""
    return whole_of(read(call(body)), **shape)


def frames(read: Read, body: Any, **shape: int) -> list[tuple[bytes, Part]]:
    """Return the answer's events, as bytes and part."""
    return [(event.bytes, event.part) for event in events_of(read(call({**body, "stream": True})), **shape)]


def chunks(read: Read, body: Any, **shape: int) -> list[Any]:
    """Return the data of the answer's events; `[DONE]` as it is."""
    lines = [frame.removesuffix(b"\n\n").rpartition(b"data: ")[2] for frame, _ in frames(read, body, **shape)]
    return ["[DONE]" if line == b"[DONE]" else orjson.loads(line) for line in lines]
