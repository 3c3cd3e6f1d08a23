"""A web site of its own origin: a few pages and scripts from memory, for what a browser does across origins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

EMPTY: Final = {"/": "<!doctype html><meta charset=utf-8><title>site</title><link rel=icon href=data:,>"}
_TYPES: Final = {"js": "text/javascript", "mjs": "text/javascript", "css": "text/css"}


@asynccontextmanager
async def open_site(pages: Mapping[str, str] = EMPTY) -> AsyncIterator[int]:
    """Serve *pages*, texts by path, on a port of this machine, and give the port; types follow the names' ends."""

    async def serve(request: web.Request) -> web.Response:
        text = pages.get(request.path)
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text, content_type=_TYPES.get(request.path.rpartition(".")[2], "text/html"))

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()
