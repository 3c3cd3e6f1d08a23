"""The page that checks streams, in a real Chromium: what it says of real servers in front, and what it may not do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.browser import Page, PageError, open_page
from tests.e2e.front import Front, caddy, nginx
from tests.e2e.parts import demo
from tests.e2e.shipped import CURRENT
from tests.integration.asking import until
from tests.support.house import BEARER, KEY, House, open_house

pytestmark = pytest.mark.component("chromium")

JSON: Final = ("Content-Type", "application/json")
QUICK: Final = "count=5&interval=0.3"
TRIES: Final = 4  # a busy machine may hold events back itself, for a moment
ANSWERED: Final = frozenset({"STREAMING", "COALESCED", "BUFFERED"})  # which of them is a question of the machine's load
TOLD: Final = """() => {
    const text = id => document.getElementById(id).textContent;
    const lanes = [...document.querySelectorAll(".lane")].map(lane => ({
        title: lane.querySelector("h2").textContent, word: lane.dataset.word ?? "", note: lane.querySelector(".note").textContent,
        facts: Object.fromEntries([...lane.querySelectorAll(".facts div")].map(fact => [...fact.children].map(each => each.textContent))),
    }));
    return { word: text("word"), says: text("says"), cause: text("cause"), fix: text("fix"), report: text("report"), lanes };
}"""


@dataclass(frozen=True, slots=True)
class Lane:
    """What the page shows of one stream."""

    title: str
    word: str
    note: str
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What the page shows at the end."""

    word: str
    says: str
    cause: str
    fix: str
    report: str
    lanes: list[Lane]


async def told(page: Page) -> Told:
    """Wait until the page is done and return what it shows."""
    await page.until("!document.getElementById('telling').hidden")
    shown = await page.run(TOLD)
    return Told(**{**shown, "lanes": [Lane(**lane) for lane in shown["lanes"]]})


async def check(page: Page, url: str, *, secret: str = "") -> Told:
    """Open the page at *url*, type the credential if there is one, press Enter, and return what the page tells at the end."""
    await opened(page, url)
    if secret:
        await page.write(secret)  # that is where the focus is
    await page.press("Enter")
    return await told(page)


async def opened(page: Page, url: str) -> None:
    """Open the page at *url* and wait until keys reach it; a busy browser loses them before."""
    await page.go(url)
    await page.until("document.hasFocus() && document.activeElement.id === 'secret'")


async def check_for(page: Page, url: str, words: list[str]) -> Told:
    """Check until the streams have these verdicts, or until it is clear that they will not."""
    for _ in range(TRIES):
        seen = await check(page, url)
        if [lane.word for lane in seen.lanes] == words:
            break
    return seen


def address(place: House | Front, query: str = QUICK) -> str:
    """Return where the page is."""
    port = place.port if isinstance(place, Front) else place.server.address[1]
    return f"http://127.0.0.1:{port}/stream-check?{query}"


@pytest.fixture
async def public() -> AsyncIterator[House]:
    """A proxy whose test stream needs no credential."""
    async with open_house(demo(diagnostics={"public": True})) as house:
        yield house


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Page]:
    async with open_page(chromium) as opened:
        yield opened


# What it says of the servers in front.


Opener = Callable[[Path, House], AbstractAsyncContextManager[House | Front]]


@asynccontextmanager
async def nothing(_: Path, house: House) -> AsyncIterator[House]:
    """The proxy alone."""
    yield house


