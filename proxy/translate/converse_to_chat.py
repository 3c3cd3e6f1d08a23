"""Turns the answers of Bedrock's Converse into OpenAI chat: streams of binary frames, whole answers, errors.

    messageStart                    the first chunk, with the role
    contentBlockDelta text          content
    … reasoningContent              reasoning_content; the whole block again, signed, where the client has tools
    contentBlockStart, … toolUse    tool_calls, numbered as they come
    messageStop                     finish_reason
    metadata                        usage, if the client asked for it
    the end of the body             [DONE], if `messageStop` was there and no frame was cut
    an exception or error frame     an error event, and nothing behind it

For editors: text and reasoning have no `contentBlockStart`, and the usage comes behind the `messageStop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.dialects.bedrock_usage import CONVERSE, read_counts
from proxy.dialects.eventstream import FrameSplitter, MalformedFrame, decode
from proxy.dialects.openai import read_json
from proxy.errors import UpstreamMalformed
from proxy.translate.base import Back, EventTranslator
from proxy.translate.chat_chunks import Facts, answer, write_call, write_message
from proxy.translate.chat_errors import error_answer
from proxy.translate.chat_stream import MALFORMED, ChatStream
from proxy.translate.json_text import escaped

Told = dict[str, Any]  # a JSON object of the upstream's

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_BROKEN: Final = ("malformed_model_output", "malformed_tool_use")  # no answer that could be taken for a finished one
_STATUSES: Final = {
    "validationException": 400,
    "throttlingException": 429,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 408,
    "modelStreamErrorException": 424,
}
_EVENTS: Final = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


class ConverseToChat(Back):
    """The way back of one request."""

    __slots__ = ("_facts",)

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def events(self) -> EventTranslator:
        return ConverseEvents(self._facts)

    def whole(self, body: bytes) -> bytes:
        told = read_json(body) or {}
        blocks = _inner(_inner(told, "output"), "message").get("content")
        reason = str(told.get("stopReason"))
        if not isinstance(blocks, list) or reason in _BROKEN:
            raise UpstreamMalformed(f"the answer is no message, or stopped as {reason[:40]}")
        message = _message(self._facts, [block for block in blocks if isinstance(block, dict)])
        usage = read_counts(told.get("usage"), CONVERSE)
        return answer(self._facts, message, model=self._facts.model, reason=_REASONS.get(reason, "stop"), usage=usage)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return error_answer(status, body)


class ConverseEvents(EventTranslator):
    """One stream."""

    __slots__ = ("_calls", "_splitter", "_stream")

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._stream = ChatStream(facts)
        self._splitter = FrameSplitter()
        self._calls: dict[int, int | None] = {}  # by their block's index; None: the block is closed

    def feed(self, data: bytes) -> bytes:
        try:
            return b"".join([self._frame(frame) for frame in self._splitter.feed(data)])
        except MalformedFrame:
            return self._stream.fail(502, MALFORMED)

    def end(self, *, clean: bool) -> bytes:
        broken = self.feed(b"") if self._splitter.held else b""  # what is held may be no frame at all
        if broken or self._splitter.held or not clean or not self._stream.finished:
            return broken
        return self._stream.tell_usage(self.usage) + self._stream.end()

    @property
    def unfinished(self) -> bool:
        return not self._stream.over  # half a frame may follow the reason to stop

    def _frame(self, frame: bytes) -> bytes:
        if self._stream.over:
            return b""
        try:
            headers, payload = decode(frame)
        except MalformedFrame:
            return self._stream.fail(502, MALFORMED)
        told = read_json(payload)
        if headers.get(":message-type") in ("exception", "error"):
            return self._error(headers, told or {})
        name = headers.get(":event-type", "")
        if told is None:  # nothing, if it is an event of no known type; but a broken one may have held a token
            return self._stream.fail(502, MALFORMED) if name in _EVENTS else b""
        return self._event(name, told)

    def _event(self, name: str, told: Told) -> bytes:
        match name:
            case "contentBlockDelta":
                return self._block_delta(told.get("contentBlockIndex"), _inner(told, "delta"))
            case "messageStart":
                return self._stream.begin()
            case "contentBlockStart":
                return self._block_start(told.get("contentBlockIndex"), _inner(_inner(told, "start"), "toolUse"))
            case "contentBlockStop":
                return self._block_stop(told.get("contentBlockIndex"))
            case "messageStop":
                return self._message_stop(str(told.get("stopReason")))
            case "metadata":
                self.usage = read_counts(told.get("usage"), CONVERSE) or self.usage
                return self._stream.tell_usage(self.usage)
            case _:
                return b""  # something new

    def _block_delta(self, index: Any, delta: Told) -> bytes:
        text = delta.get("text")
        if isinstance(text, str):
            return self._stream.write(escaped(text))
        if "toolUse" in delta:
            part = _inner(delta, "toolUse").get("input")
            number = self._open_call(index)
            return self._stream.arguments(number, escaped(part)) if number is not None and isinstance(part, str) else b""
        return self._reasoning(_inner(delta, "reasoningContent"))

    def _reasoning(self, delta: Told) -> bytes:
        if "signature" in delta:
            return self._stream.sign(delta["signature"])
        if "redactedContent" in delta:
            return self._stream.seal(delta["redactedContent"])
        return self._stream.think_text(delta.get("text"))

    def _block_start(self, index: Any, call: Told) -> bytes:
        if not call or not isinstance(index, int) or index in self._calls:
            return b""  # what is not called is text or reasoning, which begin with their first delta
        self._calls[index] = self._stream.calls
        return self._stream.call(call.get("toolUseId"), call.get("name"))

    def _block_stop(self, index: Any) -> bytes:
        self._stream.new_block()
        number = self._open_call(index)
        if number is None:
            return b""
        self._calls[index] = None
        return self._stream.close_call(number)

    def _open_call(self, index: Any) -> int | None:
        return self._calls.get(index) if isinstance(index, int) else None

    def _message_stop(self, reason: str) -> bytes:
        if reason in _BROKEN:
            return self._stream.fail(502, MALFORMED)
        return self._stream.finish(_REASONS.get(reason, "stop"))

    def _error(self, headers: Mapping[str, str], told: Told) -> bytes:
        status = _STATUSES.get(headers.get(":exception-type", ""), 500)
        return self._stream.fail(status, told.get("message") or headers.get(":error-message"))


def _message(facts: Facts, blocks: list[Told]) -> dict[str, Any]:
    """Return what the model said, as OpenAI's message."""
    calls = [_inner(block, "toolUse") for block in blocks if "toolUse" in block]
    reasoning = [_inner(block, "reasoningContent") for block in blocks if "reasoningContent" in block]
    return write_message(
        facts,
        words=[block.get("text") for block in blocks],
        thoughts=[_inner(each, "reasoningText").get("text") for each in reasoning],
        signed=[_signed(each) for each in reasoning],
        calls=[write_call(facts, call.get("toolUseId"), call.get("name"), call.get("input")) for call in calls],
    )


def _signed(reasoning: Told) -> Told:
    if "redactedContent" in reasoning:
        return {"type": "redacted_thinking", "data": reasoning["redactedContent"]}
    told = _inner(reasoning, "reasoningText")
    return {"type": "thinking", "thinking": told.get("text"), "signature": told.get("signature")}


def _inner(holder: Told, key: str) -> Told:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}
