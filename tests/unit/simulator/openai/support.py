"""Asks the OpenAI endpoints without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from proxy.simulator.dialect import Answer, Call, Part
from proxy.simulator.reply import Shape

BORN = 1_790_000_000

Read = Callable[[Call], Answer]


def call(body: Any = None, **parameters: str) -> Call:
    """Return a call with *body* as JSON, or with bytes as they are."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Call(method="POST", path="/", parameters=parameters, body=data, born=BORN, seed=0)


def whole(read: Read, body: Any, **shape: int) -> Any:
    """Return the answer in one JSON object."""
    return orjson.loads(read(call(body)).whole(Shape(**shape)).body)


def frames(read: Read, body: Any, **shape: int) -> list[tuple[bytes, Part]]:
    """Return the answer's events, as bytes and part."""
    stream = read(call({**body, "stream": True})).stream
    assert stream is not None
    return [(event.bytes, event.part) for event in stream.events(Shape(**shape))]


def chunks(read: Read, body: Any, **shape: int) -> list[Any]:
    """Return the data of the answer's events; `[DONE]` as it is."""
    lines = [frame.removesuffix(b"\n\n").rpartition(b"data: ")[2] for frame, _ in frames(read, body, **shape)]
    return ["[DONE]" if line == b"[DONE]" else orjson.loads(line) for line in lines]
