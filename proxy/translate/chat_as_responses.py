"""Tells what a chat upstream answers as OpenAI's responses API would.

Words and thoughts are items one after the other; calls stay open until the upstream has said that it is finished, for their
pieces may come in any order. Thoughts are told as a summary where the client wants one, because it looks for them there.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.dialects.openai import read_json, told_error
from proxy.errors import UpstreamMalformed
from proxy.translate.base import Back, EventTranslator
from proxy.translate.chat_deltas import Delta, Kind
from proxy.translate.from_chat import FromChat, error_parts
from proxy.translate.json_text import dumped
from proxy.translate.messages_order import call_id
from proxy.translate.responses_events import Growing, Numbered
from proxy.translate.responses_items import FunctionCall, Item, Texts
from proxy.translate.responses_object import ResponseObject

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_SAID_NOTHING: Final = "The model's backend reported an error."


class ChatAsResponses(Back):
    """The way back of one request; *summary* tells how thoughts are wanted."""

    __slots__ = ("_response", "_summary")

    def __init__(self, response: ResponseObject, *, summary: bool) -> None:
        self._response = response
        self._summary = summary

    def events(self) -> EventTranslator:
        return ResponsesFromChat(self._response, summary=self._summary)

    def whole(self, body: bytes) -> bytes:
        answer = read_json(body)
        told = ResponsesFromChat(self._response, summary=self._summary)
        deltas = [] if answer is None else told.reader.read(answer)
        if answer is None or told.reader.error is not None or not answer.get("choices"):
            raise UpstreamMalformed("an answer without choices")
        for delta in deltas:
            told.delta(delta)
        told.finished()
        return told.written()

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return status, dumped({"error": error_object(told_error(body))})


class ResponsesFromChat(FromChat):
    """One stream of chunks as the events of a response."""

    __slots__ = ("_calls", "_events", "_growing", "_items", "_open", "_response", "_summary")

    def __init__(self, response: ResponseObject, *, summary: bool) -> None:
        super().__init__()
        self._response = response
        self._summary = summary
        self._events = Numbered()
        self._items: list[Item] = []
        self._open: list[Item] = []  # those that have not ended
        self._calls: dict[int, FunctionCall] = {}
        self._growing: Growing | None = None  # the text that the last piece of words or thoughts went to

    @property
    def kept(self) -> int:
        return self._events.kept

    def begin(self) -> bytes:
        response = {"response": orjson.Fragment(self._response.write("in_progress", self.reader.model))}
        return self._events.event("created", response) + self._events.event("in_progress", response)

    def delta(self, delta: Delta) -> bytes:
        if delta.kind is Kind.CALL:
            return self._call(delta)
        texts = self._open[-1] if self._open else None
        begun = b""
        if not isinstance(texts, Texts) or not texts.takes(delta.kind):
            thoughts = delta.kind is Kind.REASONING
            begun = self._end_texts()
            texts = Texts(self._events, len(self._items), self._response.request_id, thoughts=thoughts, summary=self._summary)
            begun += texts.begin()
            self._take_up(texts)
        out = texts.add(delta)
        self._growing = texts.growing
        return begun + out

    def more(self, last: Delta, text: bytes) -> bytes:
        if last.kind is Kind.CALL:
            return self._call(Delta(last.kind, text, last.call))
        assert self._growing is not None
        return self._growing.piece(text)

    def finished(self) -> bytes:
        cut = self.reader.finish in _INCOMPLETE
        out = [item.end("incomplete" if cut and item is self._items[-1] else "completed") for item in self._open]
        self._open.clear()
        return b"".join(out)

    def complete(self) -> bytes:
        ended = self.finished()
        kind = "incomplete" if self.reader.finish in _INCOMPLETE else "completed"
        return ended + self._events.event(kind, {"response": orjson.Fragment(self.written())})

    def failed(self, error: Any) -> bytes:
        told = error_object(error)
        if not self.begun:
            # the nested form: openai-python yields the flat one as if it were an ordinary event
            data = {"type": "error", "sequence_number": 0, "error": told}
            return b"event: error\ndata: %b\n\n" % dumped(data)
        code = told.get("code")
        failure = {"code": code if isinstance(code, str) and code else "server_error", "message": told["message"]}
        response = self._response.write("failed", self.reader.model, self._ended(), error=failure)
        return self._events.event("failed", {"response": orjson.Fragment(response)})

    def written(self) -> bytes:
        """Return the response as it stands at its end."""
        reason = _INCOMPLETE.get(self.reader.finish, "")
        status = "incomplete" if reason else "completed"
        return self._response.write(status, self.reader.model, self._ended(), usage=self.reader.usage, incomplete=reason)

    def _ended(self) -> list[dict[str, Any]]:
        return [item.written() for item in self._items if item not in self._open]

    def _call(self, delta: Delta) -> bytes:
        call, out = self._calls.get(delta.call), b""
        if call is None:
            out = self._end_texts()
            request_id = self._response.request_id
            call = FunctionCall(self._events, len(self._items), request_id, delta.id or call_id(request_id, delta.call))
            self._calls[delta.call] = call
            self._take_up(call)
        # a piece behind the end of all pieces is none
        return out + call.add(delta) if call in self._open else out

    def _take_up(self, item: Item) -> None:
        self._items.append(item)
        self._open.append(item)

    def _end_texts(self) -> bytes:
        """Return the end of the words or thoughts that are told at the moment; calls stay open."""
        if not self._open or not isinstance(self._open[-1], Texts):
            return b""
        return self._open.pop().end()


def error_object(error: Any) -> dict[str, Any]:
    """Return an upstream's error as OpenAI's error object: the same one where it is an object."""
    message, _ = error_parts(error)
    told = {key: value for key, value in error.items() if key != "object"} if isinstance(error, dict) else {}
    return {"type": "server_error", "param": None, "code": None, **told, "message": message or _SAID_NOTHING}
