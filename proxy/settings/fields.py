"""The field types of the configuration: each reads one kind of text, and writes it again with secrets masked.

A field takes the text of the file, or, from Python, the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from proxy.settings.values import (
    Address,
    ForwardProxy,
    Origin,
    duration,
    duration_text,
    flag,
    is_loopback,
    name_pattern,
    size,
    size_text,
    visible,
)

Network = IPv4Network | IPv6Network

MASK: Final = "***"

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_WEB_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*A-Z]+")
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80")
_FRAMING: Final = {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


def _defaults_as_written(schema: dict[str, Any], section: type[BaseModel]) -> None:
    """Show each default of a section in its JSON Schema as a file has it, `10s` and not 10.0, and none that comes from elsewhere."""
    written = section.model_construct().model_dump(mode="json")
    for name, shown in schema["properties"].items():
        default = {"default": written[name]} if "default" in shown and name in written else {}
        shown.pop("default", None)
        shown.update(default)


class Section(BaseModel):
    """A mapping of the configuration. Unknown keys are refused; `null` means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, json_schema_extra=_defaults_as_written)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {key: value for key, value in data.items() if value is not None or key not in optional}


def _text(value: Any, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(expected)  # noqa: TRY004 - pydantic lets a TypeError through
    return value


def _reads(parse: Callable[[str], object], kind: type | tuple[type, ...], expected: str) -> PlainValidator:
    def read(value: object) -> object:
        return value if isinstance(value, kind) and not isinstance(value, bool) else parse(_text(value, expected))

    return PlainValidator(read)


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("expected more than 0")
    return value


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError("expected an address or a network such as 10.0.0.0/8, without bits set behind the prefix") from None


def _boolean(value: Any) -> Any:
    return flag(value) if isinstance(value, str) else value


def _label(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("expected at most 64 letters, digits, or . _ @ + - between them")
    return text


def _base_url(text: str) -> str:
    Origin.parse(text)
    return text


def _keys_url(text: str) -> str:
    """Keys fetched over plain http could be anybody's, except from this machine."""
    origin = Origin.parse(text.partition("?")[0])
    if origin.scheme != "https" and not is_loopback(origin.host):
        raise ValueError("expected an https URL (http only to this machine)")
    if "#" in text or not visible(text):
        raise ValueError("expected a URL without a fragment")
    return text


def _web_origin(text: str) -> str:
    if not _WEB_ORIGIN.fullmatch(text):
        raise ValueError("expected one exact origin, lower case and without a path, such as https://app.example.com; never *")
    if _DEFAULT_PORT.fullmatch(text):
        raise ValueError("browsers leave the default port out of the origin: leave it out here")
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or not visible(text) or any(char in text for char in "?#\\"):
        raise ValueError("expected a path that begins with / and has no query, spaces or backslashes")
    if any(part in {".", ".."} for part in text.split("/")):
        raise ValueError("expected a path without . or .. segments")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise ValueError("expected the 64 hex digits of a SHA-256, as `llm-proxy key` prints them (never the key itself)")
    return text.lower()


def _cookie(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError("expected a cookie name")
    return text


def _keepalive_text(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 200:
        raise ValueError("expected 1 to 200 printable characters on one line")
    if text.lstrip().lower().startswith("ping"):
        raise ValueError("must not begin with ping: some clients take that for the end of the stream")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as exc:
        raise ValueError(f"expected a regular expression: {exc.msg}") from None
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name is letters, digits and hyphens")
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} belongs to the connection and cannot be set here")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(f"the value of {name} must be ASCII on one line, without spaces around it")
    return headers


def _store(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    sqlite = parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1
    if not sqlite and not (parts.scheme == "postgresql" and parts.netloc):
        raise ValueError("expected sqlite:///data/usage.db or postgresql://user:password@host/db")
    if not sqlite and find_spec("asyncpg") is None:
        raise ValueError("PostgreSQL needs a driver that is not installed: pip install 'llm-stream-proxy[postgres]'")
    return secret


def _credential(secret: SecretStr) -> SecretStr:
    if not visible(secret.get_secret_value()):
        raise ValueError("a credential holds no spaces, line breaks or characters beyond ASCII")
    return secret


def _masked(secret: SecretStr | None) -> str | None:
    return None if secret is None else MASK if secret else ""


_AS_TEXT: Final = PlainSerializer(str, when_used="json-unless-none")
_MASKED: Final = PlainSerializer(_masked, when_used="json")
_DURATION: Final = "expected a duration such as 250ms, 10s, 5m or 2h"

Duration = Annotated[
    float,
    _reads(duration, (int, float), _DURATION),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["250ms", "10s", "5m", "2h"]}),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[
    int,
    _reads(size, (int,), "expected a size such as 16KiB or 32MiB"),
    AfterValidator(_positive),
    PlainSerializer(size_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(B|KiB|MiB|GiB)$", "examples": ["16KiB", "32MiB"]}),
]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Count = Annotated[int, Field(ge=1)]
Listen = Annotated[
    Address,
    _reads(Address.parse, Address, "expected host:port, for example 127.0.0.1:8080"),
    _AS_TEXT,
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8080", "[::1]:8080"]}),
]
TrustedNetwork = Annotated[
    Network,
    _reads(_network, (IPv4Network, IPv6Network), "expected a network such as 10.0.0.0/8"),
    _AS_TEXT,
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1/32", "::1/128"]}),
]
WayOut = Annotated[
    ForwardProxy,
    _reads(ForwardProxy.parse, ForwardProxy, "expected http://user:password@host:port"),
    _AS_TEXT,
    WithJsonSchema({"type": "string", "examples": ["http://user:password@host:3128"]}),
]
Secret = Annotated[SecretStr, _MASKED]
Credential = Annotated[Secret, AfterValidator(_credential)]
Store = Annotated[Secret, AfterValidator(_store)]
Label = Annotated[str, AfterValidator(_label)]
Text = Annotated[str, Field(min_length=1)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
KeysUrl = Annotated[str, AfterValidator(_keys_url)]
WebOrigin = Annotated[str, AfterValidator(_web_origin)]
UrlPath = Annotated[str, AfterValidator(_path)]
Digest = Annotated[str, AfterValidator(_digest)]
CookieName = Annotated[str, AfterValidator(_cookie)]
NamePattern = Annotated[str, AfterValidator(name_pattern)]
KeepaliveText = Annotated[str, AfterValidator(_keepalive_text)]
RegularExpression = Annotated[str, AfterValidator(_pattern)]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    PlainSerializer(lambda headers: dict.fromkeys(headers, MASK), when_used="json"),
]
