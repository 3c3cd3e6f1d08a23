"""Finds the endpoint for a method and a path in the routes of all dialects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from proxy.errors import MethodNotAllowed, NotFound
from proxy.simulator.dialect import Dialect, Route


class Routes:
    """The table of routes; the first that fits wins."""

    __slots__ = ("_patterns",)

    def __init__(self, routes: Iterable[Route]) -> None:
        self._patterns = [(re.compile(_pattern(route.path)), route) for route in routes]

    def dialect(self, path: str) -> Dialect | None:
        """Return the dialect that answers at *path*, whatever the method; None: nothing does."""
        return next((route.dialect for pattern, route in self._patterns if pattern.fullmatch(path)), None)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and its parameters, percent-decoded. Raises NotFound and MethodNotAllowed."""
        fitting = [(route, found) for pattern, route in self._patterns if (found := pattern.fullmatch(path))]
        if not fitting:
            raise NotFound
        for route, found in fitting:
            if route.method == method:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        raise MethodNotAllowed(tuple(route.method for route, _ in fitting))


def _pattern(path: str) -> str:
    """Return the expression for a path in which `{name}` stands for one segment."""
    parts = re.split(r"\{(\w+)\}", path)
    return "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
