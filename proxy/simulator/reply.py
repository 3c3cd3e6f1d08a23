"""Decides what the simulated model answers to a prompt: thoughts, text or tool calls, the same for the same prompt."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.simulator import text
from proxy.simulator.schema import Inventor

_ASKS_FOR_TWO: Final = re.compile(r"\b(two|both|twice|parallel|2)\b", re.IGNORECASE)
_LOOK_AT: Final = 2000
_BEFORE_BLOB: Final = 3


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client offers, with the JSON schema of its arguments."""

    name: str
    parameters: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the simulated model sees of a request, whatever its dialect."""

    last: str  # text of the last message; seeds the answer
    question: str  # text of the last message of a person; names the topic
    tokens_in: int
    limit: int | None = None  # of output tokens
    thinks: bool = False
    after_tool: bool = False
    calls: tuple[Tool, ...] = ()  # to be called now, instead of an answer in words
    schema: Mapping[str, Any] | None = None  # the answer is JSON that fits it
    stops: tuple[str, ...] = ()  # texts before which the answer ends


@dataclass(frozen=True, slots=True)
class Shape:
    """What a scenario asks of the answer: so many tokens, one of them so large; None: as is natural."""

    tokens: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, its arguments in the pieces in which they are streamed."""

    id: str
    name: str
    arguments: tuple[str, ...]

    @property
    def values(self) -> Any:
        """The arguments as an object; an empty one when the limit has cut them."""
        try:
            return orjson.loads("".join(self.arguments))
        except orjson.JSONDecodeError:
            return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model said. `id` is hexadecimal, `cut` means that the limit ended it, `stopped` is the text that did."""

    id: str
    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[ToolCall, ...]
    cut: bool
    stopped: str | None = None

    @property
    def pieces(self) -> int:
        """The number of pieces in which it is said."""
        return len(self.reasoning) + len(self.text) + sum(len(call.arguments) for call in self.calls)

    @property
    def tokens(self) -> int:
        """The number of tokens billed for it."""
        return self.pieces - len(self.text) + sum(map(billed, self.text))


def billed(piece: str) -> int:
    """Return the number of tokens billed for one piece: one, and more for a huge one."""
    return 1 + len(piece) // 16


def tools_to_call(tools: Sequence[Tool], question: str, *, named: str | None, parallel: bool | None) -> tuple[Tool, ...]:
    """Return the tools to call now: the named or the first one, and a second where two are asked for.

    *parallel* is the client's own word on parallel calls; None: it left that open.
    """
    first = next((tool for tool in tools if tool.name == named), None) if named else next(iter(tools), None)
    if first is None:
        return ()
    wants_two = parallel or (parallel is None and _ASKS_FOR_TWO.search(question[:_LOOK_AT]))
    if not wants_two:
        return (first,)
    second = next((tool for tool in tools if tool.name != first.name), first)
    return (first, first if named else second)


def compose(prompt: Prompt, shape: Shape, *, seed: int, index: int = 0) -> Reply:
    """Return the answer to *prompt*; *index* tells the choices of one request apart."""
    rng = random.Random(f"{seed}/{index}/{prompt.last}")  # noqa: S311 - words, not keys
    topic = text.topic_of(prompt.question)
    name = f"{rng.getrandbits(96):024x}"
    budget = _Budget(prompt.limit)
    reasoning = budget.take(text.thoughts(topic, rng) if prompt.thinks else [])
    said, stopped = _until(prompt.stops, [] if prompt.calls else _words(prompt, shape, topic, rng))
    words = budget.take(said)
    calls = []
    for tool in prompt.calls:
        whole = _arguments(tool, topic, rng)
        call_id = f"call_{rng.getrandbits(96):024x}"
        if pieces := budget.take(whole):
            calls.append(ToolCall(call_id, tool.name, pieces))
    stopped = None if budget.cut else stopped
    return Reply(id=name, reasoning=reasoning, text=words, calls=tuple(calls), cut=budget.cut, stopped=stopped)


class _Budget:
    """Hands out what the token limit allows, and remembers whether that was too little."""

    __slots__ = ("cut", "left")

    def __init__(self, limit: int | None) -> None:
        self.left = limit
        self.cut = False

    def take(self, pieces: Sequence[str]) -> tuple[str, ...]:
        if self.left is None:
            return tuple(pieces)
        self.cut = self.cut or len(pieces) > self.left
        taken = tuple(pieces[: self.left])
        self.left -= len(taken)
        return taken


def _words(prompt: Prompt, shape: Shape, topic: str, rng: random.Random) -> list[str]:
    if prompt.schema is not None:
        value = Inventor(prompt.schema, rng=rng, topic=topic).value()
        return text.split(orjson.dumps(value).decode())
    words = text.answer(topic, rng, shape.tokens, after_tool=prompt.after_tool)
    if shape.size is None:
        return words
    return [*words[:_BEFORE_BLOB], text.blob(shape.size), *words[_BEFORE_BLOB:]]


def _until(stops: Sequence[str], pieces: list[str]) -> tuple[list[str], str | None]:
    """Return the pieces before the first of *stops* that comes in them, and that one."""
    said = "".join(pieces)
    found = min(((at, stop) for stop in stops if (at := said.find(stop)) >= 0), default=None)
    if found is None:
        return pieces, None
    left, stop = found
    kept = []
    for piece in pieces:
        if left <= 0:
            break
        kept.append(piece[:left])
        left -= len(piece)
    return kept, stop


def _arguments(tool: Tool, topic: str, rng: random.Random) -> list[str]:
    schema = tool.parameters if isinstance(tool.parameters, Mapping) else {}
    value = Inventor({"type": "object", **schema}, rng=rng, topic=topic).value()
    return text.split(orjson.dumps(value).decode())
