"""The address of one hop, as it was typed: checked, and made into the addresses that the doctor asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

STREAM: Final = "/test/stream"
DEPARTURES: Final = "/test/departures/"
MASK: Final = "***"
_SCHEMES: Final = ("http", "https")
_USERINFO: Final = re.compile(r"^([^/?#]*//)?[^/?#]*@")
_ALL_TO_THE_LAST_AT: Final = re.compile(r"^([^/?#]*//)?.*@", re.DOTALL)  # what is no URL may have a password with any character
_VALUE: Final = re.compile(r"(?<==)[^&;]+|(?<![^&;])[^=&;]+(?![^&;])")  # behind its name, or all there is


@dataclass(frozen=True, slots=True)
class Target:
    """A hop. `base` is its URL without a slash at the end; for a stream of somebody else's it is the stream itself."""

    base: str
    foreign: bool = False

    def __repr__(self) -> str:
        return f"Target({self.shown!r}, foreign={self.foreign})"

    @property
    def shown(self) -> str:
        """Its URL as people may see it."""
        return shown(self.base)

    def stream(self, **query: str | float) -> str:
        """Return the URL of the test stream with this query, or the foreign stream as it is."""
        return self.base if self.foreign else f"{self.base}{STREAM}?{urlencode(query)}"

    def departure(self, request_id: str) -> str:
        """Return where it is told whether this stream's client has left."""
        return f"{self.base}{DEPARTURES}{quote(request_id, safe='')}"


def parse(text: str, *, foreign: bool = False) -> Target:
    """Read a URL. Raises ValueError with a sentence that says what is wrong."""
    named = shown(_ALL_TO_THE_LAST_AT.sub(r"\1", text))
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{named!r}: a URL has printable ASCII characters only")
    parts = _split(text if "://" in text else f"http://{text}", named)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must hold no credential: use --key, or LLM_PROXY_KEY")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{named}: only http and https can be asked")
    if not parts.hostname:
        raise ValueError(f"{named}: there is no host in it")
    if foreign:
        return Target(parts._replace(fragment="").geturl(), foreign=True)
    if parts.query:
        raise ValueError(f"{named}: the base URL is wanted, without a query (or add --url-is-stream)")
    path = parts.path.rstrip("/").removesuffix(STREAM)
    return Target(f"{parts.scheme}://{parts.netloc}{path}")


def shown(url: str) -> str:
    """Return *url*, whatever it is, as people may see it: without userinfo and fragment, and with no value of its query."""
    place, mark, query = _USERINFO.sub(r"\1", url).partition("#")[0].partition("?")
    return place + mark + _VALUE.sub(MASK, query)


def _split(text: str, named: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{named}: this is no URL") from exc
    if port == 0:
        raise ValueError(f"{named}: nothing listens on port 0")
    return parts
