"""What an operator sees of the streams that run at this moment: whose, where, in which phase, and who makes whom wait."""

from __future__ import annotations

from typing import Any

from proxy.handler.call import Call


def view(call: Call, now: float) -> dict[str, Any] | None:
    """Return one stream as `/streams` shows it; None for a request that is none. *now* is the monotonic clock's."""
    exchange, stream = call.exchange, call.stream
    if stream is None or not exchange.stream:
        return None
    return {
        "id": exchange.request_id,
        "subject": exchange.subject,
        "route": exchange.route,
        "model": exchange.model,
        "upstream": exchange.upstream,
        "phase": exchange.phase.value,
        "seconds": round(now - exchange.started, 1),
        "chunks": exchange.chunks,
        "bytes": exchange.bytes_out,
        "keepalives": exchange.keepalives_before + exchange.keepalives_after,
        "last_byte_s": round(now - stream.deadlines.byte_at, 1),
        "waiting_for": "client" if call.downstream.pending else "upstream",
    }
