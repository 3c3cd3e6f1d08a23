"""OpenAI chat completions and completions: data-only events, ended by `[DONE]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, Alike, Observer, RequestView
from proxy.dialects.openai import OpenAiDialect, error_word, read_json
from proxy.dialects.shape import Shape
from proxy.dialects.usage import read_usage
from proxy.sse.events import Event, parse


class ChatObserver(Observer):
    """Follows one stream of chat chunks (or of text completions, whose choices hold `text`).

    An ordinary content chunk is recognised by its shape and not parsed; `feed` does so before anything else.
    """

    __slots__ = ("_choices", "_finished", "_shape", "done")

    def __init__(self, choices: int) -> None:
        super().__init__()
        self._choices = choices
        self._finished: set[int] = set()
        self._shape: Shape | None = None
        self.done = False

    @property
    def alike(self) -> Alike | None:
        return None if self._shape is None or self.midway else self._shape.fits_framed

    def feed(self, data: bytes) -> int:
        shape = self._shape
        if shape is not None and not self.midway and (shape.fits(data) or shape.fit_all(data)):
            return CONTENT
        return super().feed(data)

    def event(self, block: bytes) -> int:
        if self._shape is not None and self._shape.fits(block):
            return CONTENT
        event = parse(block)
        if event is None:
            return NOTHING
        if event.data.startswith(b"[DONE]"):
            self.done = self.terminal = True
            return TERMINAL
        seen = self._read(event)
        if seen == CONTENT:
            self._shape = Shape.of(block)
        return seen

    def complete(self, *, clean: bool) -> bool:
        return self.error is None and (self.done or (clean and len(self._finished) >= self._choices))

    def _read(self, event: Event) -> int:
        chunk = read_json(event.data)
        if chunk is None:
            if event.name == b"error":
                return self._failed("error")
            # an object that cannot be read is one that was cut off at the splitter's cap
            return CONTENT if event.data.startswith(b"{") else NOTHING
        failure = failure_in(chunk, event.name)
        if failure is not None:
            return self._failed(error_word(failure))
        usage = usage_in(chunk)
        if usage:
            self.usage = read_usage(usage) or self.usage
        return self._choices_of(chunk)

    def _failed(self, word: str) -> int:
        self.error = word
        return FAILED

    def _choices_of(self, chunk: dict[str, Any]) -> int:
        seen = NOTHING
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            if choice.get("text") or _says_something(choice.get("delta")):
                seen |= CONTENT
            reason = choice.get("finish_reason")
            if reason == "error" or choice.get("error"):
                seen |= self._failed(error_word(choice.get("error")))
            elif reason:
                index = choice.get("index")
                self._finished.add(index if isinstance(index, int) else 0)
        return seen


def _says_something(delta: Any) -> bool:
    """Tell whether a delta holds anything that a model produced: text, reasoning, a tool call, an image, in any key."""
    if not isinstance(delta, dict):
        return False
    return any(value and key != "role" and isinstance(value, str | list | dict) for key, value in delta.items())


def failure_in(chunk: dict[str, Any], name: bytes) -> Any:
    """Return what a chunk, or an event called *name*, says has failed: an object or a word. None: it says no such thing."""
    error = chunk.get("error") or _of_groq(chunk, "error")
    if error:
        return error
    # the flat form of Mistral and of older vLLM
    return chunk if name == b"error" or chunk.get("object") == "error" else None


def usage_in(chunk: dict[str, Any]) -> Any:
    """Return the usage object of a chunk or a whole answer, wherever the upstream puts it."""
    return chunk.get("usage") or _of_groq(chunk, "usage")


def _of_groq(chunk: dict[str, Any], key: str) -> Any:
    extra = chunk.get("x_groq")
    return extra.get(key) if isinstance(extra, dict) else None


class Chat(OpenAiDialect):
    """`POST /v1/chat/completions` and `POST /v1/completions`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def observer(self, view: RequestView) -> ChatObserver:
        return ChatObserver(_choices_asked(view.values))


def _choices_asked(values: Mapping[str, Any]) -> int:
    """Return how many answers a request asks for at once."""
    number, prompts = values.get("n"), values.get("prompt")
    each = number if type(number) is int and number > 0 else 1
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):  # numbers are one prompt, in tokens
        return each * len(prompts)
    return each
