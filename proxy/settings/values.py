"""The small values of a configuration: addresses, origins, forward proxies, durations, sizes and name patterns.

Each parser raises ValueError with a sentence that says what was expected and never repeats what it was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB)")
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `host` has no brackets; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[::1]:port`."""
        host, colon, port = text.rpartition(":")
        if "/" in text:
            raise ValueError("expected host:port without a scheme or a path, for example 127.0.0.1:8080")
        if not colon:
            raise ValueError("expected host:port, for example 127.0.0.1:8080")
        if not host:
            raise ValueError("the host is missing: write 127.0.0.1:8080 for this machine only, 0.0.0.0:8080 for every interface")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError("put an IPv6 address in brackets, for example [::1]:8080")
        return cls(_host(host), _port(port, lowest=0))

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a backend is: scheme, host without brackets, port, and the path in front of the API's own, without a trailing slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an http or https URL; the path is kept byte for byte."""
        parts = _split(text, ("http", "https"), "https://api.openai.com/v1")
        if "@" in parts.netloc:
            raise ValueError("a URL with a user or a password is not accepted: put the credential into api_key")
        if "?" in text or "#" in text:
            raise ValueError("expected a URL without a query or a fragment")
        port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
        return cls(parts.scheme, _host(parts.hostname or ""), port, parts.path.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """The value of the Host header: the default port is left out."""
        host = bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, repr=False)
class ForwardProxy:
    """An HTTP proxy on the way out. The credential never prints."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `http://user:password@host:port`; user and password may be percent-encoded."""
        parts = _split(text, ("http",), "http://user:password@host:port")
        if parts.path not in {"", "/"} or "?" in text or "#" in text:
            raise ValueError("expected http://user:password@host:port and nothing behind the port")
        if parts.port is None:
            raise ValueError("the port is missing, expected for example http://host:3128")
        return cls(_host(parts.hostname or ""), parts.port, _plain(parts.username), _plain(parts.password))

    def __str__(self) -> str:
        secret = "***@" if self.username is not None else ""
        return f"http://{secret}{bracketed(self.host)}:{self.port}"

    def __repr__(self) -> str:
        return f"ForwardProxy({str(self)!r})"


def duration(text: str) -> float:
    """Read `250ms`, `10s`, `5m`, `2h` or `30d` as seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        alone = text.replace(".", "", 1).isdecimal()
        raise ValueError(("a number alone has no unit: " if alone else "") + "expected a duration such as 250ms, 10s, 5m or 2h")
    return round(float(match[1]) * _SECONDS[match[2]], 6)


def duration_text(seconds: float) -> str:
    """Write *seconds* in the largest unit that divides them."""
    millis = round(seconds * 1000)
    if millis == 0:
        return "0s"
    unit = next((unit for unit in ("d", "h", "m", "s") if millis % (_SECONDS[unit] * 1000) == 0), "ms")
    return f"{round(millis / (_SECONDS[unit] * 1000))}{unit}"


def size(text: str) -> int:
    """Read `512B`, `16KiB`, `32MiB` or `1GiB` as bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected a size such as 512B, 16KiB, 32MiB or 1GiB")
    return int(match[1]) * _BYTES[match[2]]


def size_text(amount: int) -> str:
    """Write *amount* bytes in the largest unit that divides them."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if amount % _BYTES[unit] == 0 and (amount or unit == "B"))
    return f"{amount // _BYTES[unit]}{unit}"


def flag(text: str) -> bool:
    """Read `true` or `false`, also in YAML's older spellings."""
    word = text.lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("expected true or false")


def name_pattern(text: str) -> str:
    """Check a model name in which `*` stands for any characters."""
    if not text or not text.isprintable() or " " in text:
        raise ValueError("expected a name without spaces")
    if any(char in text for char in "?[]{}"):
        raise ValueError("the only wildcard is *, which stands for any characters")
    return text


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine, judged without asking a name server."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bracketed(host: str) -> str:
    """Return *host* as it is written before a port."""
    return f"[{host}]" if ":" in host else host


def visible(text: str) -> bool:
    """Tell whether *text* is ASCII without spaces and control characters, as a URL or a credential must be."""
    return text.isascii() and text.isprintable() and " " not in text


def _split(text: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    if not visible(text) or "\\" in text:
        raise ValueError("a URL holds no spaces, backslashes or characters beyond ASCII (write those percent-encoded)")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"expected a URL with a valid host and port, for example {example}") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"expected a URL such as {example}")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    return parts


def _host(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return str(IPv6Address(bare)) if ":" in bare else _name(bare)
    except ValueError:
        raise ValueError("expected a host name or an IP address") from None


def _name(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError
    return text.lower()


def _port(text: str, *, lowest: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and lowest <= int(text) <= 65535):
        raise ValueError(f"expected a port between {lowest} and 65535")
    return int(text)


def _plain(text: str | None) -> str | None:
    return None if text is None else unquote(text)
