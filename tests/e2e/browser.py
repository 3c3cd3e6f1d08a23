"""Drives a real headless Chromium over its DevTools protocol: pages, scripts in them, keys, what they print, pictures of them.

The process is started once for all tests and knows no event loop; each test opens pages of its own, whose cookies and caches are
nobody else's. Names that end in `.test` are this machine, all other names do not exist, so that no page can reach anything else.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from proxy.tasks import Tasks
from tests.support.components import require

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--remote-debugging-port=0",
)
START: Final = 30.0  # seconds until it must have opened its port
WITHIN: Final = 20.0  # seconds for whatever a page is asked to do
_CODES: Final = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27}  # virtual key codes of keys that are no letters
_TEXTS: Final = {"Enter": "\r", " ": " "}


class PageError(AssertionError):
    """A script has thrown, or the browser could not do what it was told."""


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Run Chromium with its profile in *folder*, and give the address of its DevTools. At the end it has ended."""
    with (folder / "chromium.log").open("wb") as log:
        command = (require("chromium"), *FLAGS, f"--user-data-dir={folder}", "about:blank")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield _address(process, folder)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    port, deadline = folder / "DevToolsActivePort", time.monotonic() + START
    while not port.exists() or len(lines := port.read_text().splitlines()) < 2:
        said = (folder / "chromium.log").read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"chromium ended at once: {said}"
        assert time.monotonic() < deadline, f"chromium opens no port: {said}"
        time.sleep(0.01)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


@asynccontextmanager
async def open_page(devtools: str, url: str = "about:blank") -> AsyncIterator[Page]:
    """Open *url* in a window that shares nothing with others, once it has loaded. At the end it is closed."""
    tasks = Tasks()
    async with aiohttp.ClientSession() as session, session.ws_connect(devtools, max_msg_size=0) as socket:
        wire = _Wire(socket)
        listening = tasks.spawn(wire.listen(), name="what a browser says")
        try:
            context = (await wire.ask("Target.createBrowserContext", disposeOnDetach=True))["browserContextId"]
            target = (await wire.ask("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
            wire.session = (await wire.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
            page = Page(wire)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await wire.ask(f"{domain}.enable")
            await wire.ask("Page.setLifecycleEventsEnabled", enabled=True)
            if url != "about:blank":
                await page.go(url)
            yield page
            wire.session = None
            await wire.ask("Target.disposeBrowserContext", browserContextId=context)
        finally:
            listening.cancel()
            await tasks.close()


class Page:
    """One page. What it printed, threw, and was refused is in `printed`, in order."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    @property
    def printed(self) -> list[str]:
        """What went to the console, from the page itself and from the browser about it."""
        return self._wire.printed

    async def go(self, url: str) -> None:
        """Load *url* and wait for its own `load` event: that of the page before it may still be on its way."""
        answer = await self.command("Page.navigate", url=url)
        if problem := answer.get("errorText"):
            raise PageError(f"{url}: {problem}")
        while answer["loaderId"] not in self._wire.loaded:
            await self._wire.within(self._wire.next("Page.lifecycleEvent"), f"{url} to load")

    async def run(self, function: str, *arguments: Any, within: float = WITHIN) -> Any:
        """Call a JavaScript *function* (`async (url) => …`) in the page and return what it returns or resolves to, as JSON."""
        expression = f"({function})({', '.join(json.dumps(each) for each in arguments)})"
        wanted = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = await self._wire.ask("Runtime.evaluate", expression=expression, within=within, **wanted)
        if thrown := answer.get("exceptionDetails"):
            raise PageError(thrown.get("exception", {}).get("description") or thrown["text"])
        return answer["result"].get("value")

    async def until(self, condition: str, within: float = WITHIN) -> Any:
        """Wait until the JavaScript expression *condition* is true in the page, and return its value."""
        look = f"const look = () => {{ const value = ({condition}); value ? done(value) : setTimeout(look, 20); }}; look();"
        return await self.run(f"() => new Promise(done => {{ {look} }})", within=within)

    async def press(self, key: str) -> None:
        """Press and release one key: a letter, or `Enter`, `Tab`, `Escape`, a space."""
        facts: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": _CODES.get(key, ord(key[0].upper()))}
        text = _TEXTS.get(key, key if len(key) == 1 else None)
        await self.command(
            "Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **facts, **({"text": text} if text else {})
        )
        await self.command("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def write(self, text: str) -> None:
        """Type *text* into what has the focus."""
        await self.command("Input.insertText", text=text)

    async def look_as(self, *, width: int = 1100, height: int = 800, dark: bool = False, scale: float = 1) -> None:
        """Give the window a size and a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await self.command("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """Return what the window shows, as a PNG."""
        return base64.b64decode((await self.command("Page.captureScreenshot", format="png"))["data"])

    async def command(self, method: str, **params: Any) -> Any:
        """Send a command of the DevTools protocol for this page, and return its result."""
        return await self._wire.ask(method, **params)


class _Wire:
    """The protocol: numbered commands with answers, and events, as JSON over a websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.session: str | None = None  # which page commands are for; None: the browser
        self.printed: list[str] = []
        self.loaded: set[str] = set()  # by the ids of their loaders, which no two documents share
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._events: dict[str, list[asyncio.Future[Any]]] = {}

    async def ask(self, method: str, *, within: float = WITHIN, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        addressed = {} if self.session is None else {"sessionId": self.session}
        await self._socket.send_json({"id": number, "method": method, "params": params, **addressed})
        return await self.within(answer, method, within)

    async def within(self, future: asyncio.Future[Any], what: str, seconds: float = WITHIN) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise PageError(f"no answer to {what} within {seconds:g} s; the page printed {self.printed}") from None

    def next(self, event: str) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._events.setdefault(event, []).append(future)
        return future

    async def listen(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            if "id" in message:
                self._answered(self._answers.pop(message["id"]), message)
            else:
                self._happened(message["method"], message["params"])

    def _answered(self, answer: asyncio.Future[Any], message: dict[str, Any]) -> None:
        if answer.done():
            return  # nobody waits for it any more
        if "error" in message:
            answer.set_exception(PageError(message["error"]["message"]))
        else:
            answer.set_result(message["result"])

    def _happened(self, event: str, facts: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled":
            self.printed.append(" ".join(str(each.get("value", each.get("description"))) for each in facts["args"]))
        elif event == "Runtime.exceptionThrown":
            thrown = facts["exceptionDetails"]
            self.printed.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif event == "Log.entryAdded":
            self.printed.append(facts["entry"]["text"])
        elif event == "Page.lifecycleEvent" and facts["name"] == "load":
            self.loaded.add(facts["loaderId"])
        for future in self._events.pop(event, ()):
            if not future.done():
                future.set_result(facts)
