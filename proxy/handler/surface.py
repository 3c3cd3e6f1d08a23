"""What the public listener serves: a small table over the raw bytes of the path, decided once and never normalised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.dialects import CONVERSE, ENDPOINTS, GEMINI, MESSAGES, PLAIN, Endpoint
from proxy.dialects.base import Dialect
from proxy.errors import MethodNotAllowed, NotFound

UPSTREAM: Final = b"/upstream/"
# Where the list of models is, and in whose words; the last is Azure's.
MODELS: Final = ((b"/v1/models", PLAIN), (b"/v1beta/models", GEMINI), (b"/openai/v1/models", PLAIN))
STREAMS: Final = b"/streams/"
DEPARTURES: Final = b"/test/departures/"
TICKETS: Final = b"/auth/tickets"

# An upstream is asked with any method but TRACE, whose answer would repeat to the client what only the upstream may see (RFC 9110 9.3.8).
_PASSED_ON: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

# Whose clients ask there, also for what is not served: they should be able to read why they get none.
_WORDS: Final = ((b"/v1/messages", MESSAGES), (b"/v1beta/", GEMINI), (b"/model/", CONVERSE))


@dataclass(frozen=True, slots=True)
class Match:
    """What a request asks for. `rest` is the variable part of its path: a model id, or what follows the upstream's name.

    `parts` are the placeholders of an endpoint's path, percent-decoded; `canonical` is where the API itself has it.
    """

    page: str  # model, models, upstream, health, ping, test, departure, stream-check, tickets, stop
    route: str  # the endpoint's word in metrics and logs
    dialect: Dialect
    api: str = ""
    canonical: bytes = b""
    parts: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    rest: bytes = b""


class Surface:
    """The table of paths."""

    def __init__(self, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
        self._exact: dict[tuple[bytes, bytes], Match] = {}
        self._patterns: list[tuple[bytes, re.Pattern[bytes], Match]] = []
        for endpoint in endpoints:
            method, canonical = endpoint.method.encode(), endpoint.canonical.encode()
            match = Match("model", endpoint.route, endpoint.dialect, api=endpoint.api, canonical=canonical)
            if "{" in endpoint.path:
                self._patterns.append((method, _pattern(endpoint.path), match))
            else:
                self._exact[method, endpoint.path.encode()] = match
        pages = (
            (b"/healthz", "health"),
            (b"/auth/ping", "ping"),
            (b"/test/stream", "test"),
            (b"/stream-check", "stream-check"),
        )
        for method in (b"GET", b"HEAD"):
            for path, page in pages:
                self._exact[method, path] = Match(page, page, PLAIN)
            for path, dialect in MODELS:
                self._exact[method, path] = Match("models", "models", dialect)
        self._exact[b"POST", b"/test/stream"] = Match("test", "test", PLAIN)
        self._exact[b"POST", TICKETS] = Match("tickets", "tickets", PLAIN)
        self.paths = frozenset(path for _, path in self._exact)

    def match(self, method: bytes, path: bytes) -> Match:
        """Return what *path* stands for. Raises NotFound, or MethodNotAllowed."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        if path.startswith(UPSTREAM):
            return _named_upstream(method, path)
        if path.startswith(STREAMS):
            if method != b"DELETE":
                raise MethodNotAllowed(("DELETE",))
            return Match("stop", "stop", PLAIN, rest=path[len(STREAMS) :])
        if path.startswith(DEPARTURES):
            if method not in (b"GET", b"HEAD"):
                raise MethodNotAllowed(("GET", "HEAD"))
            return Match("departure", "test", PLAIN, rest=path[len(DEPARTURES) :])
        found = self._by_pattern(method, path)
        if found is not None:
            return found
        allowed = [other for other, served in self._exact if served == path]
        allowed += [other for other, pattern, _ in self._patterns if pattern.fullmatch(path)]
        if allowed:
            raise MethodNotAllowed(tuple(sorted({other.decode() for other in allowed})))
        return self._one_model(method, path)

    def words(self, path: bytes, otherwise: Dialect) -> Dialect:
        """Return in whose words it is told that *path* stands for nothing, or not with this method."""
        return next((dialect for prefix, dialect in _WORDS if path.startswith(prefix)), otherwise)

    def _one_model(self, method: bytes, path: bytes) -> Match:
        for models, dialect in MODELS:
            if path.startswith(models + b"/"):
                if method not in (b"GET", b"HEAD"):
                    # behind a colon stands what is to be done with the model, and that is not served
                    raise NotFound if b":" in path else MethodNotAllowed(("GET", "HEAD"))
                return Match("models", "models", dialect, rest=path[len(models) + 1 :])
        raise NotFound

    def _by_pattern(self, method: bytes, path: bytes) -> Match | None:
        for served, pattern, match in self._patterns:
            found = pattern.fullmatch(path) if served == method else None
            if found is not None:
                return replace(match, parts={name: _decoded(value) for name, value in found.groupdict().items()})
        return None


def _named_upstream(method: bytes, path: bytes) -> Match:
    if method == b"TRACE":
        raise MethodNotAllowed(_PASSED_ON)
    name, slash, rest = path[len(UPSTREAM) :].partition(b"/")
    return Match("upstream", "upstream", PLAIN, name=name.decode("latin-1"), rest=slash + rest)


def _pattern(path: str) -> re.Pattern[bytes]:
    """Return the expression for a path in which `{name}` stands for a part of one segment."""
    pieces = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(f"(?P<{each}>[^/]+)" if index % 2 else re.escape(each) for index, each in enumerate(pieces)).encode()
    )


def _decoded(value: bytes) -> str:
    # bytes that are no UTF-8 name no model; as surrogates they match none either
    return unquote_to_bytes(value).decode("utf-8", "surrogateescape")
