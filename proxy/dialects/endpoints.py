"""The model-serving paths of the public listener, and the dialect that each of them speaks.

A new API costs its dialect's file and one line in `ENDPOINTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.dialects.base import Dialect
from proxy.dialects.chat import Chat
from proxy.dialects.plain import Plain
from proxy.dialects.responses import Responses

CHAT: Final = Chat("chat")
COMPLETIONS: Final = Chat("completions")
RESPONSES: Final = Responses()
EMBEDDINGS: Final = Plain("embeddings")
PLAIN: Final = Plain("plain")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model-serving path of the public listener. `route` is its word in metrics and logs."""

    method: str
    path: str
    route: str
    dialect: Dialect
    family: str = "openai"  # the API that an upstream must speak to serve it untranslated


ENDPOINTS: Final = (
    Endpoint("POST", "/v1/chat/completions", "chat", CHAT),
    Endpoint("POST", "/v1/completions", "completions", COMPLETIONS),
    Endpoint("POST", "/v1/responses", "responses", RESPONSES),
    Endpoint("POST", "/v1/embeddings", "embeddings", EMBEDDINGS),
    Endpoint("POST", "/v1/moderations", "moderations", PLAIN),
    Endpoint("POST", "/v1/images/generations", "images", PLAIN),
    Endpoint("POST", "/v1/images/edits", "images", PLAIN),
    Endpoint("POST", "/v1/images/variations", "images", PLAIN),
    Endpoint("POST", "/v1/audio/speech", "audio", PLAIN),
    Endpoint("POST", "/v1/audio/transcriptions", "audio", PLAIN),
    Endpoint("POST", "/v1/audio/translations", "audio", PLAIN),
)
