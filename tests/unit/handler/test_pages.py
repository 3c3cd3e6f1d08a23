"""Health, and who am I."""

from __future__ import annotations

import orjson
import pytest

from proxy.handler import pages
from tests.unit.handler.calling import asked, principal

GET = b"GET %b HTTP/1.1\r\nHost: p\r\n\r\n"


@pytest.mark.parametrize(("serving", "status", "word"), [(True, 200, "ok"), (False, 503, "draining")])
async def test_health_says_whether_to_send_more(serving: bool, status: int, word: str) -> None:
    async with asked() as it:
        pages.health(it.call, serving=serving)

        assert it.head[0].startswith(b"HTTP/1.1 %d " % status)
        assert orjson.loads(it.body) == {"status": word}
        assert it.call.exchange.status == status


async def test_small_answer_is_json_that_nobody_keeps() -> None:
    async with asked() as it:
        pages.answer_json(it.call, 200, [1])

        assert b"Content-Type: application/json" in it.head
        assert b"Cache-Control: no-store" in it.head
        assert b"X-Request-Id: r1" in it.head
        assert it.body == b"[1]"


@pytest.mark.parametrize(
    ("models", "expires_at", "told_models", "told_time"),
    [
        ((), None, ["*"], None),
        (("gpt-*", "o1"), None, ["gpt-*", "o1"], None),
        ((), 1_763_719_383.0, ["*"], "2025-11-21T10:03:03Z"),
        ((), 1_763_719_383.96, ["*"], "2025-11-21T10:03:03Z"),
        ((), 0.0, ["*"], "1970-01-01T00:00:00Z"),
    ],
)
async def test_ping_says_who_what_and_how_long(
    models: tuple[str, ...], expires_at: float | None, told_models: list[str], told_time: str | None
) -> None:
    async with asked() as it:
        it.call.principal = principal(*models, expires_at=expires_at)

        pages.ping(it.call)

        assert orjson.loads(it.body) == {"subject": "ann", "models": told_models, "expires_at": told_time}
        assert it.call.exchange.status == 200
