"""Writes a conversation as Bedrock's Converse has it: a union of blocks with one key each, binary data in base64."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from proxy.translate.chat_messages import PLACEHOLDER
from proxy.translate.conversation import (
    Audio,
    Document,
    Image,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)
from proxy.translate.fields import cannot
from proxy.translate.names import Names, fitting_id

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")  # Bedrock takes dots and colons too, the Claudes behind it do not
_IMAGES: Final = {"image/jpeg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_TITLES: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_TITLE: Final = 100  # letters; 200 are allowed

Block = dict[str, Any]


def write_turn(turn: Turn, names: Names) -> Block:
    """Return one message. Raises Untranslatable, which names a part that cannot be in it."""
    parts = turn.parts
    if any(isinstance(part, Document) for part in parts) and not any(isinstance(part, Text) for part in parts):
        parts = (*parts, PLACEHOLDER)  # a document may not stand without words
    return {"role": turn.role, "content": [block for part in parts for block in _blocks(part, names)]}


def write_system(texts: Iterable[Text]) -> list[Block]:
    """Return the system's texts as blocks."""
    return [block for text in texts for block in cached({"text": text.text}, text.cache)]


def _blocks(part: Part, names: Names) -> list[Block]:
    match part:
        case Text():
            return cached({"text": part.text}, part.cache)
        case Image():
            return cached(_image(part), part.cache)
        case Document():
            return cached(_document(part), part.cache)
        case Audio():
            return [{"audio": {"format": part.format, "source": {"bytes": part.data}}}]
        case ToolUse():
            call = {"toolUseId": _id(part.id), "name": names.there(part.name), "input": part.input}
            return cached({"toolUse": call}, part.cache)
        case ToolResult():
            return cached({"toolResult": _result(part, names)}, part.cache)
        case Thinking():
            return [{"reasoningContent": {"reasoningText": {"text": part.thinking, "signature": part.signature}}}]
        case RedactedThinking():
            return [{"reasoningContent": {"redactedContent": part.data}}]


def cached(block: Block, ttl: str | None) -> list[Block]:
    """Return a block, and behind it the point up to which everything is cached."""
    if ttl is None:
        return [block]
    return [block, {"cachePoint": {"type": "default", "ttl": ttl} if ttl != "5m" else {"type": "default"}}]


def _result(part: ToolResult, names: Names) -> Block:
    # of each piece its block only: what is cached is cached up to the end of the whole result
    content = [_blocks(each, names)[0] for each in part.content]
    result: Block = {"toolUseId": _id(part.call), "content": content}
    return {**result, "status": "error"} if part.failed else result


def _image(part: Image) -> Block:
    if part.url:
        raise cannot(part.at, "must hold the image itself, as a data URL, for this model's backend")
    kind = _IMAGES.get(part.media_type)
    if kind is None:
        raise cannot(part.at, "must hold a JPEG, PNG, GIF or WebP image for this model's backend")
    return {"image": {"format": kind, "source": {"bytes": part.data}}}


def _document(part: Document) -> Block:
    kind = _DOCUMENTS.get(part.media_type)
    if kind is None:
        raise cannot(part.at, "must hold a PDF, an Office document or text for this model's backend")
    return {"document": {"format": kind, "name": _title(part.title), "source": {"bytes": part.data}}}


def _title(name: str) -> str:
    """Return a file's name as far as Bedrock takes it: without its ending, and without anything but plain letters."""
    return _NOT_IN_TITLES.sub(" ", name.rpartition(".")[0] or name).strip()[:_TITLE].strip() or "document"


def _id(call: str) -> str:
    return fitting_id(call, _CALL_ID)
