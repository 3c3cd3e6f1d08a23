"""Tells what Bedrock's Converse answers as Anthropic's messages API would: streams of binary frames, whole answers, errors.

messageStart                          message_start
contentBlockDelta, text or reasoning  the block's beginning with the first of them, then text_delta or thinking_delta
… signature, redactedContent          signature_delta, a block of its own
contentBlockStart, … toolUse          a tool_use block, and input_json_delta
messageStop                           kept, for the usage comes behind it
metadata                              message_delta and message_stop
an exception or error frame           an error event, and nothing behind it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.dialects.bedrock_usage import CONVERSE, read_counts
from proxy.dialects.eventstream import FrameSplitter, MalformedFrame, decode
from proxy.dialects.openai import read_json
from proxy.errors import UpstreamMalformed
from proxy.translate.base import Back, Cost, EventTranslator, no_cost
from proxy.translate.json_text import escaped
from proxy.translate.messages_errors import error_body, error_event, kind_of, status_of
from proxy.translate.messages_events import Block, MessageEvents, used_of, whole_message
from proxy.translate.names import Names

Told = dict[str, Any]  # a JSON object of the upstream's

_STOP_REASONS: Final = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
_BROKEN: Final = ("malformed_model_output", "malformed_tool_use")  # no answer that could be taken for a finished one
_KINDS: Final = {
    "validationException": "invalid_request_error",
    "throttlingException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
}
_UNREADABLE: Final = "The model's backend sent an answer that could not be understood."
_EVENTS: Final = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


class ConverseAsMessages(Back):
    """The way back of one request; *names* are its tools', which may have had to be changed."""

    __slots__ = ("_cost", "_model", "_names", "_request_id")

    def __init__(self, request_id: str, model: str, names: Names, cost: Cost = no_cost) -> None:
        self._cost = cost
        self._request_id = request_id
        self._model = model
        self._names = names

    def events(self) -> EventTranslator:
        return MessagesFromConverse(self._request_id, self._model, self._names, self._cost)

    def whole(self, body: bytes) -> bytes:
        told = read_json(body) or {}
        blocks = _inner(_inner(told, "output"), "message").get("content")
        reason = str(told.get("stopReason"))
        if not isinstance(blocks, list) or reason in _BROKEN:
            raise UpstreamMalformed(f"the answer is no message, or stopped as {reason[:40]}")
        content = [self._block(block) for block in blocks if isinstance(block, dict)]
        used = used_of(read_counts(told.get("usage"), CONVERSE), self._cost)
        return whole_message(self._request_id, self._model, [block for block in content if block], _stop(told), used)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        told = read_json(body) or {}
        message = _text(told, "message") or _text(told, "Message")
        return status_of(status), error_body(kind_of(status), message, self._request_id)

    def _block(self, block: Told) -> Block:
        if "text" in block:
            return {"type": "text", "text": _text(block, "text")}
        if "toolUse" in block:
            call = _inner(block, "toolUse")
            name = self._names.here(_text(call, "name"))
            return {"type": "tool_use", "id": _text(call, "toolUseId"), "name": name, "input": _inner(call, "input")}
        reasoning = _inner(block, "reasoningContent")
        if "redactedContent" in reasoning:
            return {"type": "redacted_thinking", "data": _text(reasoning, "redactedContent")}
        if "reasoningText" in reasoning:
            told = _inner(reasoning, "reasoningText")
            return {"type": "thinking", "thinking": _text(told, "text"), "signature": _text(told, "signature")}
        return {}  # something new


