"""A page of another origin in a real Chromium: it reads streams, errors and headers, and nobody else's page does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.browser import Page, open_page
from tests.e2e.parts import demo
from tests.e2e.site import open_site
from tests.integration.asking import until
from tests.support.house import CHAT, KEY, House, open_house

pytestmark = pytest.mark.component("chromium")

ROOT: Final = Path(__file__).resolve().parents[2]
# Two origins of one site, as most have them, and a stranger. Cookies of one site go along between its origins.
APP: Final = "app.chat.test"
API: Final = "api.chat.test"
STRANGER: Final = "evil.test"
ENDPOINT: Final = "/api/v1/chat"
PING: Final = "/auth/ping"
TICKETS: Final = "/auth/tickets"

QUICK: Final[dict[str, Any]] = {  # a chat endpoint that answers at once
    "chat_endpoints": [{"path": ENDPOINT, "model": "quick", "events": "token"}],
    "models": [{"name": name, "targets": [{"upstream": name}]} for name in ("demo", "quick")],
    "upstreams": {"quick": {"kind": "simulator", "headers": {"X-Test-Scenario": "ok;pace=0"}}},
}

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

# Reads with EventSource until the event that says it is over, or until the browser gives up, and tells which, and the text.
EVENT_SOURCE: Final = """(url, init) => new Promise(done => {
    const source = new EventSource(url, init), texts = [];
    const end = how => { source.close(); done({ how, text: texts.join("") }) };
    source.addEventListener("token", event => texts.push(JSON.parse(event.data).text));
    source.addEventListener("done", event => end(JSON.parse(event.data).finish_reason));
    source.onerror = () => source.readyState === EventSource.CLOSED && end("closed");
})"""

# Leaves an EventSource alone after the end of its stream, and tells what becomes of it.
UNTIL_CLOSED: Final = """url => new Promise(done => {
    const source = new EventSource(url), heard = [];
    source.addEventListener("done", () => heard.push("done"));
    source.onerror = () => {
        const closed = source.readyState === EventSource.CLOSED;
        heard.push(closed ? "closed" : "connecting");
        if (closed) done(heard);
    };
})"""


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

    async def listen(self, query: str, *, cookies: bool = False) -> dict[str, str]:
        """Ask the chat endpoint with an EventSource, and tell how it ended and what it said."""
        told: dict[str, str] = await self.page.run(EVENT_SOURCE, f"{self.api}{ENDPOINT}?{query}", {"withCredentials": cookies})
        return told

    async def ticket(self, **init: Any) -> str:
        """Let the page ask for a ticket for the chat endpoint."""
        told = await self.fetch(TICKETS, **posting({"method": "GET", "path": ENDPOINT}, **init))
        return str(json.loads(told["text"])["ticket"])

    async def refused(self, reason: str) -> None:
        """Wait until the log tells of a refusal for this reason."""

        async def seen() -> bool:
            return any(record.get("auth_failure") == reason for record in await self.house.records(0))

        await until(seen, f"a refusal for {reason}")


Opener = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def open_scene(chromium: str) -> Opener:
    @asynccontextmanager
    async def opened(host: str = APP, **changes: Any) -> AsyncIterator[Scene]:
        async with open_site() as port:
            configured = demo(cors={"origins": [f"http://{APP}:{port}"]}, **QUICK, **changes)
            async with open_house(configured) as house, open_page(chromium, f"http://{host}:{port}") as page:
                yield Scene(page, house, f"http://{API}:{house.server.address[1]}")

    return opened


def posting(body: Any, key: str = KEY, **init: Any) -> dict[str, Any]:
    """Return what `fetch` takes to post *body* with a key of the page's own, where that is not empty."""
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    return {"method": "POST", "headers": {"Content-Type": "application/json", **authorization}, "body": json.dumps(body), **init}


def chatting(scenario: str = "ok;pace=20ms", key: str = KEY) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    asked = posting({"model": "demo", "stream": True, "messages": messages}, key)
    asked["headers"]["X-Test-Scenario"] = scenario
    return asked


async def test_page_reads_a_stream_while_it_comes(open_scene: Opener) -> None:
    async with open_scene() as scene:
        told = await scene.fetch(CHAT, "x-request-id", **chatting())

        assert (told["status"], told["text"].rstrip().rpartition("\n")[2]) == (200, "data: [DONE]")
        assert told["pieces"] > 2
        assert told["headers"]["x-request-id"]


async def test_page_that_is_not_listed_reads_nothing_and_sends_nothing_that_needs_permission(open_scene: Opener) -> None:
    async with open_scene(STRANGER) as scene:
        assert await scene.fetch(CHAT, **chatting()) == {"refused": "TypeError"}
        assert await scene.fetch("/healthz") == {"refused": "TypeError"}
        assert {record["method"] for record in await scene.house.records(2)} == {"OPTIONS", "GET"}
        assert any("blocked by CORS policy" in line for line in scene.page.printed)


