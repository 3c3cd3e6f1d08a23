"""OpenAI chat completions and completions: data-only events, ended by `[DONE]`."""

from __future__ import annotations

from typing import Any, Final

from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, Observer, RequestView
from proxy.dialects.openai import OpenAiDialect, read_json, read_usage
from proxy.sse.events import parse

_CONTENT_KEYS: Final = ("content", "reasoning_content", "reasoning", "reasoning_details", "refusal", "tool_calls", "function_call", "audio")


class ChatObserver(Observer):
    """Follows one stream of chat chunks (or of text completions, whose choices hold `text`).

    An ordinary content chunk is recognised by substrings and never parsed: JSON escapes quotes inside strings, so
    `"finish_reason":null` cannot be part of what a model wrote.
    """

    __slots__ = ("_choices", "_finished", "done")

    def __init__(self, choices: int) -> None:
        super().__init__()
        self._choices = choices
        self._finished: set[int] = set()
        self.done = False

    def event(self, block: bytes) -> int:
        if (
            (b'"finish_reason":null' in block or b'"finish_reason": null' in block)
            and b'"error"' not in block
            and b'"usage":{' not in block
            and b'"usage": {' not in block
            and ((b'"content":"' in block and b'"content":""' not in block) or (b'"content": "' in block and b'"content": ""' not in block))
        ):
            return CONTENT
        return self._parse(block)

    def complete(self, *, clean: bool) -> bool:
        return self.error is None and (self.done or (clean and len(self._finished) >= self._choices))

    def _parse(self, block: bytes) -> int:
        event = parse(block)
        if event is None:
            return NOTHING
        if event.data.startswith(b"[DONE]"):
            self.done = self.terminal = True
            return TERMINAL
        chunk = read_json(event.data)
        if chunk is None:
            return NOTHING
        failed = self._failure(chunk, event.name)
        if failed:
            self.error = failed
            return FAILED
        self.usage = read_usage(chunk.get("usage") or _groq_usage(chunk)) or self.usage
        return self._choices_of(chunk)

    def _failure(self, chunk: dict[str, Any], name: bytes) -> str | None:
        error = chunk.get("error")
        if error:
            code = error.get("code") or error.get("type") if isinstance(error, dict) else None
            return str(code or "error")[:64]
        if name == b"error" or chunk.get("object") == "error":
            return "error"
        return None

    def _choices_of(self, chunk: dict[str, Any]) -> int:
        seen = NOTHING
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            if choice.get("text") or (isinstance(delta, dict) and any(delta.get(key) for key in _CONTENT_KEYS)):
                seen |= CONTENT
            reason = choice.get("finish_reason")
            if reason == "error":
                self.error = "error"
                seen |= FAILED
            elif reason:
                self._finished.add(choice.get("index", 0) if isinstance(choice.get("index"), int) else 0)
        return seen


def _groq_usage(chunk: dict[str, Any]) -> Any:
    extra = chunk.get("x_groq")
    return extra.get("usage") if isinstance(extra, dict) else None


class Chat(OpenAiDialect):
    """`POST /v1/chat/completions` and `POST /v1/completions`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def observer(self, view: RequestView) -> ChatObserver:
        return ChatObserver(view.choices)
