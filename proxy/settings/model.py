"""The configuration as one frozen value: the names, units and defaults of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from proxy.settings.backends import Model, Streaming, Upstream
from proxy.settings.clients import Auth, Cors
from proxy.settings.consistency import contradictions
from proxy.settings.fields import (
    Count,
    Duration,
    Flag,
    KeepaliveText,
    Label,
    Listen,
    PositiveDuration,
    RegularExpression,
    Section,
    Size,
    Store,
    Text,
    TrustedNetwork,
    UrlPath,
)
from proxy.settings.values import Address

Status = Annotated[int, Field(ge=400, le=599)]


class Admin(Section):
    """The second listener, for operators."""

    listen: Listen = Address("127.0.0.1", 9090)


class Limits(Section):
    """What one client, one connection and one process may use."""

    body: Size = 32 << 20
    bodies: Size = 512 << 20
    header_timeout: PositiveDuration = 10.0
    keepalive_timeout: PositiveDuration = 650.0
    body_timeout: PositiveDuration = 60.0
    streams: Count = 10_000
    streams_per_subject: Count = 100
    stream_age: PositiveDuration = 7200.0
    write_stall: PositiveDuration = 60.0


class Retry(Section):
    """When and how often a failed attempt is followed by another."""

    attempts: Count = 3
    statuses: tuple[Status, ...] = (429, 500, 502, 503, 504, 529)
    max_body: Size = 4 << 20
    backoff_base: PositiveDuration = 0.25
    backoff_cap: PositiveDuration = 8.0
    budget_ratio: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    budget_floor: int = Field(default=3, ge=0)
    honour_retry_after: Duration = 30.0

    @model_validator(mode="after")
    def _cap_is_not_below_base(self) -> Self:
        if self.backoff_cap < self.backoff_base:
            raise ValueError("backoff_cap must not be shorter than backoff_base")
        return self


class Circuit(Section):
    """When an upstream is left alone for a while."""

    failures: Count = 5
    open_for: PositiveDuration = 30.0


class Drain(Section):
    """How the process ends."""

    grace: Duration = 5.0
    deadline: Duration = 120.0


class ChatEndpoint(Section):
    """A simple endpoint for apps and browsers."""

    path: UrlPath
    model: Text
    message_field: Text = "message"
    max_chars: Count = 4000
    session_field: Text | None = None
    session_pattern: RegularExpression | None = None
    system: Text | None = None
    events: Literal["token", "message", "ndjson", "openai"] = "token"
    keepalive_text: KeepaliveText | None = None


class Diagnostics(Section):
    """The paths that prove that streaming works."""

    public: Flag = False


class Usage(Section):
    """Where the record of finished requests is kept."""

    store: Store | None = None
    store_file: Text | None = None
    retention: PositiveDuration = 30 * 86400.0


class Log(Section):
    """How the process speaks to its operator."""

    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """The whole configuration, consistent in itself. `source` says where it came from."""

    listen: Listen = Address("127.0.0.1", 8080)
    workers: int = Field(default=1, ge=1, le=256)
    worker_timeout: PositiveDuration = 30.0
    trusted_proxies: tuple[TrustedNetwork, ...] = (ip_network("127.0.0.1/32"), ip_network("::1/128"))
    admin: Admin = Admin()
    auth: Auth = Auth()
    cors: Cors = Cors()
    limits: Limits = Limits()
    streaming: Streaming = Streaming()
    retry: Retry = Retry()
    circuit: Circuit = Circuit()
    drain: Drain = Drain()
    upstreams: dict[Label, Upstream] = Field(default_factory=dict)
    models: tuple[Model, ...] = ()
    chat_endpoints: tuple[ChatEndpoint, ...] = ()
    diagnostics: Diagnostics = Diagnostics()
    usage: Usage = Usage()
    log: Log = Log()
    _source: str = PrivateAttr(default="code")

    @property
    def source(self) -> str:
        """Where it came from: a file's path, or `environment`."""
        return self._source

    @property
    def anonymous_allowed(self) -> bool:
        """Whether a request without a credential is served; without `allow_anonymous` that means on loopback only."""
        return self.auth.allow_anonymous or not self.auth.configured

    def exposed_at(self, address: Address) -> bool:
        """Tell whether everybody who reaches *address* would be served although nobody has asked for that."""
        return self.anonymous_allowed and not self.auth.allow_anonymous and not address.is_loopback

    def streaming_for(self, model: Model) -> Streaming:
        """Return the clocks of *model*: its own where it has any, the general ones otherwise."""
        return model.streaming.over(self.streaming)

    def masked(self) -> dict[str, Any]:
        """Return the configuration ready for JSON, each secret as `***`."""
        return self.model_dump(mode="json")

    def model_post_init(self, context: Any, /) -> None:
        """Take the source from the validation's context."""
        if isinstance(context, Mapping):
            self._source = str(context.get("source", self._source))

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Report contradictions between sections together with what is wrong inside of them."""
        errors = [_error("contradiction", message, path) for path, message in contradictions(data)]
        try:
            settings = handler(data)
        except ValidationError as exc:
            errors += [_error(each["type"], each["msg"], each["loc"], each.get("ctx")) for each in exc.errors(include_url=False)]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return settings


def _error(kind: str, message: str, path: tuple[str | int, ...], context: dict[str, Any] | None = None) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message, context), loc=path, input=None)
