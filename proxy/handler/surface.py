"""What the public listener serves: a small table over the raw bytes of the path, decided once and never normalised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.dialects import ENDPOINTS, PLAIN, Endpoint
from proxy.dialects.base import Dialect
from proxy.errors import MethodNotAllowed, NotFound

UPSTREAM: Final = b"/upstream/"
MODELS: Final = b"/v1/models"


@dataclass(frozen=True, slots=True)
class Match:
    """What a request asks for. `rest` is the variable part of its path: a model id, or what follows the upstream's name."""

    page: str  # model, models, upstream, health, ping, test
    route: str  # the endpoint's word in metrics and logs
    dialect: Dialect
    family: str = ""
    name: str = ""
    rest: bytes = b""


class Surface:
    """The table of paths."""

    def __init__(self, endpoints: Iterable[Endpoint] = ENDPOINTS) -> None:
        self._exact: dict[tuple[bytes, bytes], Match] = {}
        for endpoint in endpoints:
            match = Match("model", endpoint.route, endpoint.dialect, family=endpoint.family)
            self._exact[endpoint.method.encode(), endpoint.path.encode()] = match
        for path, page in ((b"/healthz", "health"), (b"/auth/ping", "ping"), (b"/test/stream", "test"), (MODELS, "models")):
            for method in (b"GET", b"HEAD"):
                self._exact[method, path] = Match(page, "models" if page == "models" else page, PLAIN)

        self.paths = frozenset(path for _, path in self._exact)

    def match(self, method: bytes, path: bytes) -> Match:
        """Return what *path* stands for. Raises NotFound, or MethodNotAllowed."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        if path.startswith(UPSTREAM):
            name, slash, rest = path[len(UPSTREAM) :].partition(b"/")
            return Match("upstream", "upstream", PLAIN, name=name.decode("latin-1"), rest=slash + rest)
        if path.startswith(MODELS + b"/"):
            if method not in (b"GET", b"HEAD"):
                raise MethodNotAllowed(("GET", "HEAD"))
            return Match("models", "models", PLAIN, rest=path[len(MODELS) + 1 :])
        allowed = tuple(sorted(other.decode() for other, served in self._exact if served == path))
        if allowed:
            raise MethodNotAllowed(allowed)
        raise NotFound
