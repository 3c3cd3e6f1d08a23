"""What a `RequestReader` makes of bytes, as values that can be compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from hypothesis import HealthCheck, settings

from proxy.downstream import Request
from proxy.downstream.reader import RequestReader
from proxy.downstream.request import Unreadable
from proxy.errors import ProxyError

whatever_the_fixture: Final = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Read(NamedTuple):
    """One request: its head, and what came of its body; or why it could not be read."""

    method: str
    target: bytes
    version: tuple[int, int]
    headers: tuple[tuple[bytes, bytes], ...]
    keep_alive: bool
    body: bytes
    end: str  # `whole`, `open` or `broken`
    error: type[ProxyError] | None


def feed(reader: RequestReader, *pieces: bytes) -> list[Request]:
    """Feed *pieces*, and return the requests that they held."""
    return [request for piece in pieces for request in reader.feed(piece)]


def read(requests: Iterable[Request]) -> list[Read]:
    """Return the requests as values; their bodies are taken."""
    return [_read(request) for request in requests]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return *data* in the pieces between *places*."""
    edges = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges) if start < stop]


def _read(request: Request) -> Read:
    head = (request.method, request.target, request.version, request.raw_headers, request.keep_alive)
    try:
        body = request.content.read_nowait()
    except ProxyError:
        return Read(*head, b"", "broken", None)
    error = type(request.error) if isinstance(request, Unreadable) else None
    return Read(*head, body, "whole" if request.content.ended else "open", error)
