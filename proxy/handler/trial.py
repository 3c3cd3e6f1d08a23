"""The test stream: timed events and silences, as asked, to find out what the path between client and proxy makes of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import orjson

from proxy.dialects.keepalives import Comment
from proxy.downstream import Sent
from proxy.errors import ClientStalled
from proxy.handler.call import Call
from proxy.handler.departures import Departure, Departures
from proxy.handler.trial_plan import TrialPlan, plan_of
from proxy.headers import stream_headers
from proxy.sse.frames import SPACE

_NDJSON: Final = ((b"Content-Type", b"application/x-ndjson"),)


async def trial(call: Call, departures: Departures) -> Sent:
    """Send the events that the query asks for, each with its number and the time at which it was sent.

    A body is read and its size told in the first event. A client that comes back with the id of an event gets those behind it.
    """
    plan = plan_of(call.query)
    settings = call.runtime.settings
    await call.read_body(settings.limits, call.runtime.bodies)
    received = len(call.body)
    call.free()
    first = _resumed(call) + 1
    exchange = call.exchange
    if first > plan.count:
        exchange.status = 204  # to an EventSource it says: do not come again
        return call.downstream.answer(204, call.response_headers, b"")
    exchange.stream, exchange.status = True, 200
    call.downstream.begin(200, [*stream_headers(_NDJSON if plan.format == "ndjson" else ()), *call.response_headers])
    if call.method == b"HEAD":
        return call.downstream.finish()
    exchange.committed = time.monotonic()
    return await Trial(call, plan, departures.begin(call.slot, exchange.request_id, exchange.committed)).send(first, received)


class Trial:
    """One test stream on its way; as whoever answers on the connection it learns when the client leaves, or does not read."""

    def __init__(self, call: Call, plan: TrialPlan, departure: Departure) -> None:
        self._call = call
        self._plan = plan
        self._departure = departure
        self._began = departure.last_byte_at
        self._streaming = call.runtime.settings.streaming
        self._room = asyncio.Event()
        self._room.set()

    def __repr__(self) -> str:
        return f"<Trial {self._plan}>"

    async def send(self, first: int, received: int) -> Sent:
        """Send everything from event *first* on. *received* is the size of the request's body."""
        connection = self._call.downstream.connection
        connection.exchanging = self
        try:
            for number in range(first, self._plan.count + 1):
                await self._until(self._began + self._plan.due(number, first))
                await self._tick(number, self._context(received) if number == first else {})
            self._write(b'{"done":true}\n' if self._plan.format == "ndjson" else b"event: done\ndata: {}\n\n")
            self._departure.ended = True
        finally:
            connection.exchanging = None
        return self._call.downstream.finish()

    # ---- Exchanging

    def client_paused(self) -> None:
        """Wait with the next event."""
        self._room.clear()

    def client_resumed(self) -> None:
        """Go on."""
        self._room.set()

    def client_gone(self) -> None:
        """Remember the moment."""
        self._departure.left_at = time.monotonic()

    # ---- inside

    def _context(self, received: int) -> dict[str, Any]:
        """Return what the first event says besides: how the request arrived here, behind all that stand before."""
        request = self._call.request
        version = "{}.{}".format(*request.version)
        return {"id": self._call.exchange.request_id, "method": request.method, "http": version, "body": received}

    async def _tick(self, number: int, context: dict[str, Any]) -> None:
        now, plan = time.monotonic(), self._plan
        facts: dict[str, Any] = {"n": number, "of": plan.count, "interval": plan.interval, "unix_ms": int(time.time() * 1000)}
        facts["elapsed_ms"] = round((now - self._began) * 1000, 1)
        facts |= context
        if plan.size:
            facts["padding"] = "." * plan.size
        event = orjson.dumps(facts)
        exchange = self._call.exchange
        exchange.progress.content(now)
        exchange.progress.chunks += 1
        await self._send(event + b"\n" if plan.format == "ndjson" else b"event: tick\nid: %d\ndata: %b\n\n" % (number, event))

    async def _send(self, data: bytes) -> None:
        """Write *data*, and wait with everything else until the client has room for it. Raises ClientStalled."""
        self._write(data)
        if self._room.is_set():
            return
        try:
            async with asyncio.timeout(self._call.runtime.settings.limits.write_stall):
                await self._room.wait()
        except TimeoutError as exc:
            raise ClientStalled from exc

    async def _until(self, due: float) -> None:
        """Let time pass until *due*, with a keepalive whenever nothing was sent for its interval, if that is wanted."""
        while True:
            now = time.monotonic()
            wait = max(0.0, due - now)
            alive = self._departure.last_byte_at + self._streaming.keepalive_interval
            if not self._plan.keepalive or alive >= due:
                await asyncio.sleep(wait)
                return
            await asyncio.sleep(max(0.0, alive - now))
            await self._send(self._frame())

    def _frame(self) -> bytes:
        if self._plan.format == "ndjson":
            return SPACE
        return Comment(self._streaming.keepalive_text).frame(None, id_seen=False, wall=time.time())

    def _write(self, data: bytes) -> None:
        self._call.downstream.write(data)
        self._departure.last_byte_at = time.monotonic()


def _resumed(call: Call) -> int:
    """Return the number of the event that an EventSource says it has seen last; 0: none."""
    told = call.request.header(b"last-event-id") or ""
    return int(told) if told.isascii() and told.isdigit() and len(told) < 5 else 0
