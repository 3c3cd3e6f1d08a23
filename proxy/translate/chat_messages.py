"""Reads the messages of an OpenAI chat request into a conversation of alternating turns, as every other API wants it.

leading system and developer messages      the system's texts; later ones become part of the user's next turn
tool messages                              results in one turn of the user's, before anything else in it
neighbours of one role                     one turn
a conversation that the user did not open  begins with a placeholder
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from proxy.errors import BadRequest
from proxy.translate.chat_parts import read_parts, read_texts
from proxy.translate.conversation import Part, RedactedThinking, Role, Text, Thinking, ToolResult, ToolUse, Turn
from proxy.translate.fields import Fields, cannot

PLACEHOLDER: Final = Text(".")  # where an API demands words and there are none
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said: `turns` begin with the user's and alternate."""

    system: tuple[Text, ...]
    turns: tuple[Turn, ...]


def read_messages(body: Fields) -> Conversation:
    """Read the `messages` of a request. Raises BadRequest, or Untranslatable, which name the place."""
    messages = body.tables("messages")
    if not messages:
        raise body.wrong("messages", "an array of at least one message")
    reader = _Reader()
    for message in messages:
        reader.read(message)
    return reader.conversation()


class _Reader:
    """Collects turns, and knows which tool calls still wait for a result."""

    def __init__(self) -> None:
        self._system: list[Text] = []
        self._turns: list[tuple[Role, list[Part]]] = []
        self._waiting: dict[str, ToolUse] = {}

    def read(self, message: Fields) -> None:
        role = message.word("role", _ROLES)
        if role in ("system", "developer"):
            self._instruct(read_texts(message))
        elif role == "user":
            self._add("user", read_parts(message))
        elif role == "assistant":
            self._assistant(message)
        elif role == "tool":
            self._result(message)
        elif role == "function":
            raise cannot(message.where("role"))  # its call has no id to tell which one it was
        else:
            raise message.wrong("role", f"one of {', '.join(_ROLES)}")

    def conversation(self) -> Conversation:
        self._all_answered()
        self._trim_end()
        if not self._turns or self._turns[0][0] == "assistant":
            self._turns.insert(0, ("user", []))
        return Conversation(tuple(self._system), tuple(Turn(role, _ordered(parts)) for role, parts in self._turns))

    def _instruct(self, texts: Sequence[Text]) -> None:
        if self._turns:
            self._add("user", texts)
        else:
            self._system += texts

    def _assistant(self, message: Fields) -> None:
        for key in ("audio", "function_call"):
            if message.values.get(key) is not None:
                raise cannot(message.where(key))
        thoughts: list[Part] = [_thought(block) for block in message.tables("thinking_blocks")]
        calls = [_call(each) for each in message.tables("tool_calls")]
        parts = [*thoughts, *read_texts(message), *read_texts(message, "refusal"), *calls]
        if not parts:
            return  # one without anything is no turn
        self._all_answered()
        self._add("assistant", parts)
        self._waiting = {call.id: call for call in calls}
        if len(self._waiting) < len(calls):
            raise BadRequest(f"The field '{message.where('tool_calls')}' holds an id twice.", param=message.where("tool_calls"))

    def _result(self, message: Fields) -> None:
        call = self._waiting.pop(message.text("tool_call_id"), None)
        if call is None:
            raise message.wrong("tool_call_id", "the id of a tool call in the assistant's message before it")
        self._add("user", [ToolResult(call=call.id, name=call.name, content=tuple(read_texts(message)))])

    def _all_answered(self) -> None:
        if self._waiting:
            raise BadRequest("Each tool call in 'messages' must be followed by a tool message with its id.", param="messages")

    def _trim_end(self) -> None:
        """Take the white space from the end of words that the model shall continue: Claude refuses it there."""
        role, parts = self._turns[-1] if self._turns else ("user", [])
        last = parts[-1] if parts else None
        if role != "assistant" or not isinstance(last, Text):
            return
        parts[-1:] = [Text(last.text.rstrip(), last.cache)] if last.text.strip() else []
        if not parts:
            self._turns.pop()

    def _add(self, role: Role, parts: Iterable[Part]) -> None:
        if not self._turns or self._turns[-1][0] != role:
            self._turns.append((role, []))
        self._turns[-1][1].extend(parts)


def _thought(block: Fields) -> Thinking | RedactedThinking:
    """Read reasoning that comes back, in the form in which answers bring it."""
    kind = block.word("type", ("thinking", "redacted_thinking"))
    if kind == "redacted_thinking":
        return RedactedThinking(block.text("data"))
    return Thinking(block.text("thinking"), block.text("signature"))


def _call(call: Fields) -> ToolUse:
    if call.values.get("type", "function") != "function":
        raise cannot(call.where("type"))
    function = call.inner("function")
    return ToolUse(
        id=call.name("id"),
        name=function.name("name"),
        input=_arguments(function),
        signature=_signature(call.values.get("extra_content")),
    )


def _arguments(function: Fields) -> Mapping[str, Any]:
    """Return a call's arguments; none at all are an empty object. Numbers of any size stay what they are."""
    written = function.maybe_text("arguments")
    try:
        arguments = json.loads(written, parse_constant=_refuse_constant) if written and not written.isspace() else {}
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise function.wrong("arguments", "a JSON object in a string")
    return arguments


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _signature(extra: Any) -> str:
    """Return Google's signature of a call; it stands where Google's own OpenAI endpoint puts it."""
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def _ordered(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResult))) or (PLACEHOLDER,)
