"""The proxy as its users meet it: started through `server.py` on real sockets, with what it logs and measures at hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.request import urlopen

from proxy.server import Server
from proxy.settings import Settings
from proxy.streaming import Ticker
from tests.support.client import RawClient
from tests.support.wire import WITHIN

KEY: Final = "lp_test_0123456789abcdefghijklmnop"
BEARER: Final = [("Authorization", f"Bearer {KEY}")]
CHAT: Final = "/v1/chat/completions"
FAR: Final = "40s"  # a clock that is not the test's; longer than `WITHIN`, and than a busy machine stands still


def chat(*, stream: bool = True, model: str = "gpt-test", **more: Any) -> bytes:
    """Return the body of a chat request."""
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *base* with *changes*, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result


def settings(*upstreams: str, **changes: Any) -> Settings:
    """Return the harness's settings: clocks that are far away, one key, and one model `gpt-*` served by *upstreams*.

    These are base URLs, tried in order. Each keyword is a section, laid over the harness's own.
    """
    names = [chr(ord("a") + index) for index in range(len(upstreams))]
    base: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "auth": {"api_keys": [{"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
        "limits": {"body": "64KiB", "write_stall": FAR, "header_timeout": FAR},
        "streaming": {
            "commit_after": FAR,
            "keepalive_interval": FAR,
            "attempt_timeout": FAR,
            "first_token_timeout": FAR,
            "response_timeout": FAR,
            "idle_timeout": FAR,
            "content_timeout": FAR,
        },
        "retry": {"backoff_base": "20ms", "backoff_cap": "50ms"},
        "drain": {"grace": "0s", "deadline": FAR},
        "upstreams": {
            name: {"kind": "openai", "base_url": f"{url}/v1", "api_key": f"sk-upstream-{name}", "connect_timeout": FAR}
            for name, url in zip(names, upstreams, strict=True)
        },
        "models": [{"name": "gpt-*", "targets": [{"upstream": name} for name in names]}] if names else [],
        "log": {"format": "json"},
    }
    return Settings.model_validate(merged(base, changes))


class House:
    """A running proxy."""

    def __init__(self, server: Server, log: int) -> None:
        self.server = server
        self._log = log

    @property
    def url(self) -> str:
        """The public listener's URL."""
        return "http://{}:{}".format(*self.server.address)

    def client(self, *, receive_buffer: int | None = None) -> RawClient:
        """Return a new raw client; use it as a context manager."""
        return RawClient(*self.server.address, receive_buffer=receive_buffer)

    async def admin(self, path: str) -> str:
        """Return what the admin listener answers."""
        return await asyncio.to_thread(lambda: urlopen(self.server.admin_url + path, timeout=5).read().decode())

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry *labels*; 0 when there is none."""
        total = 0.0
        for line in (await self.admin("/metrics")).splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{key}="{wanted}"' in sample for key, wanted in labels.items()):
                total += float(value)
        return total

    async def records(self, count: int = 1, within: float = WITHIN) -> list[dict[str, Any]]:
        """Return the access log's lines, once there are at least *count* of them."""
        deadline = time.monotonic() + within
        while True:
            found = [line for line in self.log_lines() if line["event"] == "request"]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} records: {found}"
            await asyncio.sleep(0.01)

    def log_text(self) -> str:
        """Return everything logged so far."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, size, 0).decode()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every log line so far."""
        return [json.loads(line) for line in self.log_text().splitlines() if line.endswith("}")]


@asynccontextmanager
async def open_house(configured: Settings) -> AsyncIterator[House]:
    """Run the proxy with these settings. At the end nothing of it may be left: no request, no task, no slot."""
    with tempfile.TemporaryFile() as log:
        server = Server(configured, log_to=log.fileno())
        await server.start()
        house = House(server, log.fileno())
        try:
            yield house
            await asyncio.wait_for(server.lifecycle.idle(), WITHIN)
            await _quiet(server.ticker)
        finally:
            await server.close()


async def _quiet(ticker: Ticker, within: float = WITHIN) -> None:
    """Wait until nothing ticks: what lingers behind the end of its exchange is let go at the next tick."""
    deadline = time.monotonic() + within
    while len(ticker):
        assert time.monotonic() < deadline, f"still ticking: {list(ticker)}"
        await asyncio.sleep(0.01)
