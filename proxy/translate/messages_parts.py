"""Reads the content blocks of an Anthropic messages request: each kind that another API can carry, the others by refusal."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.translate.conversation import Document, Image, Part, RedactedThinking, Text, Thinking, ToolResult, ToolUse
from proxy.translate.fields import Fields, cannot, refuse

_TTLS: Final = ("5m", "1h")


def read_texts(holder: Fields, key: str) -> list[Text]:
    """Read content that may be text only; empty texts, which no API takes, are left out."""
    if isinstance(holder.values.get(key), str):
        return _not_empty(Text(holder.text(key)))
    texts: list[Text] = []
    for block in holder.tables(key):
        if block.name("type") != "text":
            raise block.wrong("type", "text")
        texts += _not_empty(Text(block.text("text"), cache_of(block)))
    return texts


def read_parts(holder: Fields, key: str, *, drop: bool) -> list[Part]:
    """Read a message's content. Raises BadRequest, and Untranslatable for a kind of block that is Anthropic's own."""
    if isinstance(holder.values.get(key), str):
        return list(_not_empty(Text(holder.text(key))))
    if holder.values.get(key) is None:
        raise holder.wrong(key, "a string or an array of blocks")
    parts: list[Part] = []
    for block in holder.tables(key):
        read = _READERS.get(block.name("type"))
        if read is None:
            refuse(block.where("type"), drop=drop)  # of a tool that runs on Anthropic's servers, or newer than this reader
        else:
            parts += read(block, drop)
    return parts


def cache_of(block: Fields) -> str | None:
    """Return how long a cache may keep everything up to a block or tool; None: nothing is said about it."""
    cache = block.table("cache_control")
    return None if cache is None else cache.word("ttl", _TTLS) or "5m"


def _not_empty(text: Text) -> list[Text]:
    return [text] if text.text else []


def _text(block: Fields, drop: bool) -> Iterable[Part]:
    del drop
    return _not_empty(Text(block.text("text"), cache_of(block)))


def _image(block: Fields, drop: bool) -> Iterable[Part]:
    del drop
    source = block.inner("source")
    kind = source.name("type")
    if kind == "base64":
        media_type, data = source.name("media_type"), source.name("data")
        return (Image(at=source.where("data"), media_type=media_type, data=data, cache=cache_of(block)),)
    if kind == "url":
        return (Image(at=source.where("url"), url=source.name("url"), cache=cache_of(block)),)
    raise cannot(source.where("type"))  # a file that only Anthropic holds: without it the question would be another


def _document(block: Fields, drop: bool) -> Iterable[Part]:
    citations = block.table("citations")
    if citations is not None and citations.flag("enabled"):
        refuse(citations.where("enabled"), drop=drop)
    source = block.inner("source")
    title, context = block.maybe_text("title") or "", block.maybe_text("context")
    told = _not_empty(Text(context or ""))
    kind, at, cache = source.name("type"), source.where("data"), cache_of(block)
    if kind == "base64":
        media_type = source.name("media_type")
        return (*told, Document(at=at, media_type=media_type, data=source.name("data"), title=title, cache=cache))
    if kind == "text":
        data = base64.b64encode(source.text("data").encode("utf-8", "replace")).decode()
        return (*told, Document(at=at, media_type="text/plain", data=data, title=title, cache=cache))
    if kind == "content":
        return (*told, *read_parts(source, "content", drop=drop))
    raise cannot(source.where("type"))  # a file that only Anthropic holds, or that nobody but it fetches


def _tool_use(block: Fields, drop: bool) -> Iterable[Part]:
    del drop
    called = block.inner("input").values
    return (ToolUse(id=block.name("id"), name=block.name("name"), input=called, cache=cache_of(block)),)


def _tool_result(block: Fields, drop: bool) -> Iterable[Part]:
    parts = [] if block.values.get("content") is None else read_parts(block, "content", drop=drop)
    content = tuple(part for part in parts if isinstance(part, Text | Image | Document))
    if len(content) != len(parts):
        raise block.wrong("content", "a string or an array of text, image and document blocks")
    call, at, failed = block.name("tool_use_id"), block.where("tool_use_id"), bool(block.flag("is_error"))
    # the tool's name is known where the calls are
    return (ToolResult(call=call, name="", content=content, at=at, failed=failed, cache=cache_of(block)),)


def _thinking(block: Fields, drop: bool) -> Iterable[Part]:
    del drop
    return (Thinking(block.text("thinking"), block.maybe_text("signature") or ""),)


def _redacted(block: Fields, drop: bool) -> Iterable[Part]:
    del drop
    return (RedactedThinking(block.text("data")),)


_READERS: Final[Mapping[str, Callable[[Fields, bool], Iterable[Part]]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
