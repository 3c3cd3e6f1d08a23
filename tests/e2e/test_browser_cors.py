"""A page of another origin in a real Chromium: it reads streams, errors and headers, and nobody else's page does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.e2e.browser import Page, open_page
from tests.e2e.parts import demo
from tests.e2e.site import open_site
from tests.support.house import CHAT, KEY, House, open_house

pytestmark = pytest.mark.component("chromium")

APP: Final = "app.chat.test"
API: Final = "api.chat.test"
BODY: Final = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "hi"}]}

# Tells of an answer what a page may know of it; what it may not know is null, and a refusal of the browser's is its name.
FETCH: Final = """async (url, init, names) => {
    try {
        const response = await fetch(url, init);
        const headers = Object.fromEntries(names.map(name => [name, response.headers.get(name)]));
        const pieces = [], reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let part; !(part = await reader.read()).done;) pieces.push(part.value);
        return { status: response.status, headers, text: pieces.join(""), pieces: pieces.length };
    } catch (error) {
        return { refused: error.name };
    }
}"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A page of one origin beside the proxy at another."""

    page: Page
    house: House
    api: str

    async def fetch(self, path: str, *names: str, **init: Any) -> dict[str, Any]:
        """Fetch *path* from the proxy and tell what the page may know of the answer, and of its headers those with *names*."""
        told: dict[str, Any] = await self.page.run(FETCH, self.api + path, init, names)
        return told


@pytest.fixture
async def scene(chromium: str) -> AsyncIterator[Scene]:
    async with open_site() as port:
        site = f"http://{APP}:{port}"
        async with open_house(demo(cors={"origins": [site]})) as house, open_page(chromium, site) as page:
            yield Scene(page, house, f"http://{API}:{house.server.address[1]}")


def asking(key: str = KEY, body: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "X-Test-Scenario": "ok;pace=20ms"}
    return {"method": "POST", "headers": headers, "body": body or json.dumps(BODY)}


async def test_page_reads_a_stream_while_it_comes(scene: Scene) -> None:
    told = await scene.fetch(CHAT, "x-request-id", **asking())

    assert (told["status"], told["text"].rstrip().rpartition("\n")[2]) == (200, "data: [DONE]")
    assert told["pieces"] > 2
    assert told["headers"]["x-request-id"]
