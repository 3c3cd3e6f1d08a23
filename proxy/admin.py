"""Serves the second listener, for operators and their machines: /metrics /livez /readyz /upstreams /streams /config.

Nothing here changes anything, nothing is readable from another origin's page (no CORS header is ever sent), and none of the
answers waits for an upstream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.metrics import CONTENT_TYPE, Metrics
from proxy.process import listen
from proxy.settings import Address

log = logging.getLogger("proxy.admin")

READY: Final = "ready"
METHODS: Final = ("GET", "HEAD")
SHUTDOWN_TIMEOUT: Final = 1.0
HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Page = Callable[[], Awaitable[web.Response]]


async def _is_fresh(_path: str) -> None:
    """Views that look at their own process need not ask anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What the pages show, asked for anew at each request.

    `ready` returns `ready` or a word for why not (`starting`, `draining`); `config` has its secrets masked already. `refresh`
    is awaited with a page's path before that is rendered: it gets what the others, and the metrics, cannot know by themselves.
    """

    ready: Callable[[], str]
    upstreams: Callable[[], Sequence[Mapping[str, Any]]]
    streams: Callable[[], Sequence[Mapping[str, Any]]]
    config: Callable[[], Mapping[str, Any]]
    refresh: Callable[[str], Awaitable[None]] = _is_fresh


class AdminListener:
    """The admin pages on an address of their own."""

    def __init__(self, address: Address, metrics: Metrics, views: Views) -> None:
        self._address = address
        self._metrics = metrics
        self._views = views
        self._runner: web.AppRunner | None = None
        self._pages: dict[str, Page] = {
            "/metrics": self._show_metrics,
            "/livez": self._show_alive,
            "/readyz": self._show_ready,
            "/upstreams": self._show_upstreams,
            "/streams": self._show_streams,
            "/config": self._show_config,
        }

    async def start(self) -> str:
        """Listen and return the bound address as `host:port`. Raises OSError if the address cannot be had."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
        await self._runner.setup()
        await web.SockSite(self._runner, listen(self._address, setting="admin.listen")).start()
        return str(Address(self._address.host, self._runner.addresses[0][1]))

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        page = self._pages.get(request.path)
        if page is None:
            return _json({"error": {"code": "not_found", "paths": list(self._pages)}}, status=404)
        if request.method not in METHODS:
            response = _json({"error": {"code": "method_not_allowed", "methods": METHODS}}, status=405)
            response.headers["Allow"] = ", ".join(METHODS)
            return response
        try:
            await self._views.refresh(request.path)
            return await page()
        except Exception:
            log.exception("an admin page failed", extra={"path": request.path})
            return _json({"error": {"code": "internal_error"}}, status=500)

    async def _show_metrics(self) -> web.Response:
        parts = []
        for part in self._metrics.render_parts():
            parts.append(part)
            await asyncio.sleep(0)  # tokens first: a scrape is long, one metric of it is not
        return web.Response(body=b"".join(parts), headers={**HEADERS, "Content-Type": CONTENT_TYPE})

    async def _show_alive(self) -> web.Response:
        return _json({"status": "alive"})

    async def _show_ready(self) -> web.Response:
        status = self._views.ready()
        return _json({"status": status}, status=200 if status == READY else 503)

    async def _show_upstreams(self) -> web.Response:
        return _json(self._views.upstreams())

    async def _show_streams(self) -> web.Response:
        return _json(self._views.streams())

    async def _show_config(self) -> web.Response:
        return _json(self._views.config())


def _json(value: object, *, status: int = 200) -> web.Response:
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    body = orjson.dumps(value, default=str, option=option)
    return web.Response(body=body, status=status, headers={**HEADERS, "Content-Type": "application/json"})
