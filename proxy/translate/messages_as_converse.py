"""Asks an Anthropic messages request of a model that Bedrock serves, by its Converse.

instructions in mid-conversation     part of the user's next turn: older models know no other place for them
thinking without a signature         left out: it came from another backend, and Bedrock would refuse it
thinking, top_k                      Anthropic's own words in the fields that go to the model unread; other models refuse them
the sequence that stopped an answer  asked for, because Converse does not tell it of itself
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from proxy.translate import claude
from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_messages import PLACEHOLDER, Conversation
from proxy.translate.chat_tools import Toolbox
from proxy.translate.conversation import Part, Role, Thinking, ToolResult, Turn
from proxy.translate.converse_as_messages import ConverseAsMessages
from proxy.translate.converse_tools import write_tools
from proxy.translate.converse_turns import TOOL_NAME, write_system, write_turn
from proxy.translate.fields import dumped, refuse, without_empty
from proxy.translate.messages_request import MessagesRequest, read_messages_request
from proxy.translate.names import Names

_METADATA: Final = re.compile(r"[A-Za-z0-9 :_@$#=/+,.-]{1,256}")  # what Bedrock takes for a value of its log's
_STOP_SEQUENCE: Final = "/stop_sequence"


class MessagesAsConverse(Translator):
    """For every model that Bedrock serves."""

    source = "messages"
    target = "converse"

    def request(self, source: Source) -> Translated:
        asked, names = read_messages_request(source), Names(TOOL_NAME)
        body = dumped(_written(source, asked, names))
        verb = "converse-stream" if source.stream else "converse"
        path = f"/model/{quote(source.model, safe='')}/{verb}".encode()
        return Translated(path=path, body=body, back=ConverseAsMessages(source.request_id, source.model, names, source.cost))


def _written(source: Source, asked: MessagesRequest, names: Names) -> dict[str, Any]:
    conversation = Conversation(asked.system, tuple(_turns(asked.turns)))
    tools = write_tools(source, Toolbox(asked.tools, asked.choice), conversation, names)
    limits = {
        "maxTokens": asked.max_tokens,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "stopSequences": list(asked.stop),
    }
    return without_empty(
        {
            "system": write_system(conversation.system),
            "messages": [write_turn(turn, names) for turn in conversation.turns],
            "toolConfig": tools.config,
            "inferenceConfig": without_empty(limits),
            "outputConfig": without_empty({"textFormat": _text_format(asked), "effort": asked.effort}),
            "additionalModelRequestFields": without_empty({**_for_claude(source, asked), **tools.model_fields}),
            "additionalModelResponseFieldPaths": [_STOP_SEQUENCE] if asked.stop and claude.is_claude(source.model) else [],
            "requestMetadata": {"user": _user(asked.user)} if asked.user else {},
            "serviceTier": {"type": "default"} if asked.standard_only else {},
        }
    )


def _turns(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns that alternate and begin with the user; in each the results come first."""
    merged: list[tuple[Role, list[Part]]] = [("user", [])]
    for turn in turns:
        role: Role = "assistant" if turn.role == "assistant" else "user"
        told = [part for part in turn.parts if not isinstance(part, Thinking) or part.signature]
        if told and merged[-1][0] != role:
            merged.append((role, []))
        merged[-1][1].extend(told)
    return [Turn(role, tuple(sorted(parts, key=_is_no_result)) or (PLACEHOLDER,)) for role, parts in merged]


def _is_no_result(part: Part) -> bool:
    return not isinstance(part, ToolResult)


def _for_claude(source: Source, asked: MessagesRequest) -> dict[str, Any]:
    """Return what goes to the model unread. Raises Untranslatable for a model that would not understand it."""
    wanted = without_empty({"top_k": asked.top_k, "thinking": asked.thinking})
    if wanted and not claude.is_claude(source.model):
        refuse(next(iter(wanted)), drop=source.drop_params)
        return {}
    return wanted


def _text_format(asked: MessagesRequest) -> dict[str, Any] | None:
    if asked.schema is None:
        return None
    return {"type": "json_schema", "structure": {"jsonSchema": {"schema": dumped(asked.schema).decode()}}}


def _user(user: str) -> str:
    """Return the name of an end user, as its digest where Bedrock's log does not take it."""
    return user if _METADATA.fullmatch(user) else hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
