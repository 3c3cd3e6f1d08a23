"""The model-serving paths of the public listener, and the dialect that each of them speaks.

A new API costs its dialect's file and its lines in `ENDPOINTS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from proxy.dialects.base import Dialect
from proxy.dialects.bedrock import BedrockTokens, Converse, Invoke
from proxy.dialects.chat import Chat
from proxy.dialects.gemini import Gemini
from proxy.dialects.messages import CountTokens, Messages
from proxy.dialects.plain import Plain
from proxy.dialects.responses import Responses

CHAT: Final = Chat("chat")
COMPLETIONS: Final = Chat("completions")
RESPONSES: Final = Responses()
EMBEDDINGS: Final = Plain("embeddings")
MESSAGES: Final = Messages()
COUNT_TOKENS: Final = CountTokens()
CONVERSE: Final = Converse()
CONVERSE_STREAM: Final = Converse(stream=True)
INVOKE: Final = Invoke()
INVOKE_STREAM: Final = Invoke(stream=True)
BEDROCK_TOKENS: Final = BedrockTokens()
PLAIN: Final = Plain("plain")
GEMINI: Final = Gemini("gemini")
GEMINI_STREAM: Final = Gemini("gemini_stream", stream=True)


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


_OF_AZURE: Final = ("chat", "completions", "responses", "embeddings", "images", "audio")
_ONE_PATH: Final = (
    Endpoint("POST", "/v1/chat/completions", "chat", CHAT, "chat"),
    Endpoint("POST", "/v1/completions", "completions", COMPLETIONS, "completions"),
    Endpoint("POST", "/v1/responses", "responses", RESPONSES, "responses"),
    Endpoint("POST", "/v1/embeddings", "embeddings", EMBEDDINGS, "embeddings"),
    Endpoint("POST", "/v1/messages", "messages", MESSAGES, "messages"),
    Endpoint("POST", "/v1/messages/count_tokens", "count_tokens", COUNT_TOKENS, "count_tokens"),
    Endpoint("POST", "/model/{model}/converse", "bedrock", CONVERSE, "converse"),
    Endpoint("POST", "/model/{model}/converse-stream", "bedrock", CONVERSE_STREAM, "converse"),
    Endpoint("POST", "/model/{model}/invoke", "bedrock", INVOKE, "invoke"),
    Endpoint("POST", "/model/{model}/invoke-with-response-stream", "bedrock", INVOKE_STREAM, "invoke"),
    Endpoint("POST", "/model/{model}/count-tokens", "bedrock", BEDROCK_TOKENS, "bedrock_tokens"),
    Endpoint("POST", "/v1/moderations", "moderations", PLAIN, "moderations"),
    Endpoint("POST", "/v1/images/generations", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/images/edits", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/images/variations", "images", PLAIN, "images"),
    Endpoint("POST", "/v1/audio/speech", "audio", PLAIN, "audio"),
    Endpoint("POST", "/v1/audio/transcriptions", "audio", PLAIN, "audio"),
    Endpoint("POST", "/v1/audio/translations", "audio", PLAIN, "audio"),
)


def _gemini(version: str) -> tuple[Endpoint, ...]:
    """Return Gemini's paths under one of its versions: the SDKs differ about which is theirs."""
    models = f"/{version}/models/{{model}}"
    return (
        Endpoint("POST", f"{models}:generateContent", "gemini", GEMINI, "gemini"),
        Endpoint("POST", f"{models}:streamGenerateContent", "gemini", GEMINI_STREAM, "gemini"),
        Endpoint("POST", f"{models}:countTokens", "gemini", GEMINI, "gemini_tokens"),
    )


def _azure(endpoint: Endpoint) -> tuple[Endpoint, ...]:
    """Return where clients of Azure look for one of OpenAI's paths: its own form of them, and the newer one."""
    path = endpoint.path.removeprefix("/v1")
    # responses name their model in the body, there too
    older = f"/openai{path}" if endpoint.api == "responses" else f"/openai/deployments/{{deployment}}{path}"
    return tuple(replace(endpoint, path=other, canonical=endpoint.path) for other in (older, f"/openai/v1{path}"))


ENDPOINTS: Final = (
    *_ONE_PATH,
    *_gemini("v1beta"),
    *_gemini("v1"),
    *(path for endpoint in _ONE_PATH if endpoint.api in _OF_AZURE for path in _azure(endpoint)),
)
