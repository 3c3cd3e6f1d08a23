"""Writes a conversation and its tools as OpenAI's chat API has them, in the words that most servers of that API take.

texts                   joined by an empty line into one string: not all servers take a list of parts
system, developer       `system`: most servers do not know `developer`, and OpenAI's own models take either
thinking                left out: there is no place for it that all servers bear
a result's images       behind the results, in the user's next message: a tool message holds text only
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from proxy.translate.conversation import Audio, Choice, Document, Image, Part, Text, Tool, ToolResult, ToolUse, Turn
from proxy.translate.fields import cannot, dumped

_LONGEST_USER: Final = 64
# OpenAI's own models, also as Azure's deployments tend to be called; gpt-oss runs on everybody's servers
_OPENAI: Final = re.compile(r"(?<![a-z0-9])(?:gpt-?\d|chatgpt|o\d)", re.IGNORECASE)

Message = dict[str, Any]


def write_messages(system: Sequence[Text], turns: Iterable[Turn]) -> list[Message]:
    """Return the messages. Raises Untranslatable, which names a part that cannot be in them."""
    messages = [_instruction(system)] if system else []
    for turn in turns:
        if turn.role == "assistant":
            messages += _assistant(turn.parts)
        elif turn.role == "user":
            messages += _user(turn.parts)
        else:
            messages.append(_instruction([part for part in turn.parts if isinstance(part, Text)]))
    return messages


def write_tools(tools: Sequence[Tool], choice: Choice | None) -> dict[str, Any]:
    """Return the members of a request that concern tools; none where there are no tools."""
    if not tools:
        return {}
    told: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]}
    if choice is None:
        return told
    named = {"type": "function", "function": {"name": choice.name}}
    told["tool_choice"] = named if choice.kind == "tool" else "required" if choice.kind == "any" else choice.kind
    if not choice.parallel:
        told["parallel_tool_calls"] = False
    return told


def write_limit(model: str, tokens: int | None) -> dict[str, Any]:
    """Return the limit of the answer under the name that *model* knows.

    OpenAI's newer models refuse `max_tokens`; other servers refuse `max_completion_tokens`, or do not heed it.
    """
    if tokens is None:
        return {}
    return {"max_completion_tokens" if _OPENAI.search(model) else "max_tokens": tokens}


def write_schema(
    schema: Mapping[str, Any], name: str = "", description: str = "", *, strict: bool | None = True
) -> dict[str, Any]:
    """Return the `response_format` for a JSON schema; OpenAI demands a name."""
    told = {"name": name or "answer", "description": description or None, "schema": schema, "strict": strict}
    return {"type": "json_schema", "json_schema": {key: value for key, value in told.items() if value is not None}}


def write_user(user: str) -> str | None:
    """Return the name of an end user; one that is longer than OpenAI takes, which Claude Code's are, as its digest."""
    if len(user) <= _LONGEST_USER:
        return user or None
    return hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


def _instruction(texts: Sequence[Text]) -> Message:
    return {"role": "system", "content": _joined(texts)}


def _joined(texts: Iterable[Text]) -> str:
    return "\n\n".join(text.text for text in texts)


def _assistant(parts: Sequence[Part]) -> list[Message]:
    """Return one message, or none where nothing is left of it."""
    # an answer with citations is one text in many blocks
    said = "".join(part.text for part in parts if isinstance(part, Text))
    calls = [_call(part) for part in parts if isinstance(part, ToolUse)]
    message: Message = {"role": "assistant", "content": said or None}
    if calls:
        message["tool_calls"] = calls
    return [message] if said or calls else []


def _call(part: ToolUse) -> dict[str, Any]:
    arguments = part.written or dumped(part.input).decode()
    return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": arguments}}


def _user(parts: Sequence[Part]) -> list[Message]:
    messages: list[Message] = []
    shown: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResult):
            messages.append(_result(part))
            shown += _shown(part)
        else:
            shown.append(part)
    if shown:
        messages.append({"role": "user", "content": _content(shown)})
    return messages


def _result(result: ToolResult) -> Message:
    said = _joined(part for part in result.content if isinstance(part, Text))
    if result.failed:
        said = f"Error: {said}" if said else "Error"
    return {"role": "tool", "tool_call_id": result.call, "content": said}


def _shown(result: ToolResult) -> list[Part]:
    """Return what a tool message cannot hold, behind a line that says whose it is."""
    files = [part for part in result.content if not isinstance(part, Text)]
    return [Text(f"From the result of the tool call {result.call}:"), *files] if files else []


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    written = [_part(part) for part in parts]
    if all(part["type"] == "text" for part in written):
        return "\n\n".join(part["text"] for part in written)
    return written


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "image_url", "image_url": {"url": url, **({"detail": part.detail} if part.detail else {})}}
        case Document():
            return _document(part)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    raise AssertionError(f"a user does not say {type(part).__name__}")


def _document(part: Document) -> dict[str, Any]:
    if part.media_type == "application/pdf":
        name = part.title or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data": f"data:{part.media_type};base64,{part.data}"}}
    if part.media_type.startswith("text/"):
        try:
            said = base64.b64decode(part.data, validate=True).decode()
        except ValueError as exc:
            raise cannot(part.at, "is no text in UTF-8, in base64") from exc
        return {"type": "text", "text": f"{part.title}\n\n{said}" if part.title else said}
    raise cannot(part.at)


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
