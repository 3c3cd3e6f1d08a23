"""The page around the examples in a real Chromium, beside a proxy of another origin: asks, stops, and reads what a person sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.settings import Settings
from tests.e2e.browser import Page, open_page
from tests.e2e.node_client import FOLDER
from tests.e2e.parts import demo
from tests.e2e.site import open_site
from tests.integration.asking import look, until
from tests.support.house import KEY, House, open_house

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
PACKAGES: Final = ("eventsource-parser/dist", "@microsoft/fetch-event-source/lib/esm")
SCENARIOS: Final = ("ok", "stall", "rate-limit")
ANSWER: Final = "document.querySelector('[role=log]')"
PROBLEM: Final = "document.querySelector('[role=alert]').textContent"

# Keeps every EventSource that the page makes, so that a test can tell whether one is left that would connect again by itself; and
# hides and shows the page when the first piece of an answer is there, as somebody does who looks at another tab meanwhile.
WATCHING: Final = """
    window.sources = [];
    window.EventSource = class extends EventSource { constructor(...args) { super(...args); sources.push(this); } };
    window.glance = () => new MutationObserver((_, watch) => {
        watch.disconnect();
        document.dispatchEvent(new Event("visibilitychange"));
    }).observe(%s, { childList: true });
"""


@dataclass(frozen=True, slots=True)
class Chat:
    """The page, which asks by way of one example."""

    page: Page
    house: House
    site: str
    way: str

    async def open(self, scenario: str, *, at: str = "") -> None:
        """Load the page for the endpoint behind which that scenario waits, *at* the proxy's own address or another."""
        await self.page.command("Page.addScriptToEvaluateOnNewDocument", source=WATCHING % ANSWER)
        await self.page.go(f"{self.site}/chat.html?endpoint={at or self.house.url}/{scenario}")

    async def ask(self, key: str = KEY) -> None:
        """Send a question off."""
        fill = """(key, client) => {
            Object.assign(document.forms[0].key, { value: key });
            Object.assign(document.forms[0].client, { value: client });
            document.forms[0].querySelector("button").click();
        }"""
        await self.page.run(fill, key, self.way)

    async def stop(self) -> None:
        """Press the button that stops."""
        await self.page.run("() => document.forms[0].querySelectorAll('button')[1].click()")

    async def pieces(self, count: int) -> None:
        """Wait until the answer has exactly *count* pieces."""
        await self.page.until(f"{ANSWER}.childNodes.length === {count}")

    async def ended(self) -> tuple[str, str]:
        """Wait for the end, and return the answer and what the page says has gone wrong."""
        await self.page.until("!document.forms[0].querySelector('button').disabled")
        answer, problem = await self.page.run(f"() => [{ANSWER}.textContent, {PROBLEM}]")
        return answer, problem

    async def asked(self) -> list[dict[str, Any]]:
        """Return the log lines of all questions there have been; none may be under way."""
        await self.house.server.lifecycle.idle()
        last = (await look(self.house, "/auth/ping")).header("x-request-id")  # its line comes behind theirs
        await until(partial(self._logged, last), "the last line of the log")
        return [line for line in self.house.log_lines() if str(line.get("route")).startswith("chat:")]

    async def _logged(self, request_id: str | None) -> bool:
        return any(line.get("id") == request_id for line in self.house.log_lines())


@asynccontextmanager
async def open_chat(devtools: str, way: str, **auth: Any) -> AsyncIterator[Chat]:
    """Serve the examples from an origin of their own, beside a proxy that lets it in; *auth* is added to its settings."""
    async with open_site(_files()) as port:
        site = f"http://app.chat.test:{port}"
        async with open_house(shop(site, **auth)) as house, open_page(devtools) as page:
            yield Chat(page, house, site, way)


def shop(*origins: str, **auth: Any) -> Settings:
    """Return settings with a chat endpoint for each scenario, open to pages of these origins."""
    endpoints = [{"path": f"/{name}", "model": f"demo-{name}"} for name in SCENARIOS]
    return demo(chat_endpoints=endpoints, cors={"origins": origins}, auth=auth)


def _files() -> dict[str, str]:
    """Return the site: the examples, with what `npm install` puts beside them."""
    own = {f"/{file.name}": file.read_text() for file in EXAMPLES.iterdir() if file.suffix in (".html", ".js")}
    packages = FOLDER / "node_modules"
    found = [file for package in PACKAGES for file in (packages / package).glob("*.js")]
    return {**own, **{f"/node_modules/{file.relative_to(packages)}": file.read_text() for file in found}}
