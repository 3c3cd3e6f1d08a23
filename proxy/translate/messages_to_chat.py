"""Turns the answers of Anthropic's messages API into OpenAI chat: streams, whole answers, errors.

    message_start              the first chunk, with the role
    text_delta                 content
    thinking_delta             reasoning_content; the whole block again, signed, in thinking_blocks, where the client has tools
    tool_use, input_json_delta tool_calls, numbered as they come
    message_delta              finish_reason
    message_stop               usage, if the client asked for it, and [DONE]
    error                      an error event, and nothing behind it

For editors: an ordinary delta is never read as JSON. Its text is taken out as it stands, escapes and all, and put between the
two halves of a chunk; what the expression does not match takes the long way, with the same result.
"""

from __future__ import annotations

import re
from typing import Any, Final

from proxy.dialects.openai import read_json
from proxy.dialects.usage import MESSAGES_COUNTS, read_messages_usage
from proxy.errors import UpstreamMalformed
from proxy.sse.events import Splitter, parse
from proxy.translate.base import Back, EventTranslator
from proxy.translate.chat_chunks import Facts, answer, write_call, write_message
from proxy.translate.chat_errors import error_answer
from proxy.translate.chat_stream import MALFORMED, ChatStream
from proxy.translate.json_text import escaped

Told = dict[str, Any]  # a JSON object of the upstream's

EVENT_CAP: Final = 24 * 1024**2  # bytes; a larger event cannot be translated

# Anthropic pads events with spaces before the last brace.
_DELTA: Final = re.compile(
    rb'event: content_block_delta\ndata: \{"type": ?"content_block_delta", ?"index": ?(\d{1,4}), ?'
    rb'"delta": ?\{"type": ?"(text_delta", ?"text|thinking_delta", ?"thinking|input_json_delta", ?"partial_json)": ?'
    rb'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))++)"\} *\}\n\n'
)
_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_EVENTS: Final = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop"}
    | {"message_delta", "message_stop", "error"}
)
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class MessagesToChat(Back):
    """The way back of one request."""

    __slots__ = ("_facts",)

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def events(self) -> EventTranslator:
        return MessagesEvents(self._facts)

    def whole(self, body: bytes) -> bytes:
        told = read_json(body)
        blocks = told.get("content") if told else None
        if told is None or not isinstance(blocks, list):
            raise UpstreamMalformed("the answer is no message")
        model = told.get("model")
        return answer(
            self._facts,
            _message(self._facts, [block for block in blocks if isinstance(block, dict)]),
            model=model if isinstance(model, str) and model else self._facts.model,
            reason=_reason(told.get("stop_reason")),
            usage=read_messages_usage(told.get("usage")),
        )

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return error_answer(status, body)


