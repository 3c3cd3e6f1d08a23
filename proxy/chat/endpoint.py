"""One configured chat endpoint as a client-facing API: what it takes, how it ends, and the model behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from proxy import settings
from proxy.chat import words
from proxy.chat.styles import DONE, ERROR, STYLES, Style
from proxy.chat.translator import MessageAsChat
from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, Keepalive, Observer, RequestView
from proxy.dialects.body import read_object
from proxy.dialects.endpoints import CHAT, Endpoint
from proxy.dialects.keepalives import SPACE, Comment, Constant
from proxy.dialects.openai import OpenAiDialect
from proxy.errors import BadRequest, ProxyError
from proxy.sse.frames import Framing
from proxy.translate import Translator

HEARTBEAT: Final = "heartbeat {unix_ms}"


class ToldObserver(Observer):
    """Watches the events that a chat endpoint's client gets; they are written here, so their form is known."""

    __slots__ = ("_held", "_marks")

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._marks = (style.content, *(_mark(style, name) for name in (DONE, ERROR)))
        self._held = b""

    def feed(self, data: bytes) -> int:
        """Look at whole events; a translator writes no others."""
        content, done, error = self._marks
        seen = CONTENT if content in data else NOTHING
        if error in data:
            self.error = ERROR
            return seen | FAILED
        if done in data:
            self.terminal = True
            seen |= TERMINAL
        return seen

    def event(self, block: bytes) -> int:
        return self.feed(block)


class OpeningComment(Comment):
    """A heartbeat; the first one says that the connection stands."""

    __slots__ = ()

    def opening(self, wall: float) -> bytes:
        return b": connected\n\n"

    def with_text(self, text: str) -> Keepalive:
        return self  # the endpoint has its own


class ChatEndpointDialect(OpenAiDialect):
    """`POST` with a message in JSON, or `GET` with it in the query, for browsers' EventSource; always answered in events."""

    at_once = True
    reads_head = True

    def __init__(self, config: settings.ChatEndpoint) -> None:
        self.name = f"chat:{config.path}"
        self._config = config
        self._pattern = re.compile(config.session_pattern) if config.session_pattern else None
        self.style = STYLES.get(config.events)  # None: the chunks of a chat completion
        if self.style is not None:
            self.stream_framing = self.style.framing
            self.stream_type = self.style.media_type

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        values = self._from_query(params["query"]) if params["method"] == "GET" else read_object(body).values
        message = self._message(values.get(self._config.message_field))
        chat_id = self._chat_id(values) or params["request_id"]
        told = {"message": message, "chat_id": chat_id, "model": self._config.model}
        if params["method"] == "GET" and self.stream_framing is Framing.EVENTS:
            told["stream_id"] = params["request_id"]  # EventSource shows no headers
        return RequestView(model=self._config.model, stream=True, values=told)

    def observer(self, view: RequestView) -> Observer:
        return CHAT.observer(view) if self.style is None else ToldObserver(self.style)

    def keepalive(self) -> Keepalive | None:
        if self.stream_framing is Framing.LINES:
            return Constant(SPACE)
        return OpeningComment(self._config.keepalive_text or HEARTBEAT)

    def error_event(self, error: ProxyError, request_id: str, observer: Observer | None) -> bytes:
        if self.style is None:
            return CHAT.error_event(error, request_id, observer)
        return self.style.failure(words.of_failure(error))

    def answer_event(self, body: bytes) -> bytes | None:
        if self.style is None:
            return CHAT.answer_event(body)
        told = orjson.loads(body)["error"]  # written by the translator's `error`
        return self.style.failure(words.Apology(told["message"], told["code"]))

    def _from_query(self, query: str) -> Mapping[str, Any]:
        return dict(parse_qsl(query, keep_blank_values=True))

    def _message(self, message: Any) -> str:
        field, most = self._config.message_field, self._config.max_chars
        if not isinstance(message, str) or not message.strip():
            raise BadRequest(f"The field '{field}' must hold a message.", param=field)
        if len(message) > most:
            raise BadRequest(f"The field '{field}' is longer than {most} characters.", param=field)
        try:
            message.encode()
        except UnicodeEncodeError as exc:
            raise BadRequest(f"The field '{field}' holds half of a surrogate pair.", param=field) from exc
        return message

    def _chat_id(self, values: Mapping[str, Any]) -> str | None:
        field = self._config.session_field
        session = values.get(field) if field else None
        if field is None or session is None:
            return None
        if not isinstance(session, str) or not session or (self._pattern and not self._pattern.fullmatch(session)):
            raise BadRequest(f"The field '{field}' is not a session id of the form that is agreed.", param=field)
        return session


def endpoints(configured: Iterable[settings.ChatEndpoint]) -> list[Endpoint]:
    """Return what the public listener serves for these."""
    return [each for config in configured for each in _endpoints(config)]


def translators(configured: Iterable[settings.ChatEndpoint]) -> list[Translator]:
    """Return how the messages of these are put to a model."""
    return [MessageAsChat(f"chat:{config.path}", STYLES.get(config.events), config.system) for config in configured]


def _endpoints(config: settings.ChatEndpoint) -> Iterable[Endpoint]:
    dialect = ChatEndpointDialect(config)
    return [Endpoint(method, config.path, dialect.name, dialect, dialect.name) for method in ("GET", "POST")]


def _mark(style: Style, name: str) -> bytes:
    """Return how an event without values begins."""
    return style.event(name, {}).partition(b"{}")[0].rstrip(b"}\n")
