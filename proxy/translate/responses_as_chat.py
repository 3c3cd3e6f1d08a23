"""Asks an OpenAI responses request of a backend that speaks the chat API only, as most servers of open models do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from proxy.translate.base import Source, Translated, Translator
from proxy.translate.chat_as_responses import ChatAsResponses
from proxy.translate.fields import dumped, without_empty
from proxy.translate.responses_object import ResponseObject
from proxy.translate.responses_request import Form, ResponsesRequest, read_responses_request
from proxy.translate.to_chat import write_limit, write_messages, write_schema, write_tools, write_user


class ResponsesAsChat(Translator):
    """For everything that speaks OpenAI's chat API."""

    source = "responses"
    target = "chat"
    names: ClassVar[Mapping[str, str]] = {
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "reasoning_effort": "reasoning.effort",
        "response_format": "text.format",
    }

    def request(self, source: Source) -> Translated:
        asked = read_responses_request(source)
        body = dumped(_written(source, asked))
        back = ChatAsResponses(ResponseObject.of(source), summary=asked.summary)
        return Translated(path=b"/v1/chat/completions", body=body, back=back)


def _written(source: Source, asked: ResponsesRequest) -> dict[str, Any]:
    return without_empty(
        {
            "model": source.model,
            "messages": write_messages(asked.system, asked.turns),
            **write_tools(asked.toolbox.tools, asked.toolbox.choice),
            **write_limit(source.model, asked.max_tokens),
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "reasoning_effort": asked.effort,
            "verbosity": asked.verbosity,
            "response_format": None if asked.form is None else _format(asked.form),
            "user": write_user(asked.user),
            "service_tier": asked.tier,
            "stream": source.stream or None,
            "stream_options": {"include_usage": True} if source.stream else None,
        }
    )


def _format(form: Form) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    return write_schema(form.schema, form.name, form.description, strict=form.strict)
