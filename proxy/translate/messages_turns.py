"""Writes a conversation and its tools as Anthropic's messages API has them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any, Final

from proxy.errors import BadRequest
from proxy.translate.chat_tools import Toolbox
from proxy.translate.claude import tool_choice
from proxy.translate.conversation import (
    Audio,
    Choice,
    Document,
    Image,
    Part,
    RedactedThinking,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    called_tools,
)
from proxy.translate.fields import cannot
from proxy.translate.names import Names, fitting_id

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")

Block = dict[str, Any]


def write_turn(turn: Turn, names: Names) -> Block:
    """Return one message. Raises Untranslatable or BadRequest, which name a part that cannot be in it."""
    return {"role": turn.role, "content": [_block(part, names) for part in turn.parts]}


def write_system(texts: Iterable[Text]) -> list[Block]:
    """Return the system's texts as blocks."""
    return [_text(text) for text in texts]


def write_tools(toolbox: Toolbox, turns: Iterable[Turn], names: Names) -> Block:
    """Return the members of a request that concern tools; none where there are no tools.

    A conversation with calls in it is refused without tools: then those that were called are told, and that none may be.
    """
    if not toolbox.tools:
        toolbox = Toolbox(called_tools(turns), Choice("none"))
    if not toolbox.tools:
        return {}
    listed = {"tools": [_tool(tool, names) for tool in toolbox.tools]}
    return listed if toolbox.choice is None else {**listed, "tool_choice": tool_choice(toolbox.choice, names)}


def _block(part: Part, names: Names) -> Block:
    match part:
        case Text():
            return _text(part)
        case Image():
            return _cached(_image(part), part.cache)
        case Document():
            return _cached(_document(part), part.cache)
        case ToolUse():
            return {"type": "tool_use", "id": _id(part.id), "name": names.there(part.name), "input": part.input}
        case ToolResult():
            return _result(part, names)
        case Thinking():
            return {"type": "thinking", "thinking": part.thinking, "signature": part.signature}
        case RedactedThinking():
            return {"type": "redacted_thinking", "data": part.data}
        case Audio():
            raise cannot(part.at)


def _text(part: Text) -> Block:
    return _cached({"type": "text", "text": part.text}, part.cache)


def _cached(block: Block, ttl: str | None) -> Block:
    if ttl is None:
        return block
    return {**block, "cache_control": {"type": "ephemeral", "ttl": ttl} if ttl != "5m" else {"type": "ephemeral"}}


def _image(part: Image) -> Block:
    if not part.url:
        if part.media_type not in _IMAGES:
            raise cannot(part.at, "must hold a JPEG, PNG, GIF or WebP image for this model's backend")
        return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
    if not part.url.startswith(("https://", "http://")):
        raise BadRequest(f"The field '{part.at}' must be a web address or a data URL.", param=part.at)
    return {"type": "image", "source": {"type": "url", "url": part.url}}


def _document(part: Document) -> Block:
    if part.media_type == "application/pdf":
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    elif part.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(part)}
    else:
        raise cannot(part.at, "must hold a PDF or text for this model's backend")
    block: Block = {"type": "document", "source": source}
    return {**block, "title": part.title} if part.title else block


def _decoded(part: Document) -> str:
    try:
        return base64.b64decode(part.data, validate=True).decode()
    except ValueError as exc:  # of base64, or of UTF-8
        raise BadRequest(f"The field '{part.at}' must hold text in UTF-8, in base64.", param=part.at) from exc


def _result(part: ToolResult, names: Names) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(part.call)}
    return {**block, "content": [_block(each, names) for each in part.content]} if part.content else block


def _tool(tool: Tool, names: Names) -> Block:
    written: Block = {"name": names.there(tool.name), "input_schema": {"type": "object", **tool.schema}}
    if tool.description:
        written["description"] = tool.description
    if tool.strict:
        written["strict"] = True
    return written


def _id(call: str) -> str:
    return fitting_id(call, _CALL_ID)
