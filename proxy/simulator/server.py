"""The simulated backend as an HTTP server of its own on a socket of its own."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Final

from aiohttp import web

from proxy.errors import BodyTooLarge, MethodNotAllowed, ProxyError
from proxy.simulator import anthropic, bedrock, gemini, openai
from proxy.simulator.dialect import Call, Dialect, Failure
from proxy.simulator.playback import Playback
from proxy.simulator.routes import Routes
from proxy.simulator.scenarios import HEADER, choose
from proxy.simulator.wire import Wire, drop_framing

PACE: Final = 0.03  # seconds between two tokens
MAX_BODY: Final = 256 * 1024**2  # bytes

_BACKLOG: Final = 1024
_KEEPALIVE_TIMEOUT: Final = 300.0
_SHUTDOWN_TIMEOUT: Final = 1.0


class Simulator:
    """A backend with a scripted LLM behind it.

    `live` counts the requests being answered now, `finished` those whose script was played to its end, however bad, and
    `aborted` those whose client left first (or that `close` cut off).
    """

    __slots__ = ("_born", "_max_body", "_pace", "_routes", "_runner", "_running", "_seed", "aborted", "finished")

    def __init__(self, *, pace: float = PACE, seed: int = 0, max_body: int = MAX_BODY) -> None:
        self._pace = pace
        self._seed = seed
        self._max_body = max_body
        self._born = int(time.time())
        self._routes = Routes((*anthropic.ROUTES, *gemini.ROUTES, *bedrock.ROUTES, *openai.ROUTES))
        self._runner: web.AppRunner | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self.finished = 0
        self.aborted = 0

    def __repr__(self) -> str:
        return f"<Simulator live={self.live} finished={self.finished} aborted={self.aborted}>"

    @property
    def live(self) -> int:
        """The number of requests being answered now."""
        return len(self._running)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on a free port if *port* is 0, and return the base URL. Raises OSError if the address is taken."""
        app = web.Application(client_max_size=self._max_body)
        app.on_response_prepare.append(drop_framing)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_TIMEOUT,
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=_BACKLOG).start()
        bound = self._runner.addresses[0][1]
        return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"

    async def close(self) -> None:
        """Stop listening and cut off what is live."""
        if self._runner is None:
            return
        for task in self._running:
            task.cancel()
        await self._runner.cleanup()
        self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        wire = Wire(request)
        played = False
        try:
            await self._answer(request, wire)
            played = True
        except ConnectionError:
            pass  # the client left between two writes; aiohttp finds the connection closed by itself
        finally:
            self._running.discard(task)
            self.finished += played
            self.aborted += not played
        return wire.response

    async def _answer(self, request: web.Request, wire: Wire) -> None:
        begun = time.monotonic()
        name = uuid.uuid4().hex
        path = request.rel_url.raw_path
        dialect = self._routes.dialect(path) or openai.DIALECT
        try:
            route, parameters = self._routes.find(request.method, path)
            dialect = route.dialect
            answer = route.read(await self._call(request, parameters, name))
            scenario = choose(request.headers.get(HEADER), answer.model)
        except ProxyError as error:
            _refuse(wire, dialect, error, name)
            return
        playback = Playback(
            wire,
            scenario,
            pace=self._pace,
            headers=lambda: dialect.headers(name, int((time.monotonic() - begun) * 1000)),
            refuse=lambda failure: dialect.refuse(failure, name),
        )
        await playback.run(answer)

    async def _call(self, request: web.Request, parameters: dict[str, str], name: str) -> Call:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as exc:
            raise BodyTooLarge from exc
        return Call(
            method=request.method,
            path=request.rel_url.raw_path,
            parameters=parameters,
            query=request.query,
            headers=request.headers,
            body=body,
            id=name,
            born=self._born,
            seed=self._seed,
        )


def _refuse(wire: Wire, dialect: Dialect, error: ProxyError, name: str) -> None:
    failure = Failure.of(error)
    refusal = dialect.refuse(failure, name)
    headers = {**dialect.headers(name, 0), **refusal.headers}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    wire.answer(failure.status, refusal.body, headers)
