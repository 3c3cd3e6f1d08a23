"""Reads what was said in a Messages request, block by block, and refuses what the real API refuses in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.conversation import Conversation, Said, Span
from proxy.simulator.fields import Fields

_ROLES: Final = ("user", "assistant", "system")  # newer models take a system message in the middle
_SIDES: Final = {"tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant", "tool_result": "user"}
_IDS: Final = {"tool_use": "id", "tool_result": "tool_use_id"}
_BLOCK_TOKENS: Final = 4  # what a block costs besides its text
_MOST_MARKS: Final = 4  # breakpoints of the cache
_TTLS: Final = ("5m", "1h")


def read_conversation(body: Fields, tools: Sequence[Span]) -> Conversation:
    """Return all that was said, after *tools* and the system prompt."""
    given = fields.tables(body, "messages")
    if not given:
        raise BadRequest("`messages` is required and must not be empty.", param="messages")
    messages = [_said(message, f"messages.{index}") for index, message in enumerate(given)]
    before = (*tools, *_spans(_blocks(body.get("system"), "system", empty=True), "system"))
    conversation = Conversation(_marked(messages, _ttl(body, "")), before)
    _check_marks(conversation)
    _check_calls(conversation)
    return conversation


def span_of(block: Fields, said: str, where: str) -> Span:
    """Return what *block* with the text *said* costs, and whether the cache ends with it."""
    return Span(text.estimate(said) + _BLOCK_TOKENS, _ttl(block, where))


def _said(message: Fields, where: str) -> Said:
    role = message.get("role")
    if role not in _ROLES:
        raise BadRequest(f"`{where}.role` must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
    blocks = _blocks(message.get("content"), f"{where}.content")
    for index, block in enumerate(blocks):
        _check_block(block, str(role), f"{where}.content.{index}")
    return Said(
        by_model=role == "assistant",
        text="\n".join(map(_text, blocks)),
        question=fields.content_text([block for block in blocks if block["type"] == "text"]) if role == "user" else "",
        spans=tuple(_spans(blocks, f"{where}.content")),
        calls=frozenset(block["id"] for block in blocks if block["type"] == "tool_use"),
        results=frozenset(block["tool_use_id"] for block in blocks if block["type"] == "tool_result"),
    )


def _blocks(content: object, where: str, *, empty: bool = False) -> list[Fields]:
    """Return the blocks of a content, which may be one text."""
    if content is None and empty:
        return []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not (blocks or empty):
        raise BadRequest(f"`{where}` must be a text or an array of blocks, and not empty.", param=where)
    for index, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise BadRequest(f"`{where}.{index}` must be an object with a `type`.", param=f"{where}.{index}")
        if block["type"] == "text" and not _is_filled(block.get("text")):
            raise BadRequest(f"`{where}.{index}.text` must not be empty.", param=f"{where}.{index}.text")
    return blocks


def _check_block(block: Fields, role: str, where: str) -> None:
    kind = block["type"]
    if (side := _SIDES.get(kind, role)) != role:
        raise BadRequest(f"`{where}`: such a block can only be in a message of the {side}.", param=where)
    if (name := _IDS.get(kind)) is not None and not _is_filled(block.get(name)):
        raise BadRequest(f"`{where}.{name}` is required and must be a string.", param=f"{where}.{name}")


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _text(block: Fields) -> str:
    if block["type"] == "tool_use":
        return orjson.dumps(block.get("input")).decode()
    if block["type"] == "tool_result":
        return fields.content_text(block.get("content"))
    return fields.content_text([block]) or fields.content_text(block.get("thinking"))


def _spans(blocks: Sequence[Fields], where: str) -> list[Span]:
    return [span_of(block, _text(block), f"{where}.{index}") for index, block in enumerate(blocks)]


def _ttl(block: Fields, where: str) -> str | None:
    """Return how long the cache keeps what ends with *block*; None: it does not end here."""
    control = block.get("cache_control")
    if control is None:
        return None
    name = f"{where}.cache_control" if where else "cache_control"
    if not isinstance(control, dict) or control.get("type") != "ephemeral" or control.get("ttl", "5m") not in _TTLS:
        raise BadRequest(f"`{name}` must be of type ephemeral, with a ttl of {' or '.join(_TTLS)}.", param=name)
    return str(control.get("ttl", "5m"))


def _marked(messages: list[Said], ttl: str | None) -> list[Said]:
    """Put a breakpoint that the request has as a whole behind its last block."""
    if ttl is None:
        return messages
    *before, last = messages
    *spans, end = last.spans
    return [*before, replace(last, spans=(*spans, Span(end.tokens, ttl)))]


def _check_marks(conversation: Conversation) -> None:
    spans = [*conversation.before, *(span for said in conversation.messages for span in said.spans)]
    if sum(span.ttl is not None for span in spans) > _MOST_MARKS:
        raise BadRequest(f"`cache_control` may be on {_MOST_MARKS} blocks at most.", param="cache_control")


def _check_calls(conversation: Conversation) -> None:
    if (index := conversation.orphan()) is not None:
        where = f"messages.{index}"
        raise BadRequest(
            f"`{where}`: each `tool_result` block must have its `tool_use` block in the message before.", param=where
        )
    if (index := conversation.unanswered()) is not None:
        where = f"messages.{index}"
        raise BadRequest(f"`{where}`: each `tool_use` block must have its `tool_result` block in the next message.", param=where)
