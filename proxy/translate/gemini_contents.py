"""Writes a conversation and its tools as Gemini has them: contents made of parts, results told by the name of their tool."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import (
    Audio,
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
)
from proxy.translate.fields import cannot
from proxy.translate.names import Names

TOOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MODES: Final = {"auto": "AUTO", "none": "NONE", "any": "ANY", "tool": "ANY"}

Told = dict[str, Any]


def write_contents(turns: Sequence[Turn], names: Names) -> list[Told]:
    """Return the contents. Raises Untranslatable, which names a part that cannot be in them."""
    contents: list[Told] = []
    calls: list[str] = []
    for turn in turns:
        results = _in_order(turn.parts, calls)
        others = [part for part in turn.parts if not isinstance(part, ToolResult)]
        role = "model" if turn.role == "assistant" else "user"
        # results stand alone: their number must be that of the calls
        contents += [_content(role, parts, names) for parts in (results, others) if _writable(parts)]
        calls = [part.id for part in turn.parts if isinstance(part, ToolUse)]
    return contents


def write_system(texts: Iterable[Text]) -> Told:
    """Return the system's texts; nothing where there are none."""
    parts = [{"text": text.text} for text in texts]
    return {"parts": parts} if parts else {}


def write_tools(toolbox: Toolbox, names: Names) -> Told:
    """Return the members of a request that concern tools; none where there are no tools."""
    if not toolbox.tools:
        return {}
    listed = {"tools": [{"functionDeclarations": [_declaration(tool, names) for tool in toolbox.tools]}]}
    config = _calling(toolbox, names)
    return {**listed, "toolConfig": {"functionCallingConfig": config}} if config else listed


def _calling(toolbox: Toolbox, names: Names) -> Told:
    choice = toolbox.choice
    if any(tool.strict for tool in toolbox.tools) and (choice is None or choice.kind == "auto"):
        return {"mode": "VALIDATED"}  # as the model likes, but by the schema
    if choice is None:
        return {}
    config: Told = {"mode": _MODES[choice.kind]}
    return {**config, "allowedFunctionNames": [names.there(choice.name)]} if choice.name else config


def _declaration(tool: Tool, names: Names) -> Told:
    told: Told = {"name": names.there(tool.name), "parametersJsonSchema": {"type": "object", **tool.schema}}
    return {**told, "description": tool.description} if tool.description else told


def _in_order(parts: Iterable[Part], calls: Sequence[str]) -> list[Part]:
    """Return the results in the order of their calls: two of one tool are told apart by nothing else."""
    results = [part for part in parts if isinstance(part, ToolResult)]
    return [*sorted(results, key=lambda result: calls.index(result.call))]


def _writable(parts: Iterable[Part]) -> bool:
    return any(not isinstance(part, Thinking | RedactedThinking) for part in parts)


def _content(role: str, parts: Iterable[Part], names: Names) -> Told:
    return {"role": role, "parts": [written for part in parts for written in _parts(part, names)]}


def _parts(part: Part, names: Names) -> Iterator[Told]:
    match part:
        case Text():
            yield {"text": part.text}
        case Image() if part.url:
            yield {"fileData": _file(part)}
        case Image() | Document():
            yield {"inlineData": {"mimeType": part.media_type, "data": part.data}}
        case Audio():
            yield {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
        case ToolUse():
            call = {"functionCall": {"name": names.there(part.name), "args": part.input}}
            yield {**call, "thoughtSignature": part.signature} if part.signature else call
        case ToolResult():
            output = "\n".join(_said(each, part.at) for each in part.content)
            yield {"functionResponse": {"name": names.there(part.name), "response": {"output": output}}}
        case Thinking() | RedactedThinking():
            pass  # another model's: nobody but that one's API can read it


def _said(piece: Text | Image | Document, at: str) -> str:
    """Return a piece of what a tool has answered, which can only be text here."""
    if not isinstance(piece, Text):
        raise cannot(at, "must hold text only, for this model's backend")
    return piece.text


def _file(part: Image) -> Told:
    if not part.url.startswith("gs://"):
        raise cannot(part.at, "must hold the image itself, as a data URL, for this model's backend")
    media_type, _ = mimetypes.guess_type(part.url)
    return {"fileUri": part.url, "mimeType": media_type} if media_type else {"fileUri": part.url}
