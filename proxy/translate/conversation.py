"""A conversation in terms that belong to no API: what readers of requests make, and writers of requests take.

`at` is where a part stands in the client's request, so that whoever cannot take it can name it. `cache` is how long a cache
may keep everything up to there, `5m` or `1h`; None: nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant", "system"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words, never none."""

    text: str
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture, as base64 or by its URL; the other is empty. `detail` is OpenAI's word for how closely to look."""

    at: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    detail: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file as base64; `title` may be empty."""

    at: str
    media_type: str
    data: str
    title: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Sound as base64; `format` is `wav` or `mp3`."""

    at: str
    format: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A call that the model has made. `signature` is Google's, empty where there is none.

    `written` is its input as the model wrote it, where that may be no JSON.
    """

    id: str
    name: str
    input: Mapping[str, Any]
    signature: str = ""
    written: str = ""
    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What became of a call; `name` is that of its tool."""

    call: str
    name: str
    content: tuple[Text | Image | Document, ...] = ()
    at: str = ""
    failed: bool = False
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought, and the signature that proves it."""

    thinking: str
    signature: str


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """What the model thought and nobody but its own API can read."""

    data: str


Part = Text | Image | Document | Audio | ToolUse | ToolResult | Thinking | RedactedThinking


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said; never nothing. The results of tool calls come first.

    The system's are instructions in the middle of a conversation.
    """

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool of the client's own; an empty description is none."""

    name: str
    schema: Mapping[str, Any]
    description: str = ""
    strict: bool | None = False  # None: nothing is said about it
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tools may be called: as the model likes, none, any one of them, or the one that is named."""

    kind: Literal["auto", "none", "any", "tool"] = "auto"
    name: str = ""
    parallel: bool = True

    @property
    def forced(self) -> bool:
        """Whether the model has to call a tool."""
        return self.kind in ("any", "tool")


def called_tools(turns: Iterable[Turn]) -> tuple[Tool, ...]:
    """Return the tools that were called in a conversation, each once; what they take is not known any more."""
    names = dict.fromkeys(part.name for turn in turns for part in turn.parts if isinstance(part, ToolUse))
    return tuple(Tool(name=name, schema={"type": "object", "properties": {}}) for name in names)
