"""Puts an OpenAI chat request to Anthropic's messages API."""

from __future__ import annotations

from typing import Any, Final

from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_chunks import Facts
from proxy.translate.chat_of_claude import sampling_of, stop_of, thinking_of
from proxy.translate.chat_request import ChatRequest, read_chat, schema_of
from proxy.translate.claude import ThinkingMode
from proxy.translate.fields import dumped, without_empty
from proxy.translate.messages_to_chat import MessagesToChat
from proxy.translate.messages_turns import TOOL_NAME, write_system, write_tools, write_turn
from proxy.translate.names import Names

DEFAULT_LIMIT: Final = 4096  # tokens; Anthropic demands a limit, OpenAI does not
_HEADERS: Final = ((b"anthropic-version", b"2023-06-01"),)  # the last version that takes temperature, top_p and top_k


class ChatToMessages(Translator):
    """For everything that speaks Anthropic's API."""

    source = "chat"
    target = "messages"

    def request(self, source: Source) -> Translated:
        chat = read_chat(source)
        names = Names(TOOL_NAME)
        body = dumped(_written(source, chat, names))
        back = MessagesToChat(Facts.of(source, chat, names))
        return Translated(path=b"/v1/messages", body=body, back=back, headers=_HEADERS)


def _written(source: Source, chat: ChatRequest, names: Names) -> dict[str, Any]:
    thinking = thinking_of(source, chat)
    return without_empty(
        {
            "model": source.model,
            "max_tokens": chat.max_tokens or DEFAULT_LIMIT + (thinking.budget if thinking else 0),
            "system": write_system(chat.conversation.system),
            "messages": [write_turn(turn, names) for turn in chat.conversation.turns],
            **write_tools(chat.toolbox, chat.conversation.turns, names),
            "thinking": thinking.config if thinking else None,
            "output_config": _output(source, chat, thinking),
            **sampling_of(source, chat, thinking),
            "stop_sequences": stop_of(source, chat),
            "metadata": {"user_id": chat.user} if chat.user else None,
            "stream": source.stream or None,
        }
    )


def _output(source: Source, chat: ChatRequest, thinking: ThinkingMode | None) -> dict[str, Any]:
    form = schema_of(source, chat)
    return without_empty(
        {
            "effort": thinking.effort if thinking else None,
            "format": {"type": "json_schema", "schema": form.schema} if form else None,
        }
    )
