"""Asks a chat upstream one message, and tells its answer in a chat endpoint's events, read by read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.chat import words
from proxy.chat.styles import DONE, Style
from proxy.dialects.openai import read_json
from proxy.dialects.shape import Shape
from proxy.dialects.usage import read_usage
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.sse.events import Splitter, parse
from proxy.translate import Back, EventTranslator, Source, Translated, Translator
from proxy.translate.asked_usage import AskedUsage


@dataclass(frozen=True, slots=True)
class Told:
    """What an endpoint tells besides the text: to whom, about which model, what it cost, and the stream's name if it has one."""

    chat_id: str
    model: str
    cost: Callable[[Usage], float | None]
    stream_id: str = ""


class MessageAsChat(Translator):
    """One endpoint's message as a chat request; `values` hold `message`, `chat_id` and maybe `stream_id`, read by its dialect."""

    target = "chat"

    def __init__(self, api: str, style: Style | None, system: str | None) -> None:
        self.source = api
        self._style = style
        self._system = system

    def request(self, source: Source) -> Translated:
        messages = [{"role": "system", "content": self._system}] if self._system else []
        messages.append({"role": "user", "content": source.values["message"]})
        body = {"model": source.model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        told = Told(source.values["chat_id"], source.values["model"], source.cost, source.values.get("stream_id", ""))
        back = AskedUsage() if self._style is None else ChatToEvents(self._style, told)
        return Translated(path=b"/v1/chat/completions", body=orjson.dumps(body), back=back)


class ChatToEvents(Back):
    """The way back."""

    __slots__ = ("_style", "_told")

    def __init__(self, style: Style, told: Told) -> None:
        self._style = style
        self._told = told

    def events(self) -> EventTranslator:
        return Telling(self._style, self._told)

    def whole(self, body: bytes) -> bytes:
        raise UpstreamMalformed("a whole answer where a stream was asked for")

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        apology = words.of_status(status)
        return status, orjson.dumps({"error": {"message": apology.message, "code": apology.code}})


class Telling(EventTranslator):
    """One answer. It ends where the upstream says `[DONE]`, or that its only choice is finished and closes in good order.

    A stream with a name says it as the `id` of its first event: an EventSource that connects again by itself repeats that, so that
    an answer which has begun is not given twice.
    """

    __slots__ = ("_ended", "_finish", "_id", "_shape", "_splitter", "_started", "_style", "_told")

    def __init__(self, style: Style, told: Told) -> None:
        super().__init__()
        self._style = style
        self._told = told
        self._id = b"id: %b\n" % told.stream_id.encode() if told.stream_id else b""
        self._splitter = Splitter()
        self._shape: Shape | None = None
        self._started = False
        self._finish = ""
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        told = b"".join([self._block(block) for block in self._splitter.feed(data)])
        return self._named(told) if self._id else told

    def end(self, *, clean: bool) -> bytes:
        return self._named(self._end()) if clean and self._finish else b""

    def _named(self, told: bytes) -> bytes:
        if not told:
            return b""
        name, self._id = self._id, b""
        return name + told

    def _block(self, block: bytes) -> bytes:
        if self._ended:
            return b""
        text = None if self._shape is None else self._shape.text(block)
        if text is not None:
            return self._style.text(text)
        event = parse(block)
        if event is None:
            return b""
        if event.data.startswith(b"[DONE]"):
            return self._end()
        chunk = read_json(event.data)
        return b"" if chunk is None else self._begin() + self._chunk(chunk, block)

    def _chunk(self, chunk: Mapping[str, Any], block: bytes) -> bytes:
        if chunk.get("error"):
            self._ended = True
            return self._style.failure(words.of_event(chunk["error"]))
        self._note(chunk.get("usage"))
        choices = chunk.get("choices")
        first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        finish = first.get("finish_reason")
        self._finish = finish if isinstance(finish, str) else self._finish
        delta = first.get("delta")
        text = delta.get("content") or delta.get("refusal") if isinstance(delta, dict) else None
        if not isinstance(text, str) or not text:
            return b""
        shape = None if finish else Shape.of(block)
        self._shape = shape if shape is not None and shape.key == b"content" else None
        return self._style.text(_escaped(text))

    def _note(self, usage: Any) -> None:
        self.usage = read_usage(usage) or self.usage

    def _begin(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        return self._style.start(self._told.chat_id)

    def _end(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        last = self._style.event(DONE, {"finish_reason": self._finish or "stop"})
        return self._begin() + (self._usage(self.usage) if self.usage is not None else b"") + last

    def _usage(self, usage: Usage) -> bytes:
        values = {
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "cost_usd": self._told.cost(usage),
            "model": self._told.model,
        }
        return self._style.event("usage", values)


def _escaped(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]
