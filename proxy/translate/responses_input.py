"""Reads the input of an OpenAI responses request into a conversation.

a string                              what the user says
leading system and developer items    the system's texts, behind the instructions; later ones stay where they are
function calls                        the assistant's turn that they follow, or one of their own
outputs of functions                  behind the turn with their calls, wherever they stand
reasoning                             left out: only its own API can read it
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import BadRequest
from proxy.translate.conversation import Document, Image, Part, Role, Text, ToolResult, ToolUse, Turn
from proxy.translate.fields import Fields, cannot, refuse
from proxy.translate.json_text import object_in
from proxy.translate.responses_parts import read_parts

_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


@dataclass(slots=True)
class _Said:
    """A turn in the making, and what became of the calls in it."""

    role: Role
    parts: list[Part] = field(default_factory=list)
    results: list[ToolResult] = field(default_factory=list)


def read_input(body: Fields, *, drop: bool) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """Return the system's texts and the turns. Raises BadRequest, or Untranslatable, which name the place."""
    instructions = body.maybe_text("instructions")
    system = [Text(instructions)] if instructions else []
    reader = _Reader(drop=drop)
    if isinstance(body.values.get("input"), str):
        reader.say("user", read_parts(body, "input", drop=drop))
    else:
        for item in body.tables("input"):
            reader.read(item)
    turns = list(reader.turns())
    while turns and turns[0].role == "system":
        system += [part for part in turns.pop(0).parts if isinstance(part, Text)]
    if not turns:
        raise BadRequest("The field 'input' must be a text, or an array with at least one message.", param="input")
    return tuple(system), tuple(turns)


class _Reader:
    """Collects turns, and knows in which of them each call stands."""

    def __init__(self, *, drop: bool) -> None:
        self._drop = drop
        self._said: list[_Said] = []
        self._calls: dict[str, tuple[_Said, str]] = {}

    def read(self, item: Fields) -> None:
        kind = item.maybe_text("type") or "message"
        if kind == "message":
            self._message(item)
        elif kind == "function_call":
            self._call(item)
        elif kind == "function_call_output":
            self._result(item)
        elif kind in ("item_reference", "compaction"):
            raise cannot(item.where("type"))  # stands for what only OpenAI can read
        elif kind != "reasoning":
            refuse(item.where("type"), drop=self._drop)  # of a tool that runs on OpenAI's servers

    def say(self, role: Role, parts: Iterable[Part]) -> None:
        self._turn(role).parts.extend(parts)

    def turns(self) -> Iterable[Turn]:
        """Yield the turns: results first in the user's turn behind their calls."""
        results: list[ToolResult] = []
        for said in self._said:
            if results and said.role != "user":
                yield Turn("user", tuple(results))
                results = []
            parts = (*results, *said.parts)
            if parts:
                yield Turn(said.role, parts)
            results = said.results
        if results:
            yield Turn("user", tuple(results))

    def _message(self, item: Fields) -> None:
        role = _ROLES[item.word("role", _ROLES) or item.name("role")]
        parts = read_parts(item, "content", drop=self._drop)
        if role != "user" and not all(isinstance(part, Text) for part in parts):
            raise item.wrong("content", "text only in this role")
        if parts:
            self.say(role, parts)

    def _call(self, item: Fields) -> None:
        call, name, arguments = item.name("call_id"), item.name("name"), item.text("arguments")
        turn = self._turn("assistant")
        # a model may have written what is no JSON; then it has to see that again
        turn.parts.append(ToolUse(id=call, name=name, input=object_in(arguments) or {}, written=arguments))
        self._calls[call] = turn, name

    def _result(self, item: Fields) -> None:
        found = self._calls.pop(item.name("call_id"), None)
        if found is None:
            place = item.where("call_id")
            raise BadRequest(f"The field '{place}' names no function_call before it.", param=place)
        parts = read_parts(item, "output", drop=self._drop)
        content = tuple(part for part in parts if isinstance(part, Text | Image | Document))
        turn, name = found
        turn.results.append(ToolResult(call=item.name("call_id"), name=name, content=content, at=item.where("call_id")))

    def _turn(self, role: Role) -> _Said:
        """Return the last turn if *role* can go on with it, else a new one."""
        if not self._said or self._said[-1].role != role or self._said[-1].results:
            self._said.append(_Said(role))
        return self._said[-1]
