"""The proxy's own small answers: health, and who am I."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from proxy.downstream import Sent
from proxy.handler.call import Call

JSON = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


def answer_json(call: Call, status: int, value: object) -> Sent:
    """Answer with *value* as JSON."""
    call.exchange.status = status
    return call.downstream.answer(status, [*JSON, *call.response_headers], orjson.dumps(value))


def no_more(call: Call) -> Sent:
    """Turn away an EventSource that was cut and connects again by itself: it would get, and cost, the whole answer once more.

    Only a 204 makes it stop in silence (WHATWG HTML, 9.2.3).
    """
    call.exchange.status = 204
    return call.downstream.answer(204, call.response_headers, b"")


def health(call: Call, *, serving: bool) -> Sent:
    """Answer a load balancer: 200, or 503 while the process is about to stop."""
    return answer_json(call, 200 if serving else 503, {"status": "ok" if serving else "draining"})


def ping(call: Call) -> Sent:
    """Say who the caller is to this proxy."""
    principal = call.principal
    assert principal is not None
    expires = principal.expires_at
    told = None if expires is None else datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    models = list(principal.models) if principal.models is not None else ["*"]
    return answer_json(call, 200, {"subject": principal.subject, "models": models, "expires_at": told})
