"""Makes Anthropic requests for the tests of translators, and reads what a target is asked."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.translate.base import Source, Translator

HI: Final[dict[str, Any]] = {"role": "user", "content": "Hi"}
WEATHER: Final[dict[str, Any]] = {
    "name": "weather",
    "description": "Of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def source(*messages: dict[str, Any], model: str = "m", stream: bool = False, drop: bool = False, **values: Any) -> Source:
    """Return a request that says Hi unless it has other messages."""
    asked = {"model": "public", "max_tokens": 100, "messages": list(messages) or [HI], **values}
    return Source(values=asked, model=model, stream=stream, request_id="r1", now=1763712000, drop_params=drop)


def asked(translator: Translator, request: Source) -> dict[str, Any]:
    """Return the body that the target is asked with."""
    read = orjson.loads(translator.request(request).body)
    assert isinstance(read, dict)
    return read


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source or {"type": "base64", "media_type": "image/png", "data": "aW1n"}}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source or {"type": "base64", "media_type": "application/pdf", "data": "cGRm"}}


def call(id: str = "c1", name: str = "weather", **arguments: Any) -> dict[str, Any]:  # noqa: A002
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(content: Any = "Sunny", id: str = "c1", **more: Any) -> dict[str, Any]:  # noqa: A002
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}
