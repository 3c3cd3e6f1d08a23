"""What an operator sees of this moment: the streams, in which phase and who makes whom wait, and the upstreams' circuits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.handler.call import Call
from proxy.handler.runtime import Runtime


def streams(in_flight: Iterable[object], now: float) -> list[dict[str, Any]]:
    """Return what `/streams` shows. *now* is the monotonic clock's."""
    views = (view(call, now) for call in in_flight if isinstance(call, Call))
    return [each for each in views if each is not None]


def upstreams(runtime: Runtime, now: float) -> list[dict[str, Any]]:
    """Return what `/upstreams` shows. *now* is the monotonic clock's."""
    return [
        {
            "name": name,
            "kind": runtime.settings.upstreams[name].kind,
            "state": each.state.name.lower(),
            "failures": each.failures,
            "open_for_s": round(each.open_for, 1),
            "cooling_for_s": round(each.cooling_for, 1),
            "in_use": runtime.backends[name].pool.in_use,
            "idle": runtime.backends[name].pool.idle,
        }
        for name, each in runtime.health.snapshot(now).items()
    ]


def view(call: Call, now: float) -> dict[str, Any] | None:
    """Return one stream as `/streams` shows it; None for a request that is none. *now* is the monotonic clock's."""
    exchange, stream = call.exchange, call.stream
    if stream is None or not exchange.stream:
        return None
    stream.account(now)
    return {
        "id": exchange.request_id,
        "subject": exchange.subject,
        "remote": exchange.remote,
        "route": exchange.route,
        "model": exchange.model,
        "upstream": exchange.upstream,
        "phase": exchange.phase.value,
        "seconds": round(now - exchange.started, 1),
        "tokens": exchange.progress.contents,
        "chunks": exchange.progress.chunks,
        "bytes": exchange.progress.bytes_out,
        "keepalives": exchange.keepalives_before + exchange.keepalives_after,
        "last_byte_s": round(now - stream.deadlines.byte_at, 1),
        "waiting_for": "client" if call.downstream.pending else "upstream",
    }
