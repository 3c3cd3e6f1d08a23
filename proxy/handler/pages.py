"""The proxy's own small answers: health, who am I, and ten timed events to prove that a path streams."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import orjson

from proxy.downstream import Sent
from proxy.errors import BadRequest
from proxy.handler.call import Call
from proxy.headers import stream_headers

JSON = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


def answer_json(call: Call, status: int, value: object) -> Sent:
    """Answer with *value* as JSON."""
    call.exchange.status = status
    return call.downstream.answer(status, [*JSON, *call.response_headers], orjson.dumps(value))


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


async def test_stream(call: Call) -> Sent:
    """Send `count` events, one every `interval` seconds, each with the time it was sent."""
    count, interval = _wanted(call.query)
    call.exchange.stream = True
    call.exchange.status = 200
    call.downstream.begin(200, [*stream_headers(), *call.response_headers])
    if call.method == b"HEAD":
        return call.downstream.finish()
    call.exchange.committed = began = time.monotonic()
    for number in range(1, count + 1):
        await asyncio.sleep(max(0.0, began + (number - 1) * interval - time.monotonic()))
        event = orjson.dumps({"n": number, "of": count, "interval": interval, "unix_ms": int(time.time() * 1000)})
        call.downstream.write(b"event: tick\ndata: %b\n\n" % event)
        call.exchange.content(time.monotonic())
        call.exchange.chunks += 1
    call.downstream.write(b"event: done\ndata: {}\n\n")
    return call.downstream.finish()


def _wanted(query: bytes) -> tuple[int, float]:
    given = dict(parse_qsl(query[1:].decode("latin-1"), keep_blank_values=True))
    try:
        count = int(given.get("count", "10"))
    except ValueError as exc:
        raise BadRequest("count must be a whole number.", param="count") from exc
    try:
        interval = float(given.get("interval", "1"))
    except ValueError as exc:
        raise BadRequest("interval must be a number of seconds.", param="interval") from exc
    if not 1 <= count <= 1000:
        raise BadRequest("count must be 1 to 1000.", param="count")
    if not 0 <= interval <= 60:
        raise BadRequest("interval must be 0 to 60 seconds.", param="interval")
    if count * interval > 3600:
        raise BadRequest("count times interval must be an hour at most.", param="count")
    return count, interval
