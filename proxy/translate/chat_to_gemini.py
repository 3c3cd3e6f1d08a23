"""Puts an OpenAI chat request to Gemini."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_chunks import Facts
from proxy.translate.chat_request import ChatRequest, read_chat
from proxy.translate.fields import Fields, dumped, refuse, without_empty
from proxy.translate.gemini_contents import TOOL_NAME, write_contents, write_system, write_tools
from proxy.translate.gemini_to_chat import GeminiToChat
from proxy.translate.names import Names

_HONOURED: Final = ("seed", "presence_penalty", "frequency_penalty")
# Gemini 2.5 is given a number of tokens to think with, later ones a level.
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH"}


class ChatToGemini(Translator):
    """For Google's own API."""

    source = "chat"
    target = "gemini"

    def request(self, source: Source) -> Translated:
        chat = read_chat(source, _HONOURED)
        names = Names(TOOL_NAME)
        body = dumped(_written(source, chat, names))
        verb = "streamGenerateContent" if source.stream else "generateContent"
        path = f"/v1beta/models/{quote(source.model, safe='')}:{verb}".encode()
        back = GeminiToChat(Facts.of(source, chat, names))
        return Translated(path=path, query=b"?alt=sse" if source.stream else b"", body=body, back=back)


def _written(source: Source, chat: ChatRequest, names: Names) -> dict[str, Any]:
    if chat.toolbox.choice and not chat.toolbox.choice.parallel:
        refuse("parallel_tool_calls", drop=source.drop_params)
    return without_empty(
        {
            "systemInstruction": write_system(chat.conversation.system),
            "contents": write_contents(chat.conversation.turns, names),
            **write_tools(chat.toolbox, names),
            "generationConfig": _config(source, chat),
        }
    )


def _config(source: Source, chat: ChatRequest) -> dict[str, Any]:
    body = Fields(source.values)
    return without_empty(
        {
            "temperature": chat.temperature,
            "topP": chat.top_p,
            "topK": chat.top_k,
            "maxOutputTokens": chat.max_tokens,
            "stopSequences": list(chat.stop),
            "seed": body.integer("seed"),
            "presencePenalty": body.number("presence_penalty"),
            "frequencyPenalty": body.number("frequency_penalty"),
            "responseMimeType": "application/json" if chat.format else None,
            "responseJsonSchema": chat.format.schema if chat.format else None,
            "thinkingConfig": _thinking(source, chat.effort),
        }
    )


def _thinking(source: Source, effort: str | None) -> dict[str, Any]:
    if effort is None:
        return {}
    if "gemini-2" in source.model:
        return {"thinkingBudget": _BUDGETS[effort], **({"includeThoughts": True} if effort != "none" else {})}
    if effort == "none":
        refuse("reasoning_effort", "must not be 'none' for this model, which always thinks", drop=source.drop_params)
        return {}
    return {"thinkingLevel": _LEVELS[effort], "includeThoughts": True}
