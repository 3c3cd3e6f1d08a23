"""Writes Anthropic's message events and answers, and what stands around a delta's text only once for a whole block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.exchange import Usage
from proxy.translate.base import Cost, no_cost, with_cost
from proxy.translate.json_text import dumped

_AFTER: Final = b'"}}\n\n'
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

Block = dict[str, Any]


class MessageEvents:
    """One message, told as a stream: blocks one after the other, each begun, filled and ended."""

    __slots__ = ("_before", "_cost", "_id", "_number", "open")

    def __init__(self, request_id: str, cost: Cost = no_cost) -> None:
        self._id = f"msg_{request_id}"
        self._cost = cost
        self._number = -1  # of the last block
        self._before = b""  # what stands before a piece of the open block's text
        self.open = False  # whether a block is

    @property
    def blocks(self) -> int:
        """How many blocks have begun."""
        return self._number + 1

    def start(self, model: str, usage: Usage | None = None) -> bytes:
        """Return the beginning of the message. What it will use is not known yet, but the clients want numbers."""
        message = message_object(self._id, model, (), stop_reason=None)
        message["usage"] = {**usage_object(usage), "output_tokens": 1}
        return _event(b"message_start", {"type": "message_start", "message": message})

    def begin(self, block: Block, delta: str = "", key: str = "") -> bytes:
        """Return the beginning of a block, behind the end of the one before. Pieces of it come as *key* of a *delta*."""
        ended = self.close()
        self._number += 1
        self.open = True
        self._before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":"'
            % (self._number, delta.encode(), key.encode())
        )  # fmt: skip
        begun = {"type": "content_block_start", "index": self._number, "content_block": block}
        return ended + _event(b"content_block_start", begun)

    def begin_text(self) -> bytes:
        """Return the beginning of a block of text."""
        return self.begin({"type": "text", "text": ""}, "text_delta", "text")

    def begin_thinking(self) -> bytes:
        """Return the beginning of a block of thinking; who has no signature leaves it empty."""
        return self.begin({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking")

    def begin_call(self, call: str, name: str) -> bytes:
        """Return the beginning of a tool call, whose arguments come in pieces of JSON."""
        return self.begin({"type": "tool_use", "id": call, "name": name, "input": {}}, "input_json_delta", "partial_json")

    def piece(self, text: bytes) -> bytes:
        """Return more of the open block: *text* as inside of a JSON string. The hot path."""
        return self._before + text + _AFTER

    def delta(self, delta: Block) -> bytes:
        """Return any other delta of the open block."""
        return _event(b"content_block_delta", {"type": "content_block_delta", "index": self._number, "delta": delta})

    def close(self) -> bytes:
        """Return the end of the open block; nothing where none is."""
        if not self.open:
            return b""
        self.open = False
        return _event(b"content_block_stop", {"type": "content_block_stop", "index": self._number})

    def finish(self, stop_reason: str, usage: Usage | None, stop_sequence: str | None = None) -> bytes:
        """Return why the message ended, and what it used. Clients look into the first block, so an empty answer has one."""
        ended = (b"" if self.blocks else self.begin_text()) + self.close()
        delta = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
        used = used_of(usage, self._cost)
        return ended + _event(b"message_delta", {"type": "message_delta", "delta": delta, "usage": used})

    def stop(self) -> bytes:
        """Return the last event."""
        return _STOP


def message_object(message_id: str, model: str, content: Sequence[Block], *, stop_reason: str | None) -> dict[str, Any]:
    """Return a message without its usage."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }


def whole_message(
    request_id: str, model: str, content: Sequence[Block], stop: Mapping[str, Any], used: Mapping[str, Any]
) -> bytes:
    """Return a whole answer; *stop* is its reason, and the sequence if it was one, *used* its usage object."""
    content = content or [{"type": "text", "text": ""}]
    message = message_object(f"msg_{request_id}", model, content, stop_reason=None)
    return dumped({**message, **stop, "usage": used})


def used_of(usage: Usage | None, cost: Cost = no_cost) -> dict[str, Any]:
    """Return the usage object of a message that has ended, with its cost."""
    return usage_object(usage) if usage is None else with_cost(usage_object(usage), usage, cost)


def usage_object(usage: Usage | None) -> dict[str, Any]:
    """Return Anthropic's `usage`: its input leaves out what was read from a cache or written to it.

    The SDKs fail without the two counts, so one that the upstream did not say is 0; the proxy's own accounts know better.
    """
    usage = usage or Usage()
    cached, written = usage.cached or 0, usage.cache_write or 0
    told: dict[str, Any] = {
        "input_tokens": max((usage.tokens_in or 0) - cached - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.tokens_out or 0,
    }
    if usage.reasoning is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return told


def _event(name: bytes, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, dumped(data))
