"""Asks an Anthropic messages request of a backend that speaks OpenAI's chat API.

thinking with a budget    `reasoning_effort` by the size of the budget; adaptive thinking, and none: the backend's own measure
output_config.effort      `reasoning_effort`, word by word
top_k, server tools       have no equivalent
a begun answer            has none either: chat begins a new one
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_as_messages import ChatAsMessages
from proxy.translate.fields import dumped, refuse, without_empty
from proxy.translate.messages_request import MessagesRequest, read_messages_request
from proxy.translate.to_chat import write_limit, write_messages, write_schema, write_tools, write_user

_BUDGETS: Final = ((4096, "high"), (2048, "medium"), (0, "low"))  # tokens from which on; not all servers know more words


class MessagesAsChat(Translator):
    """For everything that speaks OpenAI's chat API."""

    source = "messages"
    target = "chat"
    names: ClassVar[Mapping[str, str]] = {
        "max_completion_tokens": "max_tokens",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "reasoning_effort": "thinking",
        "response_format": "output_config.format",
        "stop": "stop_sequences",
        "user": "metadata.user_id",
    }

    def request(self, source: Source) -> Translated:
        asked = read_messages_request(source)
        body = dumped(_written(source, asked))
        back = ChatAsMessages(source.request_id, source.model, source.cost)
        return Translated(path=b"/v1/chat/completions", body=body, back=back)


def _written(source: Source, asked: MessagesRequest) -> dict[str, Any]:
    if asked.top_k is not None:
        refuse("top_k", drop=source.drop_params)
    if asked.turns[-1].role == "assistant":
        refuse("messages", "must not end with the assistant's: an answer cannot be begun for this model", drop=source.drop_params)
    return without_empty(
        {
            "model": source.model,
            "messages": write_messages(asked.system, asked.turns),
            **write_tools(asked.tools, asked.choice),
            **write_limit(source.model, asked.max_tokens),
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "stop": list(asked.stop),
            "reasoning_effort": _effort(asked),
            "response_format": None if asked.schema is None else write_schema(asked.schema),
            "user": write_user(asked.user),
            "service_tier": "default" if asked.standard_only else None,
            "stream": source.stream or None,
            "stream_options": {"include_usage": True} if source.stream else None,
        }
    )


def _effort(asked: MessagesRequest) -> str | None:
    if asked.effort is not None:
        return asked.effort
    budget = asked.thinking.get("budget_tokens")
    return None if budget is None else next(word for least, word in _BUDGETS if budget >= least)
