"""The address of one hop, as it was typed: checked, and made into the addresses that the doctor asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

STREAM: Final = "/test/stream"
DEPARTURES: Final = "/test/departures/"
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Target:
    """A hop. `base` is its URL without a slash at the end; for a stream of somebody else's it is the stream itself."""

    base: str
    foreign: bool = False

    def stream(self, **query: str | float) -> str:
        """Return the URL of the test stream with this query, or the foreign stream as it is."""
        return self.base if self.foreign else f"{self.base}{STREAM}?{urlencode(query)}"

    def departure(self, request_id: str) -> str:
        """Return where it is told whether this stream's client has left."""
        return f"{self.base}{DEPARTURES}{quote(request_id, safe='')}"


def parse(text: str, *, foreign: bool = False) -> Target:
    """Read a URL. Raises ValueError with a sentence that says what is wrong."""
    parts = _split(text if "://" in text else f"http://{text}")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{text}: only http and https can be asked")
    if not parts.hostname:
        raise ValueError(f"{text}: there is no host in it")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must hold no credential: use --key, or LLM_PROXY_KEY")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: a URL has printable ASCII characters only")
    if foreign:
        return Target(parts._replace(fragment="").geturl(), foreign=True)
    if parts.query:
        raise ValueError(f"{text}: the base URL is wanted, without a query (or add --url-is-stream)")
    path = parts.path.rstrip("/").removesuffix(STREAM)
    return Target(f"{parts.scheme}://{parts.netloc}{path}")


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{text}: this is no URL") from exc
    if port == 0:
        raise ValueError(f"{text}: nothing listens on port 0")
    return parts
