"""Asks an endpoint of any dialect without a socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from proxy.simulator.dialect import Answer, Call, Event, Stream
from proxy.simulator.reply import Shape

BORN = 1_790_000_000
NAME = "0123456789abcdef0123456789abcdef"

Read = Callable[[Call], Answer]


def call(
    body: Any = None, *, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None, **of: str
) -> Call:
    """Return a call with *body* as JSON, or with bytes as they are; *of* are the parameters of its path."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Call(
        method="POST",
        path="/",
        parameters=of,
        query=query or {},
        headers=headers or {},
        body=data,
        id=NAME,
        born=BORN,
        seed=0,
    )


def whole_of(answer: Answer, **shape: int) -> Any:
    """Return an answer in one JSON object."""
    return orjson.loads(answer.whole(Shape(**shape)).body)


def stream_of(answer: Answer) -> Stream:
    """Return the stream that was asked for."""
    assert answer.stream is not None
    return answer.stream


def events_of(answer: Answer, **shape: int) -> list[Event]:
    """Return the events of a stream."""
    return list(stream_of(answer).events(Shape(**shape)))
