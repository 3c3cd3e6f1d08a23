"""Plays one scripted reply on one connection, step by step, and notes what was sent when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import assert_never

from tests.support.http1 import chunk, fields, last_chunk
from tests.support.steps import Close, Drip, Fin, Gate, Hang, Informational, Pause, Reply, Rst, Send, Step
from tests.support.wire import Bell, How, Piece, Wire

PassGate = Callable[[str], Awaitable[None]]


class Connection(Wire):
    """One connection of a peer to the upstream."""

    def __init__(self, accepted: Callable[[Connection], None], bell: Bell) -> None:
        """*accepted* is called when the connection is made, *bell* rung when it ends."""
        super().__init__()
        self.index = -1
        self.requests = 0
        self.idle = True
        self.sent: list[Piece] = []  # what the steps sent, without framing; `at` is the time of the write
        self.sent_bytes = 0  # on the wire, as far as the kernel took them
        self.serving: asyncio.Task[None] | None = None
        self._accepted = accepted
        self._upstream_bell = bell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accepted(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.serving is not None:
            self.serving.cancel()

    def _end(self, how: How) -> None:
        super()._end(how)
        self._upstream_bell.ring()

    async def write(self, data: bytes) -> float:
        at = await super().write(data)
        self.sent_bytes += len(data)
        return at


class Player:
    """Plays one reply on one connection."""

    def __init__(self, connection: Connection, reply: Reply, method: str, pass_gate: PassGate) -> None:
        """*method* is the request's; *pass_gate* returns when the gate of that name is open."""
        self._connection = connection
        self._reply = reply
        self._bodiless = reply.bodiless(method)
        self._head = reply.head_bytes(method)
        self._pass_gate = pass_gate

    async def play(self) -> bool:
        """Go through all of it; False when a step has ended the connection."""
        reply = self._reply
        return (
            await self._steps(reply.before)
            and await self._write(self._head)
            and await self._steps(reply.body)
            and await self._end()
            and await self._steps(reply.after)
        )

    async def _steps(self, steps: Iterable[Step]) -> bool:
        for step in steps:
            if not await self._step(step):
                return False
        return True

    async def _step(self, step: Step) -> bool:
        match step:
            case bytes():
                await self._send(step, raw=False)
            case Send(data, raw):
                await self._send(data, raw)
            case Drip():
                await self._drip(step)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Gate(name):
                await self._pass_gate(name)
            case Informational(status, headers):
                await self._write(f"HTTP/1.1 {status} Informational\r\n".encode() + fields(headers) + b"\r\n")
            case Fin() | Close() | Rst() | Hang():
                self._leave(step)
                return False
            case _:
                assert_never(step)
        return True

    def _leave(self, step: Fin | Close | Rst | Hang) -> None:
        connection = self._connection
        if isinstance(step, Fin):
            connection.fin(notify=step.notify)
            connection.resume()  # a lingering close: what still comes is read, so that no RST destroys the answer
        elif isinstance(step, Close):
            connection.close()
        elif isinstance(step, Rst):
            connection.reset()

    async def _drip(self, step: Drip) -> None:
        for start in range(0, len(step.data), step.size):
            await self._send(step.data[start : start + step.size], step.raw)
            if step.gap:
                await asyncio.sleep(step.gap)

    async def _send(self, data: bytes, raw: bool) -> None:
        if self._bodiless and not raw:
            return
        framed = chunk(data) if self._reply.framing == "chunked" and not raw else data
        self._connection.sent.append(Piece(time.monotonic(), data))
        await self._write(framed)
        await self._connection.settle()

    async def _end(self) -> bool:
        if self._reply.framing == "chunked" and not self._bodiless:
            await self._write(last_chunk(self._reply.trailers))
        return True

    async def _write(self, data: bytes) -> bool:
        await self._connection.write(data)
        return True
