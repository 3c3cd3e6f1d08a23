"""Carries messages between the supervisor and one worker, in order, both ways; some of them are questions and get an answer.

On the wire: four bytes of length, then a JSON array `[kind, number, word, facts]`. A new subject is a new word with a
handler at the other end; nothing in here has to know it.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import orjson

from proxy.tasks import Tasks

log = logging.getLogger("proxy.supervisor.channel")

Facts = Mapping[str, Any]
Handler = Callable[[Facts], Any]  # what it returns, awaited if need be, is the answer to a question

TELL, ASK, ANSWER, FAILED = range(4)
PREFIX: Final = 4
MAX_MESSAGE: Final = 256 << 20  # bytes; only a broken peer sends more
ANSWER_WITHIN: Final = 1.0


class ChannelClosed(Exception):
    """The other end has left, or could not answer."""


class Channel(asyncio.Protocol):
    """One end. A handler runs inside of the loop callback that got its message; an awaitable that it returns runs as a task."""

    def __init__(self, handlers: Mapping[str, Handler], tasks: Tasks) -> None:
        self.taken = 0  # messages that have come
        self._handlers = handlers
        self._tasks = tasks
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Channel {'closed' if self._closed.is_set() else 'open'} waiting={len(self._waiting)}>"

    async def open(self, sock: socket.socket) -> None:
        """Begin, on one of a pair of sockets, which the channel owns from here on."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    # ---- what its owner does

    @property
    def busy(self) -> bool:
        """Whether something sent earlier still waits for the other end."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def tell(self, word: str, /, **facts: Any) -> None:
        """Send a message that nobody answers; lost when the other end has left."""
        self._send(TELL, 0, word, facts)

    async def ask(self, word: str, /, *, within: float = ANSWER_WITHIN, **facts: Any) -> Any:
        """Send a question and return its answer. Raises ChannelClosed, and TimeoutError after *within* seconds."""
        if self._closed.is_set():
            raise ChannelClosed
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(ASK, number, word, facts)
            async with asyncio.timeout(within):
                return await answer
        finally:
            del self._waiting[number]

    async def closed(self) -> None:
        """Wait until the other end has left and all that it had sent is read."""
        await self._closed.wait()

    def close(self) -> None:
        """Leave, after what was told has been sent. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._closed.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChannelClosed())

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= PREFIX:
            end = PREFIX + int.from_bytes(self._received[:PREFIX])
            if end > MAX_MESSAGE:
                self._give_up()
                return
            if len(self._received) < end:
                return
            message = bytes(memoryview(self._received)[PREFIX:end])
            del self._received[:end]
            self._take(message)

    # ---- inside

    def _send(self, kind: int, number: int, word: str, facts: Any) -> None:
        if self._transport is None or self._closed.is_set():
            return
        body = orjson.dumps([kind, number, word, facts], option=orjson.OPT_NON_STR_KEYS)
        self._transport.write(len(body).to_bytes(PREFIX) + body)

    def _take(self, message: bytes) -> None:
        self.taken += 1
        try:
            kind, number, word, facts = orjson.loads(message)
        except ValueError:
            self._give_up()
            return
        if kind in (ANSWER, FAILED):
            self._answered(kind, number, facts)
            return
        try:
            result = self._handlers[word](facts)
        except Exception:
            log.exception("a message could not be handled", extra={"word": word})
            if kind == ASK:
                self._send(FAILED, number, word, None)
            return
        if inspect.isawaitable(result):
            self._tasks.spawn(self._handle(kind, number, word, result), name=f"answer {word}")
        elif kind == ASK:
            self._send(ANSWER, number, word, result)

    async def _handle(self, kind: int, number: int, word: str, work: Awaitable[Any]) -> None:
        outcome, result = FAILED, None
        try:
            result = await work
            outcome = ANSWER
        finally:
            if kind == ASK:
                self._send(outcome, number, word, result)

    def _answered(self, kind: int, number: int, facts: Any) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return  # it came too late
        if kind == ANSWER:
            answer.set_result(facts)
        else:
            answer.set_exception(ChannelClosed())

    def _give_up(self) -> None:
        """Leave a peer that does not speak our language."""
        log.error("a message between supervisor and worker could not be read")
        self._received.clear()
        if self._transport is not None:
            self._transport.abort()
