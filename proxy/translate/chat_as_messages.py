"""Tells what a chat upstream answers as Anthropic's messages API would. Reasoning becomes thinking without a signature."""

from __future__ import annotations

from typing import Any, Final

from proxy.dialects.openai import read_json, told_error
from proxy.errors import UpstreamMalformed
from proxy.translate.base import Back, Cost, EventTranslator, no_cost
from proxy.translate.chat_deltas import ChatReader, Delta, Kind
from proxy.translate.from_chat import FromChat, error_parts
from proxy.translate.json_text import object_in, unescaped
from proxy.translate.messages_errors import error_body, error_event, kind_of, kind_of_words, status_of
from proxy.translate.messages_events import Block, MessageEvents, used_of, whole_message
from proxy.translate.messages_order import MessageOrder, call_id

_STOP_REASONS: Final = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS: Final = {  # words for errors in a stream, which has no status
    "invalid_request_error": "invalid_request_error",
    "context_length_exceeded": "invalid_request_error",
    "invalid_prompt": "invalid_request_error",
    "authentication_error": "authentication_error",
    "invalid_api_key": "authentication_error",
    "permission_error": "permission_error",
    "model_not_found": "not_found_error",
    "rate_limit_error": "rate_limit_error",
    "rate_limit_exceeded": "rate_limit_error",
    "insufficient_quota": "rate_limit_error",
    "overloaded": "overloaded_error",
    "overloaded_error": "overloaded_error",
    "server_is_overloaded": "overloaded_error",
    "unavailable_error": "overloaded_error",
    "timeout": "timeout_error",
}


class ChatAsMessages(Back):
    """The way back of one request."""

    __slots__ = ("_cost", "_model", "_request_id")

    def __init__(self, request_id: str, model: str, cost: Cost = no_cost) -> None:
        self._cost = cost
        self._request_id = request_id
        self._model = model  # where the upstream does not say which one answered

    def events(self) -> EventTranslator:
        return MessagesFromChat(self._request_id, self._model, self._cost)

    def whole(self, body: bytes) -> bytes:
        answer, reader = read_json(body), ChatReader()
        deltas = [] if answer is None else reader.read(answer)
        if answer is None or reader.error is not None or not answer.get("choices"):
            raise UpstreamMalformed("an answer without choices")
        content = _blocks(deltas, self._request_id, cut=reader.finish == "length")
        stop = {"stop_reason": stop_reason(reader)}
        return whole_message(self._request_id, reader.model or self._model, content, stop, used_of(reader.usage, self._cost))

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        message, words = error_parts(told_error(body))
        return status_of(status), error_body(kind_of(status), message, self._request_id, words)


class MessagesFromChat(FromChat):
    """One stream of chunks as message events."""

    __slots__ = ("_events", "_model", "_order", "_request_id")

    def __init__(self, request_id: str, model: str, cost: Cost) -> None:
        super().__init__()
        self._request_id = request_id
        self._model = model
        self._events = MessageEvents(request_id, cost)
        self._order = MessageOrder(self._events, request_id)

    @property
    def kept(self) -> int:
        return self._order.kept

    def begin(self) -> bytes:
        return self._events.start(self.reader.model or self._model)

    def delta(self, delta: Delta) -> bytes:
        return self._order.add(delta)

    def more(self, last: Delta, text: bytes) -> bytes:
        if self._order.kept:  # of a call, or behind one
            return self._order.add(Delta(last.kind, text, last.call))
        return self._events.piece(text)

    def finished(self) -> bytes:
        return self._order.end()

    def complete(self) -> bytes:
        return self._order.end() + self._events.finish(stop_reason(self.reader), self.usage) + self._events.stop()

    def failed(self, error: Any) -> bytes:
        message, words = error_parts(error)
        return error_event(error_body(kind_of_words(words, _ERRORS), message, self._request_id, words))


def stop_reason(reader: ChatReader) -> str:
    """Return why an answer ended. Some upstreams say `stop` although they have called tools."""
    if reader.refused:
        return "refusal"
    reason = _STOP_REASONS.get(reader.finish, "end_turn")
    return "tool_use" if reason == "end_turn" and reader.calls else reason


def _blocks(deltas: list[Delta], request_id: str, *, cut: bool) -> list[Block]:
    """Return the content of a whole answer. A call that was *cut* short in its arguments is no call."""
    blocks: list[Block] = []
    for delta in deltas:
        text = unescaped(delta.text)
        if delta.kind is Kind.CALL:
            called = object_in(text)
            if called is not None:
                blocks.append(
                    {"type": "tool_use", "id": delta.id or call_id(request_id, delta.call), "name": delta.name, "input": called}
                )
            elif not cut:
                raise UpstreamMalformed("a tool call whose arguments are no JSON object")
        elif delta.kind is Kind.REASONING:
            blocks.append({"type": "thinking", "thinking": text, "signature": ""})
        else:
            blocks.append({"type": "text", "text": text})
    return blocks
