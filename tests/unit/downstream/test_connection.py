from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler

from proxy.downstream import connection as connection_module
from proxy.downstream.connection import WRITE_HIGH
from proxy.errors import BadRequest, HeadersTimeout, HeadersTooLarge, InternalError, ProxyError
from tests.support.handclock import HandClock
from tests.support.transports import turns
from tests.unit.downstream.listening import GET, Client, Listener, listening

TIMEOUT = 10.0
HALF = GET[:20]
POST = b"POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\n"
SECRET = b"sk-a-secret-of-the-client"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    clock.install(monkeypatch, "proxy.downstream.connection")
    return clock


@pytest.fixture
async def listener(clock: HandClock) -> AsyncIterator[Listener]:
    async with listening() as listener:
        yield listener


class Exchange:
    """Writes down what a connection tells whoever answers on it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def client_paused(self) -> None:
        self.told.append("paused")

    def client_resumed(self) -> None:
        self.told.append("resumed")

    def client_gone(self) -> None:
        self.told.append("gone")


def expire(listener: Listener, clock: HandClock, after: float) -> None:
    """Let so much time pass, and then the ticker look."""
    listener.server.expire_heads(clock.move(after), TIMEOUT)


async def serve(listener: Listener, client: Client) -> None:
    """Send one request on a connection and have it answered."""
    await client.send(GET)
    downstream = connection_module.web  # the module's own aiohttp: see `answer`
    assert downstream is web
    from proxy.downstream import Downstream

    await listener.answer(Downstream(listener.requests[-1]).answer(200, (), b"hello"))