def buffering(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return nginx(folder, house, location="proxy_ignore_headers X-Accel-Buffering;")


def unbuffered(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return nginx(folder, house, location="proxy_buffering off;")


def encoding(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return caddy(folder, house, site="encode gzip zstd")


def encoding_today(folder: Path, house: House) -> AbstractAsyncContextManager[Front]:
    return caddy(folder, house, name="caddy-current", site="encode gzip zstd")


@pytest.mark.parametrize(
    ("opener", "words", "fix"),
    [
        pytest.param(nothing, ["STREAMING"] * 3, "", id="alone"),
        pytest.param(caddy, ["STREAMING"] * 3, "", id="caddy", marks=pytest.mark.component("caddy")),
        pytest.param(unbuffered, ["STREAMING"] * 3, "", id="nginx-unbuffered", marks=pytest.mark.component("nginx")),
        pytest.param(
            buffering,
            ["BUFFERED", "BUFFERED", "COALESCED"],
            "proxy_buffering off",
            id="nginx-buffering",
            marks=pytest.mark.component("nginx"),
        ),
        pytest.param(
            encoding, ["STREAMING", "STREAMING", "BUFFERED"], "encode", id="caddy-encode", marks=pytest.mark.component("caddy")
        ),
        pytest.param(
            encoding_today, ["STREAMING"] * 3, "", id="caddy-today-encode", marks=pytest.mark.component("caddy-current")
        ),
    ],
)
async def test_verdict_is_true_and_names_what_mends_it(
    page: Page, public: House, tmp_path: Path, opener: Opener, words: list[str], fix: str
) -> None:
    """The third stream has events large enough for compressors; nginx buffers 4 KiB at a time."""
    async with opener(tmp_path, public) as place:
        seen = await check_for(page, address(place), words)

    assert [lane.word for lane in seen.lanes] == words
    worst = max(seen.lanes, key=lambda lane: ["STREAMING", "COALESCED", "BUFFERED"].index(lane.word))
    assert (seen.word, seen.says) == (worst.word, worst.note if len(set(words)) == 1 else f"{worst.title}: {worst.note}")
    assert (fix in seen.fix, bool(seen.cause)) == (True, bool(fix))
    assert {lane.facts["protocol"] for lane in seen.lanes} == {"http/1.1"}
    assert all(lane.facts["chunks"] != "–" for lane in seen.lanes if lane.title != "EventSource")
    assert page.printed == []


@pytest.mark.component("nginx")
async def test_stream_that_is_ended_on_its_way_is_cut(page: Page, public: House, tmp_path: Path) -> None:
    async with nginx(tmp_path, public, location="proxy_read_timeout 700ms;") as front:
        seen = await check(page, address(front, "count=5&interval=30&streams=fetch"))

    assert (seen.word, seen.lanes[0].facts["first event after"] != "–") == ("CUT", True)
    assert "after 1 of 5 events" in seen.says
    assert "proxy_read_timeout" in seen.fix


@pytest.mark.component("nginx")
@pytest.mark.parametrize(
    ("answer", "says", "cause"),
    [
        ('return 200 "<h1>Sign in</h1>";', "an answer of text/html instead of events", "sign-in page"),
        ("return 404;", "404 Not Found", "does not know this path"),
        ("return 302 http://elsewhere.test/;", "no answer at all", "redirect to another site"),
    ],
)
async def test_what_answers_in_the_place_of_the_proxy_is_no_stream(
    page: Page, public: House, tmp_path: Path, answer: str, says: str, cause: str
) -> None:
    stands_in = f'default_type text/html; if ($uri = "/test/stream") {{ {answer} }}'
    async with nginx(tmp_path, public, location=stands_in) as front:
        seen = await check(page, address(front))

    assert (seen.word, [lane.word for lane in seen.lanes]) == ("REFUSED", ["REFUSED", "", ""])
    assert says in seen.says
    assert cause in seen.cause
    assert "the first stream was refused" in seen.lanes[1].note


# Who asks.


async def test_wrong_credential_is_said_clearly(page: Page, house: House) -> None:
    seen = await check(page, address(house), secret="lp_wrong")

    assert seen.word == "REFUSED"
    assert "401 invalid_credentials" in seen.says
    assert "does not accept this credential" in seen.cause
    assert "llm-proxy key" in seen.fix


async def test_credential_opens_every_stream_and_event_source_gets_a_ticket(page: Page, house: House) -> None:
    seen = await check(page, address(house), secret=KEY)

    assert [lane for lane in seen.lanes if lane.word not in ANSWERED] == []
    assert page.printed == []


@pytest.mark.parametrize(("streams", "number"), [("", 3), ("EventSource", 1)])
async def test_ticket_opens_one_stream(page: Page, house: House, streams: str, number: int) -> None:
    ticket = await ticket_for_stream(house)
    await opened(page, address(house, f"{QUICK}&streams={streams}"))
    await page.write(ticket)
    await page.run("() => document.querySelector('[value=ticket]').click()")
    await page.press("Enter")
    seen = await told(page)

    first, *others = seen.lanes
    assert first.word in ANSWERED
    assert [(lane.word, lane.note) for lane in others] == [("", "a ticket opens one stream")] * (number - 1)
    assert ticket not in seen.report


async def ticket_for_stream(house: House) -> str:
    async with house.client() as client:
        asked = json.dumps({"method": "GET", "path": "/test/stream"}).encode()
        response = await client.request("POST", "/auth/tickets", [*BEARER, JSON], asked)
        await response.read()
        ticket: str = response.json()["ticket"]
        return ticket


async def test_cookie_is_credential_enough(page: Page) -> None:
    """The browser sends it by itself, to streams of its own origin."""
    async with open_house(demo(auth={"cookie": "session"})) as house:
        await page.command("Network.setCookie", name="session", value=KEY, url=address(house), httpOnly=True)
        seen = await check(page, address(house))

    assert [lane for lane in seen.lanes if lane.word not in ANSWERED] == []


async def test_credential_is_nowhere_but_in_its_field(page: Page, house: House) -> None:
    seen = await check(page, address(house, f"{QUICK}&streams=fetch"), secret=KEY)
    everywhere = await page.run(
        "() => [document.documentElement.outerHTML, location.href, document.cookie, JSON.stringify(localStorage),"
        " JSON.stringify(sessionStorage), ...performance.getEntries().map(each => each.name)].join()"
    )

    assert seen.word in ANSWERED
    assert f"verdict: {seen.word}" in seen.report
    assert KEY not in everywhere
    assert await page.run("() => document.getElementById('secret').value") == KEY


# How it is used.


async def test_keyboard_is_enough(page: Page, public: House) -> None:
    await opened(page, address(public, f"{QUICK}&streams=fetch"))
    await page.press("Enter")
    seen = await told(page)
    for _ in range(8):
        await page.press("Tab")
        if await page.run("() => document.activeElement.id") == "copy":
            break
    await page.command("Browser.setPermission", permission={"name": "clipboard-write"}, setting="granted")
    await page.press("Enter")
    copied = await page.until("document.getElementById('copied').textContent")

    assert seen.word in ANSWERED
    assert copied == "Copied."


async def test_over_plain_http_it_does_the_same_but_for_the_clipboard(page: Page, house: House) -> None:
    """There browsers send no Sec-Fetch-Site, by which a ticket's origin is known, and let no page write to the clipboard."""
    seen = await check(page, address(house).replace("127.0.0.1", "proxy.test"), secret=KEY)
    await page.run("() => document.getElementById('copy').click()")

    assert await page.run("() => isSecureContext") is False
    assert [lane for lane in seen.lanes if lane.word not in ANSWERED] == []
    assert await page.until("document.getElementById('copied').textContent") == "Selected: now copy it."
    assert (await page.run("() => getSelection().toString()")).startswith("Stream check of http://proxy.test")


@pytest.mark.component("caddy-current")
async def test_over_tls_it_tells_the_newer_protocol(page: Page, house: House, tmp_path: Path) -> None:
    await page.command("Security.setIgnoreCertificateErrors", ignore=True)
    async with CURRENT.secure(tmp_path, house) as (secure, _):
        await until(lambda: has_certificate(page, secure.port), "a certificate")
        seen = await check(page, f"https://localhost:{secure.port}/stream-check?{QUICK}", secret=KEY)

    assert [lane for lane in seen.lanes if lane.word not in ANSWERED] == []
    assert {lane.facts["protocol"] for lane in seen.lanes} == {"h2"}


async def has_certificate(page: Page, port: int) -> bool:
    try:
        await page.go(f"https://localhost:{port}/healthz")
    except PageError:
        return False
    return True


@pytest.mark.parametrize("query", ["", "count=9&interval=2&streams=EventSource", "count=many&interval=&streams=none&secret=s"])
async def test_link_may_fill_the_form_but_never_with_a_credential(page: Page, public: House, query: str) -> None:
    await page.go(address(public, query))
    filled = await page.run("() => ['count', 'interval', 'streams', 'secret'].map(id => document.getElementById(id).value)")

    assert filled == (["9", "2", "EventSource", ""] if "9" in query else ["10", "0.3", "fetch EventSource large", ""])


async def test_escape_stops_and_the_next_check_starts_anew(page: Page, public: House) -> None:
    await opened(page, address(public, "count=100&interval=1"))
    await page.press("Enter")
    await page.until("document.querySelector('.arrival')")
    await page.press("Escape")
    await page.until("document.getElementById('word').textContent === 'Stopped'")
    await page.run("() => { document.getElementById('count').value = 5; document.getElementById('interval').value = 0.1; }")
    await page.press("Enter")
    seen = await told(page)

    assert [lane for lane in seen.lanes if lane.word not in ANSWERED] == []
    assert (await public.records(1))[-1]["outcome"]


async def test_arrivals_are_drawn_while_they_come(page: Page, public: House) -> None:
    await opened(page, address(public, "count=100&interval=1"))
    await page.press("Enter")
    drawn = await page.until("document.querySelectorAll('.lane:first-child .arrival').length")
    badge = await page.run("() => document.querySelector('.lane .badge').textContent")
    waiting = await page.run("() => document.querySelectorAll('.lane:first-child .expected').length")
    await page.press("Escape")

    assert badge == "listening"
    assert drawn + waiting == 100


async def test_drawing_follows_the_width_of_the_window(page: Page, public: House) -> None:
    await check(page, address(public, "count=5&interval=0.1&streams=fetch"))
    await page.look_as(width=500)

    assert await page.until("document.querySelector('.timeline').viewBox.baseVal.width < 500")
    assert await page.run("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("dark", [False, True])
async def test_page_follows_the_colours_of_the_system(page: Page, public: House, dark: bool) -> None:
    await page.look_as(dark=dark)
    await page.go(address(public))
    background = await page.run("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")

    assert (sum(background) < 3 * 128) == dark


# What it may not do.


async def test_nothing_leaves_the_origin(page: Page, public: House) -> None:
    await check(page, address(public, "count=5&interval=0.1"))
    asked = await page.run(
        "() => performance.getEntriesByType('resource').map(each => new URL(each.name)).map(each => [each.origin, each.pathname])"
    )

    host, port = public.server.address
    assert asked == [[f"http://{host}:{port}", "/test/stream"]] * 3


@pytest.mark.parametrize(
    "attempt",
    [
        "() => fetch('http://127.0.0.1:9/')",
        "() => new Promise((done, failed) => { const image = new Image(); image.onerror = failed; image.onload = done; image.src = '/x'; })",
        "() => { document.body.innerHTML = '<p>'; }",
        "() => { const script = document.createElement('script'); script.text = 'window.ran = 1'; document.body.append(script); }",
    ],
)
async def test_policy_holds(page: Page, public: House, attempt: str) -> None:
    await page.go(address(public))
    with pytest.raises(PageError):
        await page.run(attempt)

    assert await page.until("true")
    assert any("Content Security Policy" in line or "Trusted" in line for line in page.printed)
