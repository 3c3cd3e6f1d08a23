"""Reads what a chat completion says, chunk by chunk or whole, in the variants of those who speak OpenAI's API."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple

from proxy.dialects.chat import failure_in, usage_in
from proxy.dialects.usage import read_usage
from proxy.exchange import Usage
from proxy.translate.json_text import dumped, escaped


class Kind(enum.Enum):
    """What a piece of an answer is."""

    TEXT = "text"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    CALL = "call"  # a tool call's beginning, and the pieces of its arguments


class Delta(NamedTuple):
    """One piece of an answer. `text` stands as inside of a JSON string; only the beginning of a call may have none.

    `call` is the running number of the call, whatever number the upstream gave it.
    """

    kind: Kind
    text: bytes
    call: int = -1
    id: str = ""
    name: str = ""


class ChatReader:
    """Reads the chunks of one answer and remembers what counts at its end; of several choices, the first."""

    __slots__ = ("_at", "_ids", "error", "finish", "model", "refused", "usage")

    def __init__(self) -> None:
        self._ids: list[str] = []  # of the calls so far, by their number
        self._at: dict[Any, int] = {}  # the upstream's number → the call that it stands for at the moment
        self.error: Any = None  # an object or a word
        self.finish = ""  # the upstream's reason
        self.model = ""
        self.refused = False
        self.usage: Usage | None = None

    @property
    def calls(self) -> int:
        """How many tool calls have begun."""
        return len(self._ids)

    def read(self, chunk: dict[str, Any], name: bytes = b"") -> list[Delta]:
        """Return what a chunk, or a whole answer, says; nothing where it tells an `error`. *name* is the event's."""
        self.error = failure_in(chunk, name)
        if self.error is not None:
            return []
        model = chunk.get("model")
        if isinstance(model, str) and model:
            self.model = model
        self.usage = read_usage(usage_in(chunk)) or self.usage
        return [delta for choice in _first_choices(chunk) for delta in self._of_choice(choice)]

    def _of_choice(self, choice: dict[str, Any]) -> Iterator[Delta]:
        reason = choice.get("finish_reason")
        if reason == "error" or choice.get("error"):
            self.error = choice.get("error") or "error"
            return
        whole = "message" in choice
        said = choice.get("message" if whole else "delta")
        if isinstance(said, dict):
            yield from self._of_message(said, whole=whole)
        if reason and isinstance(reason, str):
            self.finish = self.finish or reason

    def _of_message(self, said: dict[str, Any], *, whole: bool) -> Iterator[Delta]:
        # the two names for the same text never both count
        yield from _texts(Kind.REASONING, said.get("reasoning_content") or said.get("reasoning"))
        yield from _texts(Kind.TEXT, said.get("content"))
        refusal = said.get("refusal")
        if refusal:
            self.refused = True
            yield from _texts(Kind.REFUSAL, refusal)
        calls = said.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                # without a number, a piece goes on with the call before it
                yield from self._of_call(call, call.get("index", position if whole else None))
        legacy = said.get("function_call")
        if isinstance(legacy, dict):
            yield from self._of_call({"function": legacy}, "function_call")

    def _of_call(self, call: dict[str, Any], number: Any) -> Iterator[Delta]:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        told, name = _word(call.get("id")), _word(function.get("name"))
        arguments = function.get("arguments")
        arguments = dumped(arguments).decode() if isinstance(arguments, dict) else _word(arguments)
        begun = self._number(told, number)
        if begun is None:
            begun = self._at[_key(number)] = len(self._ids)
            self._ids.append(told)
        elif not arguments and not name:
            return
        yield Delta(Kind.CALL, escaped(arguments), begun, told, name)

    def _number(self, told: str, number: Any) -> int | None:
        """Return which call a piece belongs to; None: to a new one. An upstream may give all its calls the same number."""
        known = self._at.get(_key(number))
        if known is None:
            return None
        if told and self._ids[known] and told != self._ids[known]:
            return None
        self._ids[known] = self._ids[known] or told
        return known


def _first_choices(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and not choice.get("index"):
            yield choice


def _texts(kind: Kind, value: Any) -> Iterator[Delta]:
    """Return a string, or Mistral's list of parts, as deltas."""
    if isinstance(value, str):
        if value:
            yield Delta(kind, escaped(value))
        return
    for part in value if isinstance(value, list) else ():
        if isinstance(part, dict):
            thought = part.get("thinking")
            yield from _texts(Kind.REASONING if thought else kind, thought or part.get("text"))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _key(number: Any) -> Any:
    return number if isinstance(number, int | str) else None
