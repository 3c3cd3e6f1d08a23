"""Reads the contents of a Gemini request part by part, and refuses what the real API refuses in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.conversation import Conversation, Said, Span
from proxy.simulator.fields import Fields
from proxy.simulator.gemini.common import camel

_ROLES: Final = (None, "user", "model", "function")
_DATA: Final = frozenset(
    {"text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"}
)
_PART_TOKENS: Final = 2  # what a part costs besides its text


def read_conversation(body: Fields, tools: Sequence[Span]) -> Conversation:
    """Return all that was said, after *tools* and the system instruction."""
    contents = fields.tables(body, "contents")
    if not contents:
        raise BadRequest("`contents` is required and must not be empty.", param="contents")
    messages = [_said(camel(content), f"contents[{index}]") for index, content in enumerate(contents)]
    conversation = Conversation(messages, (*tools, *_system(body)))
    if (index := conversation.orphan()) is not None:
        where = f"contents[{index}]"
        raise BadRequest(f"`{where}`: a turn of function responses must come right after one of function calls.", param=where)
    return conversation


def _system(body: Fields) -> list[Span]:
    given = fields.table(body, "systemInstruction")
    return _spans(_parts(camel(given), "systemInstruction")) if given else []


def _said(content: Fields, where: str) -> Said:
    role = content.get("role")
    if role not in _ROLES:
        raise BadRequest(f"`{where}.role` must be user or model.", param=f"{where}.role")
    parts = _parts(content, where)
    calls, results = _names(parts, "functionCall"), _names(parts, "functionResponse")
    return Said(
        by_model=role == "model",
        text="\n".join(map(_text, parts)),
        question="" if role == "model" or results else fields.content_text(parts),
        spans=tuple(_spans(parts)),
        calls=calls,
        results=results,
    )


def _parts(content: Fields, where: str) -> list[Fields]:
    parts = fields.tables(content, "parts")
    if not parts:
        raise BadRequest(f"`{where}.parts` must not be empty.", param=f"{where}.parts")
    read = [camel(part) for part in parts]
    for index, part in enumerate(read):
        if not part.keys() & _DATA:
            name = f"{where}.parts[{index}].data"
            raise BadRequest(f"`{name}` must be one of {', '.join(sorted(_DATA))}.", param=name)
        for name in ("functionCall", "functionResponse"):
            if name in part:
                fields.required_text(fields.table(part, name), "name")
    return read


def _names(parts: Sequence[Fields], kind: str) -> frozenset[str]:
    """Return what calls and responses find each other by; not every client sends their ids."""
    return frozenset(part[kind]["name"] for part in parts if kind in part)


def _text(part: Fields) -> str:
    if (said := part.get("functionResponse") or part.get("functionCall")) is not None:
        return orjson.dumps(said).decode()
    return fields.content_text([part])


def _spans(parts: Sequence[Fields]) -> list[Span]:
    return [Span(text.estimate(_text(part)) + _PART_TOKENS) for part in parts]
