"""Turns a failure into what the caller sees of it: status, headers and body in its dialect, or the end of its stream."""

from __future__ import annotations

import math
from collections.abc import Iterable

from proxy.dialects.base import Dialect
from proxy.downstream import Sent
from proxy.errors import ClientStalled, MethodNotAllowed, ProxyError, Unauthenticated
from proxy.handler.call import Call

Headers = Iterable[tuple[bytes, bytes]]


def refusal(
    error: ProxyError, dialect: Dialect, request_id: str, headers: Headers = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of the answer to a request that failed before anything was sent."""
    lines = [(b"Content-Type", b"application/json"), *dialect.error_headers(error), *headers]
    if dialect.id_header:
        lines.append((dialect.id_header, request_id.encode()))
    if error.retry_after is not None:
        lines.append((b"Retry-After", b"%d" % max(1, math.ceil(error.retry_after))))
    if isinstance(error, Unauthenticated):
        lines.append((b"WWW-Authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        lines.append((b"Allow", ", ".join(error.allowed).encode()))
    return error.status, lines, dialect.error_body(error, request_id)


def refuse(call: Call, error: ProxyError) -> Sent:
    """Answer *call* with *error*: by status while that is possible, else at the end of its stream."""
    if call.downstream.committed:
        return cut(call, error)
    call.exchange.status = error.status
    return call.downstream.answer(*refusal(error, call.dialect, call.exchange.request_id, call.response_headers))


def cut(call: Call, error: ProxyError, told: bytes | None = None) -> Sent:
    """End a committed response so that it cannot be taken for a finished one.

    The client is told only where an event may stand: never in the middle of one. *told* replaces the dialect's own words.
    """
    stream = call.stream
    last = b""
    if (
        stream is not None
        and stream.relay.framing is call.dialect.stream_framing
        and stream.relay.between_events
        and not isinstance(error, ClientStalled)
    ):
        observer = stream.relay.observer if stream.relay.started else None
        last = told or call.dialect.error_event(error, call.exchange.request_id, observer)
    return call.downstream.cut(last)