async def test_page_reads_why_it_was_refused(open_scene: Opener) -> None:
    async with open_scene(limits={"streams_per_subject": 1}) as scene:
        unknown = await scene.fetch(CHAT, "x-request-id", **chatting(key="wrong"))
        hold = "(url, init) => fetch(url, init).then(response => { window.held = response.body; return response.status })"
        assert await scene.page.run(hold, scene.api + CHAT, chatting("stall;after=1;delay=30s")) == 200
        limited = await scene.fetch(CHAT, "x-request-id", "retry-after", **chatting())
        await scene.page.run("() => held.cancel()")

        for told, status, code in ((unknown, 401, "invalid_credentials"), (limited, 429, "too_many_streams_of_subject")):
            error = json.loads(told["text"])["error"]
            assert (told["status"], error["code"]) == (status, code)
            assert told["headers"]["x-request-id"] == error["request_id"]
        assert limited["headers"]["retry-after"] == "1"


async def test_upstream_s_refusal_is_readable_with_when_to_come_again(open_scene: Opener) -> None:
    async with open_scene(retry={"attempts": 1}) as scene:
        told = await scene.fetch(CHAT, "retry-after", "x-ratelimit-remaining-requests", **chatting("rate_limit"))

        assert told["status"] == 429
        assert told["headers"]["retry-after"]


async def test_event_source_gets_in_with_a_ticket_and_when_it_connects_again_by_itself_that_is_the_end(
    open_scene: Opener,
) -> None:
    """It repeats the address; the used ticket ends that, and the page may ask for another one."""
    async with open_scene() as scene:
        url = f"{scene.api}{ENDPOINT}?message=hi&ticket={await scene.ticket()}"
        heard = await scene.page.run(UNTIL_CLOSED, url)

        assert heard == ["done", "connecting", "closed"]
        await scene.refused("used_ticket")


async def test_event_source_gets_in_with_a_token_in_its_address_where_that_is_switched_on(open_scene: Opener) -> None:
    async with open_scene(auth={"query_token": True}) as scene:
        assert (await scene.listen(f"message=hi&access_token={KEY}"))["how"] == "stop"


async def test_ticket_of_one_page_is_of_no_use_to_a_page_of_another_origin(open_scene: Opener, chromium: str) -> None:
    async with open_scene() as scene, open_site() as port, open_page(chromium, f"http://{STRANGER}:{port}") as other:
        ticket = await scene.ticket()

        stolen = Scene(other, scene.house, scene.api)
        assert await stolen.listen(f"message=hi&ticket={ticket}") == {"how": "closed", "text": ""}
        await scene.refused("ticket_for_another_origin")


async def test_page_of_the_proxy_s_own_origin_needs_no_cors_for_its_ticket(open_scene: Opener) -> None:
    """A browser names the Origin when the page posts, and not when it reads from where it came."""
    async with open_scene() as scene:
        await scene.page.go(scene.api + "/healthz")

        assert (await scene.listen(f"message=hi&ticket={await scene.ticket()}"))["how"] == "stop"


async def test_program_in_the_documentation_reads_an_answer(open_scene: Opener) -> None:
    program = (ROOT / "docs" / "browsers.md").read_text().partition("```js\n")[2].partition("```")[0]
    begin = "said = ''; function show(text) { said += text } function offerToTryAgain() { again = true }"
    async with open_scene() as scene:
        await scene.page.go(scene.api + "/healthz")
        await scene.page.run(f"token => {{ window.eval({json.dumps(program + begin)}); return ask('hi', token) }}", KEY)

        assert await scene.page.until("said.length > 20 && said")
        assert await scene.page.run("() => 'again' in window") is False


async def test_event_source_sends_the_cookie_of_its_visitor_where_it_may(open_scene: Opener) -> None:
    async with open_scene(auth={"cookie": "session"}) as scene:
        await scene.page.run("value => { document.cookie = `session=${value}; domain=chat.test; SameSite=Strict` }", KEY)
        alone = await scene.listen("message=hi")
        together = await scene.listen("message=hi", cookies=True)
        fetched = await scene.fetch(PING, credentials="include")
        ticket = await scene.ticket(key="", credentials="include")

        assert alone == {"how": "closed", "text": ""}
        assert (together["how"], together["text"] != "") == ("stop", True)
        assert json.loads(fetched["text"])["subject"] == "tester"
        assert (await scene.listen(f"message=hi&ticket={ticket}"))["how"] == "stop"


async def test_cookie_is_not_spent_by_a_page_of_the_same_site_that_is_not_listed(open_scene: Opener) -> None:
    """SameSite lets the cookie go along there, so the Origin has to decide."""
    async with open_scene("blog.chat.test", auth={"cookie": "session"}) as scene:
        await scene.page.run("value => { document.cookie = `session=${value}; domain=chat.test` }", KEY)
        told = await scene.fetch(ENDPOINT, method="POST", body='{"message": "hi"}', credentials="include", mode="no-cors")

        await scene.refused("cookie_from_another_origin")
        assert told == {"refused": "TypeError"} or told["text"] == ""


async def test_without_cookie_mode_the_browser_keeps_answers_to_cookies_from_the_page(open_scene: Opener) -> None:
    async with open_scene() as scene:
        assert await scene.fetch("/healthz", credentials="include") == {"refused": "TypeError"}
        assert (await scene.fetch("/healthz"))["status"] == 200
