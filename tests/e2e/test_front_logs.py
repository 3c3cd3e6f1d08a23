"""A secret is planted in every credential, header and query, and looked for in all that the proxy and the server before it log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.e2e.parts import begun, demo, simulator, stopped
from tests.e2e.shipped import Shipped
from tests.e2e.test_shipped_fronts import Opener, each_front, serving
from tests.support.house import CHAT, KEY, House, chat, open_house
from tests.support.upstream import Upstream, answer

PLANTED: Final = "c4n4ry"
NAMES: Final = [
    "Authorization",
    "X-Api-Key",
    "Api-Key",
    "X-Goog-Api-Key",
    "Proxy-Authorization",
    "Cookie",
    "X-Amz-Security-Token",
]
OTHERS: Final = [
    "Referer",
    "User-Agent",
    "Origin",
    "X-Forwarded-For",
    "X-Custom",
    "Traceparent",
    "Baggage",
]  # X-Request-Id is there to be logged
QUERIES: Final = ("access_token", "ticket", "key", "api-key", "anything")
GOOD: Final = ("Authorization", f"Bearer {KEY}")
QUICK: Final = ("X-Test-Scenario", "ok;pace=0;tokens=2")

Headers = list[tuple[str, str]]


def planted() -> Iterable[tuple[str, str, Headers]]:
    """Yield requests with the secret in each place: method, target, headers."""
    yield from (("POST", CHAT, [(name, f"Bearer {PLANTED}")]) for name in NAMES)
    yield from (("POST", CHAT, [GOOD, (name, f"{PLANTED}-{name}")]) for name in (*NAMES[1:], *OTHERS))
    for name, path in itertools.product(QUERIES, ("/auth/ping", "/nothing/here", "/metrics")):
        yield from (("GET", f"{path}?{name}={PLANTED}", headers) for headers in ([GOOD], []))
    yield "POST", f"{CHAT}?{PLANTED}", [GOOD]
    yield "GET", "/upstream/files/v1/files", [GOOD]  # with the secret in its answer
    yield "PLANT", f"/auth/ping?{PLANTED}", [("X-Custom", f"\x01{PLANTED}")]


async def send(front: Shipped, method: str, target: str, headers: Headers) -> int:
    """Send one request on a connection of its own and return the status of its answer; 0 when there is none."""
    body = chat(model="demo") if method == "POST" else b""
    async with front.client() as client:
        await client.send_request(method, target, [QUICK, *headers], body)
        try:
            response = await client.response(method, within=20)
        except AssertionError:
            return 0
        await response.read()
        return response.status


async def send_all(front: Shipped) -> set[int]:
    """Send them all and return what statuses they got."""
    return set(await asyncio.gather(*(send(front, *each) for each in planted())))


async def leave(front: Shipped, house: House) -> None:
    """Leave a stream in its middle."""
    async with front.client() as client:
        headers = [GOOD, ("X-Test-Scenario", "stall;after=2;pace=0"), ("X-Custom", PLANTED)]
        await client.request("POST", f"{CHAT}?key={PLANTED}", headers, chat(model="demo"))
        await begun(simulator(house))
        client.reset()
    await stopped(simulator(house))


@each_front
async def test_planted_secrets_are_in_no_log(opener: Opener, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        files = await stack.enter_async_context(Upstream())
        files.always(answer({}, headers=[("Set-Cookie", f"a={PLANTED}"), ("X-Token", PLANTED)]))
        listed = {"kind": "openai", "base_url": f"{files.url}/v1", "passthrough": ["/v1/files"], "transparent": True}
        house = await stack.enter_async_context(open_house(demo(upstreams={"files": listed})))
        front = await stack.enter_async_context(opener(tmp_path, house))
        await serving(front)

        good = await send_all(front)
        await leave(front, house)
        proxy_said = house.log_text()
        await house.server.close()
        bad = await send_all(front)

        said = front.logs()
        assert {200, 401, 404} <= good
        assert bad & {502, 503}
        assert PLANTED not in proxy_said
        assert PLANTED not in said
        assert KEY not in proxy_said + said
        assert "/nothing/here" in said
        assert "/upstream/files/v1/files" in said