class MessagesEvents(EventTranslator):
    """One stream."""

    __slots__ = ("_calls", "_splitter", "_stream", "_told")

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._stream = ChatStream(facts)
        self._splitter = Splitter(EVENT_CAP)
        self._calls: dict[int, int | None] = {}  # by their block's index; None: the block is closed
        self._told: dict[str, Any] = {}  # of the usage, the last word on each count

    def feed(self, data: bytes) -> bytes:
        if not self._splitter.held and self._stream.chunks is not None:
            found = _DELTA.fullmatch(data)
            if found is not None:
                return self._spliced(found)
        out = b"".join([self._block(block) for block in self._splitter.feed(data)])
        return out + self._stream.fail(502, MALFORMED) if self._splitter.lost else out

    def end(self, *, clean: bool) -> bytes:
        return b""  # `message_stop` has said it all, or nobody has

    @property
    def unfinished(self) -> bool:
        return not self._stream.over  # a reason to stop would be end enough for chat

    def _spliced(self, found: re.Match[bytes]) -> bytes:
        index, kind, inside = found.groups()
        stream = self._stream
        if kind.startswith(b"text"):
            return stream.write(inside)
        return stream.think(inside) if kind.startswith(b"thinking") else self._piece(int(index), inside)

    def _block(self, block: bytes) -> bytes:
        found = _DELTA.fullmatch(block)
        if found is not None:
            return self._spliced(found)
        event = parse(block)
        if event is None or self._stream.over:
            return b""
        name = event.name.decode("latin-1")
        told = read_json(event.data)
        if told is None:  # nothing, if it is no event of this API; but a broken one may have held a token
            return self._stream.fail(502, MALFORMED) if name in _EVENTS else b""
        return self._event(str(told.get("type") or name), told)

    def _event(self, name: str, told: Told) -> bytes:
        match name:
            case "message_start":
                return self._message_start(_inner(told, "message"))
            case "content_block_start":
                return self._block_start(told.get("index"), _inner(told, "content_block"))
            case "content_block_delta":
                return self._block_delta(told.get("index"), _inner(told, "delta"))
            case "content_block_stop":
                return self._block_stop(told.get("index"))
            case "message_delta":
                return self._message_delta(told)
            case "message_stop":
                return self._message_stop()
            case "error":
                return self._error(_inner(told, "error"))
            case _:
                return b""  # a ping, or something new

    def _message_start(self, message: Told) -> bytes:
        self._count(message)
        return self._stream.begin(message.get("model"))

    def _block_start(self, index: Any, block: Told) -> bytes:
        stream = self._stream
        stream.new_block()
        match block.get("type"):
            case "text":
                return stream.write_text(block.get("text"))
            case "thinking":
                return stream.think_text(block.get("thinking"))
            case "redacted_thinking":
                return stream.seal(block.get("data"))
            case "tool_use" if isinstance(index, int) and index not in self._calls:
                self._calls[index] = stream.calls
                return stream.call(block.get("id"), block.get("name"), block.get("input"))
            case _:
                return b""

    def _block_delta(self, index: Any, delta: Told) -> bytes:
        match delta.get("type"):
            case "text_delta":
                return self._stream.write_text(delta.get("text"))
            case "thinking_delta":
                return self._stream.think_text(delta.get("thinking"))
            case "signature_delta":
                return self._stream.sign(delta.get("signature"))
            case "input_json_delta" if isinstance(part := delta.get("partial_json"), str):
                return self._piece(index, escaped(part))
            case _:
                return b""

    def _piece(self, index: Any, inside: bytes) -> bytes:
        number = self._open_call(index)
        return b"" if number is None else self._stream.arguments(number, inside)

    def _block_stop(self, index: Any) -> bytes:
        number = self._open_call(index)
        if number is None:
            return b""
        self._calls[index] = None
        return self._stream.close_call(number)

    def _open_call(self, index: Any) -> int | None:
        return self._calls.get(index) if isinstance(index, int) else None

    def _message_delta(self, told: Told) -> bytes:
        self._count(told)
        reason = _inner(told, "delta").get("stop_reason")
        return self._stream.finish(_reason(reason)) if reason else b""

    def _message_stop(self) -> bytes:
        stream = self._stream
        reason = "tool_calls" if stream.calls else "stop"  # where none was told
        return stream.finish(reason) + stream.tell_usage(self.usage) + stream.end()

    def _error(self, error: Told) -> bytes:
        return self._stream.fail(_STATUSES.get(str(error.get("type")), 500), error.get("message"))

    def _count(self, holder: Told) -> None:
        """Take over what an event says of the usage: counts are cumulative, and one that is not repeated stays."""
        counts = _inner(holder, "usage")
        self._told.update((key, counts[key]) for key in MESSAGES_COUNTS if counts.get(key) is not None)
        if self._told:
            self.usage = read_messages_usage(self._told)


def _message(facts: Facts, blocks: list[Told]) -> dict[str, Any]:
    """Return what the model said, as OpenAI's message."""
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return write_message(
        facts,
        words=[block.get("text") for block in blocks if block.get("type") == "text"],
        thoughts=[block.get("thinking") for block in blocks],
        signed=[_signed(block) for block in blocks if block.get("type") in ("thinking", "redacted_thinking")],
        calls=[write_call(facts, call.get("id"), call.get("name"), call.get("input")) for call in calls],
    )


def _signed(block: Told) -> Told:
    return {key: block[key] for key in ("type", "thinking", "signature", "data") if key in block}


def _reason(word: Any) -> str:
    return _REASONS.get(str(word), "stop")


def _inner(holder: Told, key: str) -> Told:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}
