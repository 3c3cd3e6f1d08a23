"""A server that answers the doctor with whatever bytes a test wants, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from proxy.doctor.wire import Answer, Ask, Wire

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"


class Server:
    """One that is listening."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heads: list[bytes] = []


@asynccontextmanager
async def serving(
    *said: bytes, stay: bool = False, first: bool = False, in_turn: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Run a server that answers each request with these bytes, and then closes, or stays silent.

    With *first* it does not wait for the request. With *in_turn* each request gets one piece, and all others the last.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not first:
                server.heads.append(await reader.readuntil(b"\r\n\r\n"))
            turn = min(len(server.heads), len(said)) - 1
            for piece in said[turn : turn + 1] if in_turn else said:
                writer.write(piece)
                await writer.drain()
            if stay:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def wire(tls: ssl.SSLContext | None = None, **headers: str) -> AsyncIterator[Wire]:
    """Open the doctor's client."""
    async with Wire(tls=tls or ssl.create_default_context(), headers=headers) as opened:
        yield opened


@asynccontextmanager
async def answering(*said: bytes, stay: bool = False) -> AsyncIterator[Answer]:
    """Lend the answer of a server that says these bytes."""
    async with serving(*said, stay=stay) as server, wire() as it, it.open(Ask(url=server.url), within=5) as answer:
        yield answer


def tick(number: int, elapsed_ms: float = 0.0) -> bytes:
    return b'event: tick\ndata: {"n":%d,"elapsed_ms":%.1f,"http":"1.1"}\n\n' % (number, elapsed_ms)


DONE: Final = b"event: done\ndata: {}\n\n"
