"""An issuer's keys are fetched rarely, kept through trouble, and waited for only when there is no other way."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.auth.jwks import (
    ABSENT_FOR,
    FAILURE_PAUSE,
    KEEP,
    MAX_DOCUMENT,
    TTL,
    UNKNOWN_KEY_COOLDOWN,
    JwksCache,
    JwksClient,
)
from proxy.auth.keyset import VerifyingKey
from proxy.errors import Unauthenticated
from tests.unit.auth.issuing import Clock, KeyServer, document, jwk, random_kid, rsa_key, serving

FIRST = jwk(rsa_key(), "first")
SECOND = jwk(rsa_key("second"), "second")


class Bench:
    """One cache over a real connection to a real key server."""

    def __init__(self, server: KeyServer, patience: float) -> None:
        self.server = server
        self.clock = Clock()
        self.client = JwksClient()
        self.cache = JwksCache(server.url, ("RS256",), client=self.client, clock=self.clock, patience=patience)

    async def find(self, key_id: str | None) -> VerifyingKey:
        return await self.cache.find(key_id, "RS256")

    async def refusal(self, key_id: str | None) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.find(key_id)
        return caught.value.reason


@asynccontextmanager
async def bench(patience: float = 5.0) -> AsyncIterator[Bench]:
    async with serving(FIRST) as server:
        made = Bench(server, patience)
        try:
            yield made
        finally:
            await made.cache.close()
            await made.client.close()


async def test_keys_are_loaded_in_the_background_once() -> None:
    async with bench() as b:
        b.cache.start()
        assert b.server.hits == 0

        found = await asyncio.gather(*(b.find("first") for _ in range(20)))

        assert {key.key_id for key in found} == {"first"}
        assert b.server.hits == 1


async def test_keys_are_loaded_on_the_first_need_without_a_start() -> None:
    async with bench() as b:
        key = await b.find("first")

        assert key.key_id == "first"


async def test_a_request_waits_only_so_long_for_keys_that_do_not_come() -> None:
    async with bench(patience=0.05) as b:
        b.server.open.clear()
        b.cache.start()

        reason = await b.refusal("first")

        assert reason == "keys_unavailable"


async def test_keys_that_come_late_serve_those_who_ask_later() -> None:
    async with bench(patience=0.05) as b:
        b.server.open.clear()
        await b.refusal("first")
        b.server.open.set()
        b.cache._patience = 5.0

        key = await b.find("first")

        assert key.key_id == "first"
        assert b.server.hits == 1


async def test_a_caller_that_leaves_does_not_stop_the_refresh_for_the_others() -> None:
    async with bench() as b:
        b.server.open.clear()
        leaver = asyncio.get_running_loop().create_task(b.find("first"))
        stayer = asyncio.get_running_loop().create_task(b.find("first"))
        await b.server.asked.wait()

        leaver.cancel()
        await asyncio.wait((leaver,))
        b.server.open.set()

        assert (await stayer).key_id == "first"
        assert leaver.cancelled()
        assert b.server.hits == 1


async def test_from_half_its_life_a_document_is_refreshed_without_anybody_waiting() -> None:
    async with bench() as b:
        await b.find("first")
        b.server.open.clear()
        b.server.asked.clear()

        b.clock.now += TTL / 2 - 1
        await b.find("first")
        b.clock.now += 1
        key = await b.find("first")

        assert key.key_id == "first"
        await b.server.asked.wait()
        assert b.server.hits == 2


async def test_beyond_its_life_a_document_is_refreshed_before_it_is_used() -> None:
    """A key that was withdrawn during a quiet night must not let the first caller of the morning in."""
    async with bench() as b:
        await b.find("first")
        b.server.publish(SECOND)
        b.clock.now += TTL

        reason = await b.refusal("first")

        assert reason == "unknown_key_id"
        assert (await b.find("second")).key_id == "second"


async def test_a_rotated_key_is_found_at_once() -> None:
    async with bench() as b:
        await b.find("first")
        b.server.publish(FIRST, SECOND)

        key = await b.find("second")

        assert key.key_id == "second"
        assert b.server.hits == 2


async def test_unknown_key_ids_cost_one_fetch_in_a_while_whatever_their_names() -> None:
    async with bench() as b:
        await b.find("first")

        at_once = await asyncio.gather(*(b.refusal(random_kid()) for _ in range(25)))
        after = [await b.refusal(random_kid()) for _ in range(25)]

        assert {*at_once, *after} == {"unknown_key_id"}
        assert b.server.hits == 2
        b.clock.now += UNKNOWN_KEY_COOLDOWN
        await b.refusal(random_kid())
        assert b.server.hits == 3


async def test_an_id_that_was_just_looked_for_asks_for_no_other_fetch() -> None:
    """One client with a retired token must not use up what a rotation needs."""
    async with bench() as b:
        await b.refusal("retired")
        hits = b.server.hits

        b.clock.now += UNKNOWN_KEY_COOLDOWN
        await b.refusal("retired")
        assert b.server.hits == hits

        b.clock.now += ABSENT_FOR - UNKNOWN_KEY_COOLDOWN
        await b.refusal("retired")
        assert b.server.hits == hits + 1


async def test_an_absent_id_is_found_as_soon_as_any_refresh_brings_it() -> None:
    async with bench() as b:
        await b.refusal("second")
        b.server.publish(FIRST, SECOND)
        b.clock.now += UNKNOWN_KEY_COOLDOWN
        await b.refusal("another")

        key = await b.find("second")

        assert key.key_id == "second"


async def test_a_refresh_that_is_under_way_is_waited_for_even_when_no_other_may_begin() -> None:
    async with bench() as b:
        await b.find("first")
        b.server.status = 503
        b.clock.now += TTL / 2 - 1
        await b.refusal(random_kid())
        b.server.status = 200
        b.server.publish(FIRST, SECOND)
        b.clock.now += FAILURE_PAUSE

        key = await b.find("second")

        assert key.key_id == "second"
        assert b.server.hits == 3


async def test_a_token_without_a_key_id_causes_no_search() -> None:
    async with bench() as b:
        b.server.publish(FIRST, SECOND)

        reasons = [await b.refusal(None) for _ in range(3)]

        assert set(reasons) == {"unknown_key_id"}
        assert b.server.hits == 1


async def test_good_keys_survive_an_outage_for_hours() -> None:
    async with bench() as b:
        await b.find("first")
        b.server.status = 503

        for _ in range(20):
            b.clock.now += KEEP / 20
            assert (await b.find("first")).key_id == "first"

        b.clock.now += 1
        assert await b.refusal("first") == "keys_unavailable"


async def test_in_a_known_outage_nobody_waits() -> None:
    async with bench() as b:
        await b.find("first")
        b.server.status = 503
        b.clock.now += TTL
        await b.find("first")
        b.server.open.clear()
        b.server.asked.clear()
        b.clock.now += FAILURE_PAUSE

        key = await asyncio.wait_for(b.find("first"), 1.0)

        assert key.key_id == "first"
        await b.server.asked.wait()


async def test_after_an_issuer_that_hangs_nobody_waits_a_second_time() -> None:
    async with bench(patience=0.05) as b:
        await b.find("first")
        b.server.open.clear()
        b.clock.now += TTL
        await b.find("first")
        b.cache._patience = 60.0

        key = await asyncio.wait_for(b.find("first"), 1.0)

        assert key.key_id == "first"


async def test_failures_are_tried_again_after_a_pause_only() -> None:
    async with bench() as b:
        b.server.status = 500

        reasons = [await b.refusal("first") for _ in range(5)]

        assert set(reasons) == {"keys_unavailable"}
        assert b.server.hits == 1
        b.server.status = 200
        b.clock.now += FAILURE_PAUSE
        assert (await b.find("first")).key_id == "first"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>down for maintenance</html>", "not JSON"),
        (b'{"keys": []}', "no usable key"),
        (document(jwk(rsa_key(), "first", use="enc")), "no usable key"),
        (b'{"error": "nope"}', "not a key set"),
        (b" " * MAX_DOCUMENT + document(SECOND), "larger than"),
        (b"\x80" * 100, "not JSON"),
    ],
    ids=["html", "empty", "no signing key", "other JSON", "huge", "binary"],
)
async def test_a_bad_document_never_replaces_good_keys(body: bytes, said: str, caplog: pytest.LogCaptureFixture) -> None:
    async with bench() as b:
        await b.find("first")
        b.server.body = body
        b.clock.now += TTL

        with caplog.at_level(logging.WARNING, "proxy.auth.jwks"):
            key = await b.find("first")

        assert key.key_id == "first"
        assert b.server.hits == 2
        assert said in caplog.records[0].__dict__["error"]


async def test_the_largest_document_is_read() -> None:
    async with bench() as b:
        b.server.body = document(FIRST).rjust(MAX_DOCUMENT)

        key = await b.find("first")

        assert key.key_id == "first"


async def test_a_compressed_document_is_measured_unpacked() -> None:
    async with bench() as b:
        b.server.body = gzip.compress(b" " * (64 * MAX_DOCUMENT) + document(FIRST))
        b.server.response_headers = {"Content-Encoding": "gzip"}

        reason = await b.refusal("first")

        assert reason == "keys_unavailable"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with bench() as b:
        b.server.status = status
        b.server.response_headers = {"Location": b.server.url.replace("jwks.json", "elsewhere.json")}

        reason = await b.refusal("first")

        assert reason == "keys_unavailable"
        assert b.server.hits == 1


async def test_nothing_is_carried_from_one_fetch_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with bench() as b:
        b.server.response_headers = {"Set-Cookie": "a=1"}
        await b.find("first")

        await b.refusal("second")

        assert b.server.hits == 2
        assert all("Cookie" not in headers and "Authorization" not in headers for headers in b.server.headers)


async def test_an_unreachable_issuer_is_a_log_line_and_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    client = JwksClient()
    cache = JwksCache("http://127.0.0.1:1/jwks.json", ("RS256",), client=client, clock=Clock())

    with caplog.at_level(logging.WARNING, "proxy.auth.jwks"), pytest.raises(Unauthenticated) as caught:
        await cache.find("first", "RS256")

    assert caught.value.reason == "keys_unavailable"
    assert [record.message for record in caplog.records] == ["jwks refresh failed"]
    assert caplog.records[0].__dict__["error"] == "ClientConnectorError"
    await client.close()


async def test_closing_ends_a_refresh_and_those_who_wait_for_it() -> None:
    async with bench() as b:
        b.server.open.clear()
        waiting = asyncio.get_running_loop().create_task(b.find("first"))
        await b.server.asked.wait()

        await b.cache.close()

        with pytest.raises(Unauthenticated):
            await waiting
        assert len(b.cache._tasks) == 0


async def test_a_cache_prints_what_it_knows() -> None:
    async with bench() as b:
        await b.find("first")

        assert repr(b.cache) == "JwksCache(1 keys, failing=False)"
