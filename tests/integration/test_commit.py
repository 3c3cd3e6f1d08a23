"""When the response is committed: at the first whole event, or earlier and then with a keepalive, and what is held until then."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.settings import Settings
from tests.support.answers import ERROR_EVENT, KEEPALIVE, TOKEN, ask, intervals_pass, only_record, quick, send
from tests.support.client import End
from tests.support.house import BEARER, FAR, chat, open_house
from tests.support.streams import BOM
from tests.support.upstream import DONE, Drip, Fin, Gate, Hang, Reply, Upstream, answer, stream, verbatim
from tests.support.whatwg import events

HOLD_LIMIT = 16 * 1024
COMMENT = b": OPENROUTER PROCESSING\n\n"
BAD_REQUEST = {"error": {"message": "no such tool", "type": "invalid_request_error", "param": "tools", "code": "no_such_tool"}}
AT_ONCE = {"commit_after": "0s"}
SOON = {"commit_after": "100ms", "keepalive_interval": FAR}


@pytest.mark.parametrize("begun", [b"", TOKEN[:9], TOKEN[:-1], COMMENT, COMMENT + TOKEN[:-1], BOM], ids=repr)
async def test_nothing_is_sent_before_the_first_whole_event(begun: bytes) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        whole = COMMENT + TOKEN if begun.startswith(COMMENT) else BOM + TOKEN if begun == BOM else TOKEN
        upstream.script(stream(*([begun] if begun else []), Gate("rest"), whole[len(begun) :], DONE))

        await send(client)
        await upstream.reached("rest")
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")
        response = await client.response()

        assert await response.read() == whole + DONE
        assert response.chunks == [len(whole), len(DONE)]


async def test_an_answer_that_came_in_time_keeps_the_upstreams_headers() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        headers = [("X-Ratelimit-Remaining", "7"), ("Cache-Control", "private")]
        upstream.script(stream(TOKEN, DONE, headers=headers))

        response = await ask(client)
        await response.read()

        assert response.status == 200
        assert response.header("x-ratelimit-remaining") == "7"
        assert response.header("cache-control") == "no-cache, no-transform"
        assert "committed_early" not in await only_record(house)


async def test_after_commit_after_the_client_gets_a_200_and_a_first_keepalive() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(Gate("answer"), TOKEN, DONE))

        asked = time.monotonic()
        response = await ask(client)
        await response.read_until(KEEPALIVE)
        took = time.monotonic() - asked
        upstream.open("answer")
        body = await response.read()

        assert 0.1 <= took < 1
        assert response.status == 200
        assert response.header("content-type") == "text/event-stream; charset=utf-8"
        assert response.header("cache-control") == "no-cache, no-transform"
        assert response.header("x-accel-buffering") == "no"
        assert response.header("x-request-id")
        assert response.header("transfer-encoding") == "chunked"
        assert response.header("content-length") is None
        assert response.header("content-encoding") is None
        assert body == KEEPALIVE + TOKEN + DONE
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert (record["outcome"], record["status"], record["committed_early"]) == ("completed", 200, True)
        assert await house.metric("llm_proxy_committed_early_total", route="chat") == 1


async def test_commit_after_0_means_at_once_and_not_at_the_next_tick() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=AT_ONCE)) as house, house.client() as client:
        house.server.ticker.stop()
        upstream.script(verbatim(Hang()))

        response = await ask(client)

        await response.read_until(KEEPALIVE)


async def test_a_request_that_did_not_ask_for_a_stream_is_not_committed_early() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=AT_ONCE)) as house, house.client() as client:
        upstream.script(replace(answer({}), before=[Gate("head")]))

        await send(client, stream=False)
        await upstream.reached("head")
        await intervals_pass(house, upstream)

        assert not client.wire.inbox
        upstream.open("head")
        assert await (await client.response()).read() == b"{}"


async def test_a_named_upstream_is_not_committed_early_whatever_the_request_accepts() -> None:
    async with Upstream() as upstream, open_house(passing(upstream.url)) as house, house.client() as client:
        upstream.script(stream(Gate("event"), b"data: 1\n\n"))

        await client.send_request("POST", "/upstream/a/v1/events", [*BEARER, ("Accept", "text/event-stream")], chat())
        await upstream.reached("event")
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("event")

        assert await (await client.response()).read() == b"data: 1\n\n"


async def test_comments_behind_an_early_commit_go_on_at_once() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=AT_ONCE)) as house, house.client() as client:
        upstream.script(stream(Gate("one"), COMMENT, Gate("two"), COMMENT[:9], Gate("three"), COMMENT[9:], TOKEN, DONE))

        response = await ask(client)
        await response.read_until(KEEPALIVE)
        upstream.open("one")
        await response.read_until(COMMENT)
        upstream.open("two")
        await upstream.reached("three")
        upstream.open("three")
        body = await response.read()

        assert body.replace(KEEPALIVE, b"") == COMMENT * 2 + TOKEN + DONE
        assert (await only_record(house))["outcome"] == "completed"


async def test_comments_held_at_an_early_commit_go_out_with_it() -> None:
    """What has been kept back must not wait for the upstream's next byte."""
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(COMMENT, TOKEN[:9], Gate("rest"), TOKEN[9:], DONE))

        response = await ask(client)
        await response.read_until(KEEPALIVE + COMMENT)
        upstream.open("rest")

        assert await response.read() == KEEPALIVE + COMMENT + TOKEN + DONE


