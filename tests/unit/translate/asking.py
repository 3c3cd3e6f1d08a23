"""Makes requests of clients for translators, and feeds them what upstreams send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.translate.base import Source, Translator
from proxy.translate.fields import Fields

USER: Final[dict[str, Any]] = {"role": "user", "content": "Hi"}
WEATHER: Final[dict[str, Any]] = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {"city": {}}}},
}


def source(*, model: str = "m", stream: bool = False, drop: bool = False, **values: Any) -> Source:
    """Return a chat request; it says Hi unless it has other messages."""
    asked = {"model": "public", "messages": [USER], **values}
    return Source(values=asked, model=model, stream=stream, request_id="r1", now=1763712000, drop_params=drop)


def fields(**values: Any) -> Fields:
    return Fields(values)


def body(translator: Translator, asked: Source) -> dict[str, Any]:
    """Return the body that a target is asked with."""
    read = orjson.loads(translator.request(asked).body)
    assert isinstance(read, dict)
    return read


def call(name: str = "weather", arguments: str = '{"city":"Rome"}', *, id: str = "call_1", **extra: Any) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **extra}


def called(*calls: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **members}


def result(content: Any = "Sunny", *, id: str = "call_1") -> dict[str, Any]:  # noqa: A002
    return {"role": "tool", "tool_call_id": id, "content": content}


def chunks(out: bytes) -> list[Any]:
    """Return the data of each event of a chat stream; `[DONE]` as it is."""
    blocks = out.split(b"\n\n")
    assert blocks.pop() == b""  # whole events only
    datas = [block.removeprefix(b"data: ") for block in blocks]
    return [data if data == b"[DONE]" else orjson.loads(data) for data in datas]


def deltas(out: bytes) -> list[Mapping[str, Any]]:
    """Return the deltas of a chat stream's only choice, without the empty ones."""
    choices = [chunk["choices"][0] for chunk in chunks(out) if isinstance(chunk, dict) and chunk.get("choices")]
    return [choice["delta"] for choice in choices if choice["delta"]]


def reasons(out: bytes) -> list[str]:
    """Return each finish reason that was told."""
    choices = [chunk["choices"][0] for chunk in chunks(out) if isinstance(chunk, dict) and chunk.get("choices")]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def error(out: bytes) -> dict[str, Any]:
    """Return the error with which a chat stream ends."""
    last = chunks(out)[-1]
    assert list(last) == ["error"]
    read = last["error"]
    assert isinstance(read, dict)
    return read
