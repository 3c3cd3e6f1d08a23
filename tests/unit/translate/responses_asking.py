"""Makes OpenAI responses requests for the tests of translators, and reads what a target is asked."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.translate.base import Source, Translator

WEATHER: Final[dict[str, Any]] = {
    "type": "function",
    "name": "weather",
    "description": "Of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def source(said: Any = "Hi", *, model: str = "m", stream: bool = False, drop: bool = False, **values: Any) -> Source:
    """Return a request whose input is *said*."""
    asked = {"model": "public", "input": said, **values}
    return Source(values=asked, model=model, stream=stream, request_id="r1", now=1763712000, drop_params=drop)


def asked(translator: Translator, request: Source) -> dict[str, Any]:
    """Return the body that the target is asked with."""
    read = orjson.loads(translator.request(request).body)
    assert isinstance(read, dict)
    return read


def message(role: str, *parts: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "role": role,
        "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts),
    }


def text(said: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": kind, "text": said}


def call(id: str = "c1", arguments: str = '{"city":"Rome"}', name: str = "weather") -> dict[str, Any]:  # noqa: A002
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments, "status": "completed"}


def output(said: Any = "Sunny", id: str = "c1") -> dict[str, Any]:  # noqa: A002
    return {"type": "function_call_output", "call_id": id, "output": said}
