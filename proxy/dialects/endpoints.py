"""The model-serving paths of the public listener, and the dialect that each of them speaks.

A new API costs its dialect's file and one line in `ENDPOINTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.dialects.base import Dialect
from proxy.dialects.chat import Chat
from proxy.dialects.messages import CountTokens, Messages
from proxy.dialects.plain import Plain
from proxy.dialects.responses import Responses

CHAT: Final = Chat("chat")
COMPLETIONS: Final = Chat("completions")
RESPONSES: Final = Responses()
EMBEDDINGS: Final = Plain("embeddings")
MESSAGES: Final = Messages()
COUNT_TOKENS: Final = CountTokens()
PLAIN: Final = Plain("plain")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model-serving path of the public listener.

    `{name}` in the path stands for a part of one segment, percent-decoded in what the dialect gets of it. `route` is the
    endpoint's word in metrics and logs, `api` what an upstream must speak to serve it untranslated.
    """

    method: str
    path: str
    route: str
    dialect: Dialect
    api: str
    canonical: str = ""  # where the API itself has it; empty: where it was asked for


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", "chat", CHAT, "chat"),
    Endpoint("POST", "/v1/completions", "completions", COMPLETIONS, "completions"),
    Endpoint("POST", "/v1/responses", "responses", RESPONSES, "responses"),
    Endpoint("POST", "/v1/embeddings", "embeddings", EMBEDDINGS, "embeddings"),
    Endpoint("POST", "/v1/messages", "messages", MESSAGES, "messages"),
    Endpoint("POST", "/v1/messages/count_tokens", "count_tokens", COUNT_TOKENS, "count_tokens"),
    Endpoint("POST", "/v1/moderations", "moderations", PLAIN, "moderations"),
    Endpoint("POST", "/v1/images/generations", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/images/edits", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/images/variations", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/audio/speech", "audio", PLAIN, "audio"),
    Endpoint("POST", "/v1/audio/transcriptions", "audio", PLAIN, "audio"),
    Endpoint("POST", "/v1/audio/translations", "audio", PLAIN, "audio"),
)
