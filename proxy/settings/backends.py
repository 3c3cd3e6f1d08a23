"""What answers: upstreams, and the public models that lead to them."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import Field, SecretStr, SerializerFunctionWrapHandler, model_serializer, model_validator

from proxy.settings.fields import (
    BaseUrl,
    Count,
    Credential,
    Duration,
    Flag,
    Headers,
    KeepaliveText,
    NamePattern,
    PositiveDuration,
    Section,
    Text,
    UrlPath,
    WayOut,
)
from proxy.settings.values import Origin

Kind = Literal["openai", "azure", "anthropic", "gemini", "bedrock", "simulator"]
Api = Literal[
    "chat", "completions", "responses", "embeddings", "moderations", "images", "audio", "messages", "count_tokens",
    "gemini", "gemini_tokens", "converse", "invoke", "bedrock_tokens",
]  # fmt: skip
Style = Literal["auto", "comment", "comment-lf", "ping", "blank", "off"]

_ORIGINS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
# Keys that mean nothing to the other kinds, and would only look as if they worked.
_ONLY_FOR: Final = {
    "base_url": frozenset({"openai", "azure", "anthropic", "gemini"}),
    "api_version": frozenset({"azure"}),
    "region": frozenset({"bedrock"}),
    "endpoint_url": frozenset({"bedrock"}),
}


class Upstream(Section):
    """A backend and how to reach it."""

    kind: Kind
    base_url: BaseUrl | None = None
    api_key: Credential = SecretStr("")
    api_key_file: Text | None = None
    api_version: Text | None = None
    region: Text | None = None
    endpoint_url: BaseUrl | None = None
    max_connections: Count = 1000
    connect_timeout: PositiveDuration = 5.0
    headers: Headers = Field(default_factory=dict, repr=False)
    proxy: WayOut | None = None
    proxy_file: Text | None = None
    passthrough: tuple[UrlPath, ...] = ()
    apis: tuple[Api, ...] | None = None
    transparent: Flag = False

    @property
    def origin(self) -> Origin | None:
        """Where requests go; None for a simulator, and for Bedrock without `endpoint_url`, where the SDK's rules decide."""
        url = self.endpoint_url if self.kind == "bedrock" else self.base_url or _ORIGINS.get(self.kind)
        return None if url is None else Origin.parse(url)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        for key, kinds in _ONLY_FOR.items():
            if getattr(self, key) is not None and self.kind not in kinds:
                raise ValueError(f"{key} means nothing to kind {self.kind}, only to {', '.join(sorted(kinds))}: remove it")
        if self.kind == "azure" and self.base_url is None:
            raise ValueError("kind azure needs base_url, for example https://my-resource.openai.azure.com")
        return self


class Target(Section):
    """One upstream that serves a model; `model` is its name there, `{model}` in it the public name."""

    upstream: Text
    model: Text | None = None
    weight: Count | None = None

    @model_validator(mode="after")
    def _knows_one_placeholder(self) -> Self:
        if self.model is not None and any(brace in self.model.replace("{model}", "") for brace in "{}"):
            raise ValueError("the only placeholder in a target's model is {model}")
        return self


class Price(Section):
    """US dollars per million tokens."""

    input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)
    cached_input: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)


class Streaming(Section):
    """Every clock of an answer, in seconds."""

    commit_after: Duration = 5.0
    keepalive_interval: PositiveDuration = 10.0
    keepalive_style: Style = "auto"
    keepalive_text: KeepaliveText = "keepalive"
    attempt_timeout: PositiveDuration = 60.0
    first_token_timeout: PositiveDuration = 300.0
    response_timeout: PositiveDuration = 600.0
    idle_timeout: PositiveDuration = 120.0
    content_timeout: PositiveDuration = 300.0
    json_keepalive_after: Duration = 0.0
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain_limit: Duration = 10.0


class StreamingOverrides(Streaming):
    """The same keys under one model. Only those that are written there count; the defaults here mean nothing."""

    def over(self, general: Streaming) -> Streaming:
        """Return *general* with the keys that are set here."""
        return general.model_copy(update={key: getattr(self, key) for key in self.model_fields_set})

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if key in self.model_fields_set}


class Model(Section):
    """A public model name, perhaps with `*`, and what serves it, in order of preference."""

    name: NamePattern
    targets: tuple[Target, ...] = Field(min_length=1)
    drop_params: Flag = False
    ask_usage: Flag = False
    price: Price | None = None
    streaming: StreamingOverrides = StreamingOverrides()