@pytest.mark.parametrize("size", [HOLD_LIMIT + 1000, 200 * 1024], ids=["a little too much", "far too much"])
async def test_more_comments_than_are_held_commit_the_response(size: int) -> None:
    comments = COMMENT * (size // len(COMMENT))
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(comments, Gate("rest"), TOKEN, DONE))

        response = await ask(client)
        await response.read_until(KEEPALIVE + comments)
        upstream.open("rest")
        body = await response.read()

        assert body.replace(KEEPALIVE, b"") == comments + TOKEN + DONE
        assert (await only_record(house))["committed_early"]


async def test_relayed_comments_decide_nothing() -> None:
    async with (
        Upstream() as first,
        Upstream() as second,
        open_house(quick(first.url, second.url, streaming=AT_ONCE)) as house,
        house.client() as client,
    ):
        first.script(stream(BOM + COMMENT, Gate("dead"), TOKEN[:-1], Fin()))
        second.script(stream(Drip(BOM), TOKEN, DONE))

        response = await ask(client)
        await response.read_until(COMMENT)
        first.open("dead")
        body = await response.read()

        assert body.replace(KEEPALIVE, b"") == COMMENT + TOKEN + DONE, "each answer's BOM is dropped behind our frames"
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert [attempt["result"] for attempt in record["attempts"]] == ["upstream_truncated", "ok"]


@pytest.mark.parametrize("commit_after", [FAR, "0s"], ids=["before the commit", "behind an early commit"])
async def test_an_error_as_first_event_is_a_failed_attempt_and_passed_on_only_when_no_other_is_left(commit_after: str) -> None:
    streaming = {"commit_after": commit_after}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.always(stream(COMMENT, ERROR_EVENT))

        response = await ask(client)
        body = await response.read()

        assert body.replace(KEEPALIVE, b"").replace(COMMENT, b"") == ERROR_EVENT
        assert response.end is End.CLEAN
        assert len(upstream.requests) == 3
        record = await only_record(house)
        assert record["outcome"] == "in_band_error"
        assert {attempt["result"] for attempt in record["attempts"]} == {"upstream_error_event"}
        if commit_after == FAR:
            assert response.header("x-should-retry") == "false"


async def test_of_a_long_first_event_no_more_than_16_kib_are_held() -> None:
    head, filler = b'data: {"choices":[{"index":0,"delta":{"content":"', b"x" * HOLD_LIMIT
    begun = (head + filler)[:HOLD_LIMIT]
    rest = TOKEN[len(head) :]
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(begun, Gate("one more"), b"x", Gate("rest"), rest, DONE))

        await send(client)
        await upstream.reached("one more")
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("one more")
        response = await client.response()
        await response.read_until(begun + b"x")
        upstream.open("rest")
        body = await response.read()

        assert body == begun + b"x" + rest + DONE
        assert response.end is End.CLEAN


@pytest.mark.parametrize(
    "reply",
    [
        answer({"choices": []}),
        Reply(headers=[("Content-Type", "text/html")], body=[b"<h1>Welcome</h1>"]),
        stream(gzip.compress(TOKEN + DONE), headers=[("Content-Encoding", "gzip")]),
        Reply(headers=[("Content-Type", "application/x-ndjson")], body=[b"{}\n"]),
        Reply(status=302, headers=[("Location", "https://elsewhere.example/")], framing="length"),
    ],
    ids=["JSON", "HTML", "gzip", "NDJSON", "redirect"],
)
async def test_behind_an_early_commit_anything_but_an_event_stream_becomes_an_error_in_the_stream(reply: Reply) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=AT_ONCE)) as house, house.client() as client:
        upstream.script(replace(reply, before=[Gate("head")]))

        response = await ask(client)
        await response.read_until(KEEPALIVE)
        upstream.open("head")
        body = await response.read()

        assert error_in(body)["code"] == "upstream_unexpected"
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_error"
        assert len(upstream.requests) == 1


async def test_behind_an_early_commit_a_refusal_is_told_in_the_upstreams_own_words() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=AT_ONCE)) as house, house.client() as client:
        upstream.script(replace(answer(BAD_REQUEST, 400), before=[Gate("head")]))

        response = await ask(client)
        await response.read_until(KEEPALIVE)
        upstream.open("head")
        body = await response.read()

        assert error_in(body) == BAD_REQUEST["error"]
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_error"


def error_in(body: bytes) -> Any:
    """Return the error object of the only event."""
    (event,) = events(body)
    return json.loads(event.data)["error"]


def passing(url: str) -> Settings:
    """Return settings with a path to the upstream itself."""
    return quick(url, streaming=AT_ONCE, upstreams={"a": {"passthrough": ["/v1/events"]}})
