"""A raw client that shows what the simulator puts on the wire, read by read, and how the connection ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson

from proxy.simulator import Simulator

QUESTION = "Tell me about reverse proxies"
PATIENCE = 10.0  # seconds until a test gives up; no test waits so long


class RawClient(asyncio.Protocol):
    """One connection: the bytes of each read, and its end: `fin`, `rst`, or empty while it is open."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self._buffer = bytearray()
        self.end = ""
        self.transport: asyncio.Transport | None = None
        self._news = asyncio.Event()

    @property
    def received(self) -> bytes:
        return bytes(self._buffer)

    def ends_with(self, *tails: bytes) -> bool:
        return self._buffer.endswith(tails)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        self._buffer += data
        self._news.set()

    def eof_received(self) -> None:
        self.end = "fin"
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ConnectionResetError):
            self.end = "rst"
        self._news.set()

    def forget(self) -> None:
        """Start over, for the next response on this connection."""
        self.reads.clear()
        self._buffer.clear()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def leave(self) -> None:
        assert self.transport is not None
        self.transport.abort()

    async def until(self, seen: Callable[[RawClient], bool]) -> None:
        """Wait until *seen* says so."""
        async with asyncio.timeout(PATIENCE):
            while not seen(self):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawClient]:
    """Open one raw connection to *url*."""
    port = int(url.rsplit(":", 1)[1])
    transport, client = await asyncio.get_running_loop().create_connection(RawClient, "127.0.0.1", port)
    try:
        yield client
    finally:
        transport.close()


def request(
    path: str, body: Any = None, *, method: str = "POST", scenario: str | None = None, version: str = "1.1", more: str = ""
) -> bytes:
    """Return the bytes of one request; *body* is JSON, or bytes to be sent as they are."""
    data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    extra = more + (f"X-Test-Scenario: {scenario}\r\n" if scenario is not None else "")
    head = f"{method} {path} HTTP/{version}\r\nHost: simulator\r\nContent-Type: application/json\r\n{extra}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def chat(*, scenario: str | None = None, model: str = "demo", stream: bool = True, version: str = "1.1", **fields: Any) -> bytes:
    """Return the bytes of one chat completion request."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": QUESTION}], **fields}
    return request("/v1/chat/completions", body, scenario=scenario, version=version)


def finished(client: RawClient) -> bool:
    """Say whether the response is complete by its own framing, or the connection has ended."""
    if client.end:
        return True
    if not client.ends_with(b"0\r\n\r\n", b"}"):
        return False
    head, _, rest = client.received.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        return rest.endswith(b"0\r\n\r\n") and unchunked(rest)[1]
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), None)
    return length is not None and len(rest) >= length


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """Return the body inside a chunked one, and whether its last chunk is there."""
    body = b""
    while data:
        size, separator, rest = data.partition(b"\r\n")
        if not separator:
            break
        count = int(size, 16)
        if count == 0:
            return body, rest == b"\r\n"
        body += rest[:count]
        data = rest[count + 2 :]
    return body, False


def body_of(client: RawClient) -> bytes:
    """Return the response's body, whatever its framing."""
    head, _, rest = client.received.partition(b"\r\n\r\n")
    return unchunked(rest)[0] if b"Transfer-Encoding: chunked" in head else rest


def data_of(body: bytes) -> list[Any]:
    """Return what the data lines of complete events hold; `[DONE]` as it is."""
    lines = [line[6:] for line in body.rpartition(b"\n\n")[0].split(b"\n") if line.startswith(b"data: ")]
    return ["[DONE]" if line == b"[DONE]" else orjson.loads(line) for line in lines]


async def exchange(url: str, sent: bytes) -> RawClient:
    """Send one request on a connection of its own, and return it when the response is complete."""
    async with connected(url) as client:
        client.send(sent)
        await client.until(finished)
        return client


async def settled(simulator: Simulator) -> None:
    """Wait until the simulator answers no request."""
    await eventually(lambda: simulator.live == 0)


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until *true* is."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - the simulator offers no event to wait for
            await asyncio.sleep(0.001)


Ask = Callable[[bytes], Awaitable[RawClient]]
