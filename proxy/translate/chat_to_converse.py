"""Puts an OpenAI chat request to Bedrock's Converse."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from proxy.translate import claude
from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_chunks import Facts
from proxy.translate.chat_of_claude import sampling_of, stop_of, thinking_of
from proxy.translate.chat_request import ChatRequest, Format, read_chat, schema_of
from proxy.translate.claude import ThinkingMode
from proxy.translate.converse_to_chat import ConverseToChat
from proxy.translate.converse_tools import write_tools
from proxy.translate.converse_turns import TOOL_NAME, write_system, write_turn
from proxy.translate.fields import dumped, refuse, without_empty
from proxy.translate.names import Names

_METADATA: Final = re.compile(r"[A-Za-z0-9 :_@$#=/+,.-]{1,256}")  # what Bedrock takes for a value of its log's


class ChatToConverse(Translator):
    """For every model that Bedrock serves."""

    source = "chat"
    target = "converse"

    def request(self, source: Source) -> Translated:
        chat = read_chat(source)
        names = Names(TOOL_NAME)
        body = dumped(_written(source, chat, names))
        verb = "converse-stream" if source.stream else "converse"
        path = f"/model/{quote(source.model, safe='')}/{verb}".encode()
        return Translated(path=path, body=body, back=ConverseToChat(Facts.of(source, chat, names)))


def _written(source: Source, chat: ChatRequest, names: Names) -> dict[str, Any]:
    thinking = _thinking(source, chat)
    sampling = sampling_of(source, chat, thinking)
    tools = write_tools(source, chat.toolbox, chat.conversation, names)
    limits = {
        "maxTokens": chat.max_tokens,
        "temperature": sampling.get("temperature"),
        "topP": sampling.get("top_p"),
        "stopSequences": stop_of(source, chat) if claude.is_claude(source.model) else list(chat.stop),
    }
    model_fields = {"top_k": sampling.get("top_k"), "thinking": thinking.config if thinking else None, **tools.model_fields}
    return without_empty(
        {
            "system": write_system(chat.conversation.system),
            "messages": [write_turn(turn, names) for turn in chat.conversation.turns],
            "toolConfig": tools.config,
            "inferenceConfig": without_empty(limits),
            "outputConfig": _output(source, chat, thinking),
            "additionalModelRequestFields": without_empty(model_fields),
            "requestMetadata": {"user": chat.user} if chat.user and _METADATA.fullmatch(chat.user) else None,
        }
    )


def _thinking(source: Source, chat: ChatRequest) -> ThinkingMode | None:
    if claude.is_claude(source.model):
        return thinking_of(source, chat)
    if chat.effort is not None:
        refuse("reasoning_effort", drop=source.drop_params)  # each maker has another word for it
    return None


def _output(source: Source, chat: ChatRequest, thinking: ThinkingMode | None) -> dict[str, Any]:
    form = schema_of(source, chat)
    return without_empty(
        {
            "textFormat": _text_format(form) if form else None,
            "effort": thinking.effort if thinking else None,
        }
    )


def _text_format(form: Format) -> dict[str, Any]:
    schema = {"schema": dumped(form.schema).decode(), "name": form.name, "description": form.description}
    return {"type": "json_schema", "structure": {"jsonSchema": without_empty(schema)}}
