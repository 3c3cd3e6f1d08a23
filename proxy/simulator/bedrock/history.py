"""Reads what was said in a Converse request, block by block, and refuses what the real API refuses in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.conversation import Conversation, Said, Span
from proxy.simulator.fields import Fields

_ROLES: Final = ("user", "assistant", "system")
_SIDES: Final = {"toolUse": "assistant", "reasoningContent": "assistant", "toolResult": "user"}
_SYSTEM: Final = ("text", "cachePoint", "guardContent")
_TTLS: Final = ("5m", "1h")
_BLOCK_TOKENS: Final = 4  # what a block costs besides its text


def read_conversation(body: Fields, tools: Sequence[Span]) -> Conversation:
    """Return all that was said, after *tools* and the system prompt."""
    given = fields.tables(body, "messages")
    if not given:
        raise BadRequest("`messages` is required and must not be empty.", param="messages")
    messages = [_said(message, f"messages.{index}") for index, message in enumerate(given)]
    if messages[0].by_model:
        raise BadRequest("A conversation must start with a user message.", param="messages.0.role")
    conversation = Conversation(messages, (*tools, *_system(body)))
    _check_calls(conversation)
    if not fields.table(body, "toolConfig") and any(said.calls for said in messages):
        raise BadRequest("`toolConfig` must be there where messages hold `toolUse` and `toolResult`.", param="toolConfig")
    return conversation


def cache_point(block: Fields, where: str) -> Span:
    """Return the mark that a `cachePoint` sets."""
    point = block["cachePoint"]
    if not isinstance(point, dict) or point.get("type") != "default" or point.get("ttl", "5m") not in _TTLS:
        raise BadRequest(f"`{where}.cachePoint` must be of type default, with a ttl of {' or '.join(_TTLS)}.", param=where)
    return Span(0, str(point.get("ttl", "5m")))


def kind_of(block: Fields, where: str) -> str:
    """Return the one key of a union."""
    if len(block) != 1:
        raise BadRequest(f"`{where}` must have exactly one member.", param=where)
    return next(iter(block))


def _system(body: Fields) -> list[Span]:
    blocks = fields.tables(body, "system")
    for index, block in enumerate(blocks):
        if kind_of(block, f"system.{index}") not in _SYSTEM:
            raise BadRequest(f"`system.{index}` must be one of {', '.join(_SYSTEM)}.", param=f"system.{index}")
    return [_span(block, f"system.{index}") for index, block in enumerate(blocks)]


def _said(message: Fields, where: str) -> Said:
    role, blocks = message.get("role"), fields.tables(message, "content")
    if role not in _ROLES:
        raise BadRequest(f"`{where}.role` must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
    if not blocks:
        raise BadRequest(f"`{where}.content` must not be empty.", param=f"{where}.content")
    for index, block in enumerate(blocks):
        _check_block(block, str(role), f"{where}.content.{index}")
    return Said(
        by_model=role == "assistant",
        text="\n".join(map(_text, blocks)),
        question=fields.content_text(blocks) if role == "user" else "",
        spans=tuple(_span(block, f"{where}.content.{index}") for index, block in enumerate(blocks)),
        calls=_ids(blocks, "toolUse"),
        results=_ids(blocks, "toolResult"),
    )


def _check_block(block: Fields, role: str, where: str) -> None:
    kind = kind_of(block, where)
    if _SIDES.get(kind, role) != role:
        raise BadRequest(f"`{where}.{kind}` can only be in a message of the {_SIDES[kind]}.", param=where)
    if kind == "text" and (not isinstance(block["text"], str) or not block["text"].strip()):
        raise BadRequest(f"`{where}.text` must not be blank.", param=f"{where}.text")
    if kind in ("toolUse", "toolResult"):
        fields.required_text(fields.table(block, kind), "toolUseId")


def _ids(blocks: Sequence[Fields], kind: str) -> frozenset[str]:
    return frozenset(block[kind]["toolUseId"] for block in blocks if kind in block)


def _text(block: Fields) -> str:
    kind, value = next(iter(block.items()))
    if kind == "text":
        return str(value)
    if kind == "toolUse":
        return orjson.dumps(value.get("input")).decode()
    if kind == "toolResult":
        return "\n".join(map(_result_text, fields.tables(value, "content")))
    return fields.content_text([_reasoning(value)]) if kind == "reasoningContent" else ""


def _result_text(part: Fields) -> str:
    return orjson.dumps(part["json"]).decode() if "json" in part else fields.content_text([part])


def _reasoning(value: Any) -> object:
    return value.get("reasoningText") if isinstance(value, dict) else None


def _span(block: Fields, where: str) -> Span:
    if kind_of(block, where) == "cachePoint":
        return cache_point(block, where)
    return Span(text.estimate(_text(block)) + _BLOCK_TOKENS)


def _check_calls(conversation: Conversation) -> None:
    if (index := conversation.orphan()) is not None:
        where = f"messages.{index}"
        raise BadRequest(f"`{where}`: each `toolResult` must have its `toolUse` in the message before.", param=where)
    if (index := conversation.unanswered()) is not None:
        where = f"messages.{index}"
        raise BadRequest(f"`{where}`: each `toolUse` must have its `toolResult` in the next message.", param=where)
