"""Holds what every way back into a chat stream must remember: begun or not, which tool calls, finished, over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate.chat_chunks import DONE, Chunks, Facts, write_call
from proxy.translate.chat_errors import error_event
from proxy.translate.json_text import escaped

REASONING_CAP: Final = 256 * 1024  # bytes of one block of reasoning that are kept until its signature comes
MALFORMED: Final = "The model's backend sent an answer that could not be understood."


class ChatStream:
    """One answer as chat chunks. Nothing comes out of it twice, and nothing behind an error or the end.

    `chunks` is there while the answer is: None before it has begun, and when it is over.
    """

    __slots__ = ("_blocks", "_calls", "_facts", "_reasoning", "_told_usage", "chunks", "finished", "over")

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._calls: list[bytes | None] = []  # the arguments to tell if no piece of them comes; None: one has come
        self._blocks = 0  # of reasoning that were told to be sent back
        self._reasoning = bytearray()  # of the block that is being told, with its JSON escapes
        self.chunks: Chunks | None = None
        self._told_usage = False
        self.finished = False
        self.over = False

    @property
    def calls(self) -> int:
        """How many tool calls have begun; the last one's number is one less."""
        return len(self._calls)

    def begin(self, model: Any = None) -> bytes:
        """Return the first chunk, once; *model* is what the upstream says its name is."""
        if self.chunks is not None or self.over:
            return b""
        self.chunks = Chunks(self._facts, model if isinstance(model, str) and model else self._facts.model)
        return self.chunks.delta({"role": "assistant", "content": "", "refusal": None})

    def delta(self, members: Mapping[str, Any]) -> bytes:
        """Return a delta of any other kind."""
        first = self.begin()
        return first if self.chunks is None else first + self.chunks.delta(members)

    def write(self, inside: bytes) -> bytes:
        """Return a piece of the answer; *inside* is what stands in a JSON string."""
        chunks = self.chunks
        if chunks is None or not inside:
            return self.begin() + self.write(inside) if inside and not self.over else b""
        return chunks.text_before + inside + chunks.text_after

    def write_text(self, text: Any) -> bytes:
        """Return a piece of the answer; nothing for what is no text."""
        return self.write(escaped(text)) if isinstance(text, str) else b""

    def think(self, inside: bytes) -> bytes:
        """Return a piece of the reasoning; *inside* is what stands in a JSON string."""
        chunks = self.chunks
        if chunks is None or not inside:
            return self.begin() + self.think(inside) if inside and not self.over else b""
        if self._facts.loops and len(self._reasoning) <= REASONING_CAP:
            self._reasoning += inside
        return chunks.reasoning_before + inside + chunks.text_after

    def think_text(self, text: Any) -> bytes:
        """Return a piece of the reasoning; nothing for what is no text."""
        return self.think(escaped(text)) if isinstance(text, str) else b""

    def new_block(self) -> None:
        """Forget the reasoning of a block that nobody has signed."""
        self._reasoning.clear()

    def sign(self, signature: Any) -> bytes:
        """Return the block of reasoning that ends here once more, signed, so that it can be sent back."""
        block = bytes(self._reasoning)
        self.new_block()
        if not isinstance(signature, str) or len(block) > REASONING_CAP:
            return b""
        return self._block({"type": "thinking", "thinking": _quoted(block), "signature": _quoted(escaped(signature))})

    def seal(self, data: Any) -> bytes:
        """Return a block of reasoning that only its own API can read, so that it can be sent back."""
        return self._block({"type": "redacted_thinking", "data": data}) if isinstance(data, str) else b""

    def call(self, call: Any, name: Any, arguments: Any = None, **extra: Any) -> bytes:
        """Return the beginning of one more tool call; *arguments* are told if no piece of them comes."""
        first = self.begin()
        if self.chunks is None:
            return first
        try:
            told = write_call(self._facts, call, name, arguments, **extra)
        except UpstreamMalformed:
            return first + self.fail(502, MALFORMED)
        self._calls.append(escaped(told["function"]["arguments"]))
        told["function"]["arguments"] = ""
        return first + self.chunks.delta({"tool_calls": [{"index": len(self._calls) - 1, **told}]})

    def arguments(self, number: int, inside: bytes) -> bytes:
        """Return a piece of the arguments of the call *number*; *inside* is what stands in a JSON string."""
        if self.chunks is None or not inside:
            return b""
        self._calls[number] = None
        return self.chunks.arguments_before(number) + inside + self.chunks.arguments_after

    def close_call(self, number: int) -> bytes:
        """Return the arguments of a call if no piece of them has come: clients read them as JSON, and nothing is not JSON."""
        arguments = self._calls[number]
        return b"" if arguments is None else self.arguments(number, arguments)

    def finish(self, reason: str) -> bytes:
        """Return why the answer ended, once, behind what calls still lack."""
        first = self.begin()
        if self.finished or self.chunks is None:
            return first
        self.finished = True
        return first + b"".join(self.close_call(number) for number in range(self.calls)) + self.chunks.finish(reason)

    def tell_usage(self, usage: Usage | None) -> bytes:
        """Return what a finished answer used, once, to a client that asked for it."""
        if usage is None or self._told_usage or not self.finished or self.chunks is None:
            return b""
        self._told_usage = self._facts.include_usage
        return self.chunks.usage(usage) if self._facts.include_usage else b""

    def end(self) -> bytes:
        """Return the end of a complete answer."""
        if self.chunks is None:
            return b""
        self._close()
        return DONE

    def fail(self, status: int, message: Any) -> bytes:
        """Return the error that another API told with *status*; nothing comes behind it."""
        if self.over:
            return b""
        self._close()
        return error_event(status, message)

    def _block(self, block: Mapping[str, Any]) -> bytes:
        """Return a block of reasoning in the form in which it is sent back; nothing where it never will be."""
        if not self._facts.loops:
            return self.begin()
        number, self._blocks = self._blocks, self._blocks + 1
        return self.delta({"thinking_blocks": [{"index": number, **block}]})

    def _close(self) -> None:
        self.over = True
        self.chunks = None


def _quoted(inside: bytes) -> orjson.Fragment:
    """Return a JSON string that goes out as it came, whatever its escapes mean."""
    return orjson.Fragment(b'"%b"' % inside)