class MessagesFromConverse(EventTranslator):
    """One stream of frames as message events. Nothing comes out of it behind an error or the end."""

    __slots__ = ("_begun", "_events", "_model", "_names", "_open", "_over", "_request_id", "_splitter", "_stop")

    def __init__(self, request_id: str, model: str, names: Names, cost: Cost) -> None:
        super().__init__()
        self._request_id = request_id
        self._model = model
        self._names = names
        self._splitter = FrameSplitter()
        self._events = MessageEvents(request_id, cost)
        self._open: tuple[Any, str] = (None, "")  # Bedrock's number of the open block, and what it is of
        self._stop: Told | None = None  # why the message ended, once that has been said
        self._begun = False
        self._over = False

    def feed(self, data: bytes) -> bytes:
        try:
            return b"".join([self._frame(frame) for frame in self._splitter.feed(data)])
        except MalformedFrame:
            return self._fail("api_error", _UNREADABLE)

    def end(self, *, clean: bool) -> bytes:
        broken = self.feed(b"") if self._splitter.held else b""  # what is held may be no frame at all
        if broken or self._splitter.held or not clean:
            return broken
        return self._complete()

    def _frame(self, frame: bytes) -> bytes:
        try:
            headers, payload = decode(frame)
        except MalformedFrame:
            return self._fail("api_error", _UNREADABLE)
        told = read_json(payload)
        if headers.get(":message-type") in ("exception", "error"):
            return self._error(headers, told or {})
        name = headers.get(":event-type", "")
        if self._over or name not in _EVENTS:
            return b""
        if told is None:
            return self._fail("api_error", _UNREADABLE)  # a broken one may have held a token
        return self._start() + self._event(name, told)

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._events.start(self._model)

    def _event(self, name: str, told: Told) -> bytes:
        index = told.get("contentBlockIndex")
        match name:
            case "contentBlockDelta":
                return self._delta(index, _inner(told, "delta"))
            case "contentBlockStart":
                return self._begin_call(index, _inner(_inner(told, "start"), "toolUse"))
            case "contentBlockStop":
                return self._close(index)
            case "messageStop":
                return self._message_stop(told)
            case "metadata":
                self.usage = read_counts(told.get("usage"), CONVERSE) or self.usage
                return self._complete()
            case _:
                return b""

    def _delta(self, index: Any, delta: Told) -> bytes:
        if "text" in delta:
            text = _text(delta, "text")
            return self._take_up(index, "text") + self._events.piece(escaped(text)) if text else b""
        if "toolUse" in delta:
            part = _text(_inner(delta, "toolUse"), "input")
            return self._events.piece(escaped(part)) if part and self._open == (index, "call") else b""
        reasoning = _inner(delta, "reasoningContent")
        if "redactedContent" in reasoning:
            self._open = (None, "")
            block = {"type": "redacted_thinking", "data": _text(reasoning, "redactedContent")}
            return self._events.begin(block) + self._events.close()
        if "signature" in reasoning:
            signature = {"type": "signature_delta", "signature": _text(reasoning, "signature")}
            return self._take_up(index, "thinking") + self._events.delta(signature)
        text = _text(reasoning, "text")
        return self._take_up(index, "thinking") + self._events.piece(escaped(text)) if text else b""

    def _take_up(self, index: Any, kind: str) -> bytes:
        """Return the beginning of the block that a piece belongs to, unless it is the open one."""
        if self._open == (index, kind):
            return b""
        self._open = (index, kind)
        return self._events.begin_text() if kind == "text" else self._events.begin_thinking()

    def _begin_call(self, index: Any, call: Told) -> bytes:
        if not call:
            return b""  # text and reasoning begin with their first piece
        self._open = (index, "call")
        return self._events.begin_call(_text(call, "toolUseId"), self._names.here(_text(call, "name")))

    def _close(self, index: Any) -> bytes:
        if self._open[0] != index:
            return b""
        self._open = (None, "")
        return self._events.close()

    def _message_stop(self, told: Told) -> bytes:
        if told.get("stopReason") in _BROKEN:
            return self._fail("api_error", _UNREADABLE)
        self._stop = _stop(told)
        return self._events.close()

    def _complete(self) -> bytes:
        """Return the end, if the upstream has said it; the usage is all there is to come behind it."""
        if self._stop is None or self._over:
            return b""
        self._over = True
        reason, sequence = self._stop["stop_reason"], self._stop["stop_sequence"]
        return self._events.finish(reason, self.usage, sequence) + self._events.stop()

    def _error(self, headers: Mapping[str, str], told: Told) -> bytes:
        name = headers.get(":exception-type") or headers.get(":error-code", "")
        kind = _KINDS.get(name[:1].lower() + name[1:], "api_error")
        return self._fail(kind, _text(told, "message") or headers.get(":error-message", ""))

    def _fail(self, kind: str, message: str) -> bytes:
        if self._over:
            return b""
        self._over = True
        return error_event(error_body(kind, message, self._request_id))


def _stop(told: Told) -> Told:
    """Return why an answer stopped; the sequence is told where the model has been asked to."""
    sequence = _inner(told, "additionalModelResponseFields").get("stop_sequence")
    reason = _STOP_REASONS.get(str(told.get("stopReason")), "end_turn")
    return {"stop_reason": reason, "stop_sequence": sequence if isinstance(sequence, str) else None}


def _inner(holder: Told, key: str) -> Told:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _text(holder: Told, key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""
