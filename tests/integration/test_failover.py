"""Failover in every window, P17 to P21: another target answers as long as nothing of an answer was relayed, and never after."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from tests.integration.asking import BUSY, GOOD, WHOLE, ask, attempts, without_comments
from tests.support.answers import ERROR_EVENT, KEEPALIVE, TOKEN, quick
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, CHAT, FAR, House, chat, open_house
from tests.support.loops import both_loops
from tests.support.upstream import (
    Fin,
    Gate,
    Hang,
    Reply,
    Rst,
    Upstream,
    answer,
    closed_port,
    silent_port,
    stream,
    verbatim,
)

pytestmark = both_loops

Pair = tuple[Upstream, Upstream]

TIMEOUT = "upstream_timeout"

FAULTS = {
    "error status": (answer(BUSY, 503), "overloaded"),
    "error as first event": (stream(ERROR_EVENT), "upstream_error_event"),
    "error event behind comments": (stream(b": processing\n\n", ERROR_EVENT, Hang()), "upstream_error_event"),
    "hung before headers": (verbatim(Hang()), TIMEOUT),
    "hung inside the head": (verbatim(b"HTTP/1.1 200 OK\r\nContent-Ty", Hang()), TIMEOUT),
    "hung before the first event": (stream(Hang()), TIMEOUT),
    "hung inside the first event": (stream(TOKEN[:-2], Hang()), TIMEOUT),
    "closed before headers": (verbatim(Fin()), "upstream_closed"),
    "reset before headers": (verbatim(Rst()), "upstream_reset"),
    "reset inside the head": (verbatim(b"HTTP/1.1 200 OK\r\nContent-Ty", Rst()), "upstream_reset"),
    "ended without an event": (stream(), "upstream_truncated"),
    "closed inside the first event": (stream(TOKEN[:-2], Fin()), "upstream_truncated"),
    "reset inside the first event": (stream(TOKEN[:-2], Rst()), "upstream_reset"),
    "not HTTP": (verbatim(b"SSH-2.0-OpenSSH\r\n\r\n", Hang()), "upstream_malformed"),
}
BEFORE_EVENTS = {name: fault for name, fault in FAULTS.items() if not fault[0].headers or fault[0].status != 200}
windows = pytest.mark.parametrize(("fault", "result"), FAULTS.values(), ids=FAULTS.keys())
windows_without_stream = pytest.mark.parametrize(("fault", "result"), BEFORE_EVENTS.values(), ids=BEFORE_EVENTS.keys())


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Upstream, Upstream]]:
    async with Upstream() as first, Upstream() as second:
        yield first, second


def local(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def patience(result: str) -> dict[str, str]:
    """Return the clock of an attempt that is to run out, and none otherwise."""
    return {"attempt_timeout": "300ms"} if result == TIMEOUT else {}


async def begin_behind_keepalives(client: RawClient) -> Response:
    """Send a chat request and return once the client has seen the 200 and two keepalives."""
    response = await client.request("POST", CHAT, headers=BEARER, body=chat())
    await response.read_until(KEEPALIVE * 2)
    return response


async def assert_told(house: House, expected: list[tuple[str, str]], *, outcome: str = "completed", status: int = 200) -> None:
    """Assert that the only request's *expected* attempts are in its log line and in the metrics, each exactly once."""
    record = (await house.records())[0]
    assert attempts(record) == expected
    assert (record["outcome"], record["status"], record.get("retries", 0)) == (outcome, status, len(expected) - 1)
    for (upstream, result), count in Counter(expected).items():
        assert await house.metric("llm_proxy_upstream_attempts_total", upstream=upstream, result=result) == count
    assert await house.metric("llm_proxy_upstream_attempts_total") == len(expected)
    for (upstream, reason), count in Counter(expected[:-1]).items():
        assert await house.metric("llm_proxy_retries_total", upstream=upstream, reason=reason) == count
    assert await house.metric("llm_proxy_requests_total", upstream=expected[-1][0], status=str(status), outcome=outcome) == 1


# Before anything was sent to the client.


async def test_p17_refused_connection_is_replaced_by_the_next_target(pair: Pair) -> None:
    _, b = pair
    b.script(GOOD)
    with closed_port() as port:
        async with open_house(quick(local(port), b.url)) as house:
            response = await ask(house)

            assert (response.status, without_comments(response), response.end) == (200, WHOLE, End.CLEAN)
            assert len(b.requests) == 1
            await assert_told(house, [("a", "upstream_connect_failed"), ("b", "ok")])


@windows
async def test_fault_before_the_first_event_is_replaced_by_the_next_target(pair: Pair, fault: Reply, result: str) -> None:
    a, b = pair
    a.script(fault)
    b.script(GOOD)
    async with open_house(quick(a.url, b.url, streaming=patience(result))) as house:
        response = await ask(house)

        assert (response.status, without_comments(response), response.end) == (200, WHOLE, End.CLEAN)
        assert (len(a.requests), len(b.requests)) == (1, 1)
        if result == TIMEOUT:
            await a.closed()
        await assert_told(house, [("a", result), ("b", "ok")])


@windows_without_stream
async def test_fault_of_a_request_without_stream_is_replaced_by_the_next_target(pair: Pair, fault: Reply, result: str) -> None:
    a, b = pair
    a.script(fault)
    b.script(answer({"choices": []}))
    async with open_house(quick(a.url, b.url, streaming=patience(result))) as house:
        response = await ask(house, chat(stream=False))

        assert (response.status, response.json(), response.end) == (200, {"choices": []}, End.CLEAN)
        await assert_told(house, [("a", result), ("b", "ok")])


async def test_dial_that_nobody_answers_is_replaced_by_the_next_target(pair: Pair) -> None:
    _, b = pair
    b.script(GOOD)
    with silent_port() as port:
        async with open_house(quick(local(port), b.url, upstreams={"a": {"connect_timeout": "1s"}})) as house:
            response = await ask(house)

            assert (response.status, without_comments(response)) == (200, WHOLE)
            await assert_told(house, [("a", "upstream_connect_failed"), ("b", "ok")])


async def test_dial_takes_no_longer_than_its_attempt_may(pair: Pair) -> None:
    _, b = pair
    b.script(GOOD)
    with silent_port() as port:
        configured = quick(
            local(port), b.url, streaming={"attempt_timeout": "300ms"}, upstreams={"a": {"connect_timeout": "10m"}}
        )
        async with open_house(configured) as house:
            response = await ask(house)

            assert (response.status, without_comments(response)) == (200, WHOLE)
            await assert_told(house, [("a", "upstream_connect_failed"), ("b", "ok")])


async def test_dial_takes_no_longer_than_all_attempts_together_may() -> None:
    with silent_port() as port:
        configured = quick(local(port), streaming={"first_token_timeout": "300ms"}, upstreams={"a": {"connect_timeout": "10m"}})
        async with open_house(configured) as house:
            response = await ask(house)

            assert (response.status, response.json()["error"]["code"]) == (502, "upstream_connect_failed")
            assert [attempts(record) for record in await house.records()] == [[("a", "upstream_connect_failed")]]


@pytest.mark.parametrize("end", [Rst(), Fin()], ids=["reset", "closed"])
async def test_stale_pooled_connection_is_replaced_at_the_same_target_and_costs_no_attempt(pair: Pair, end: Rst | Fin) -> None:
    a, b = pair
    a.script(GOOD, verbatim(end), GOOD)
    async with open_house(quick(a.url, b.url, retry={"attempts": 1})) as house:
        await ask(house)

        response = await ask(house)

        assert (response.status, without_comments(response)) == (200, WHOLE)
        assert [(request.connection, request.fresh) for request in a.requests] == [(0, True), (0, False), (1, True)]
        assert [attempts(record) for record in await house.records(2)] == [[("a", "ok")]] * 2


async def test_pooled_connection_that_the_upstream_has_closed_is_not_used_again(pair: Pair) -> None:
    a, _ = pair
    a.script(GOOD, GOOD)
    async with open_house(quick(a.url)) as house:
        await ask(house)
        await a.close_idle()

        response = await ask(house)

        assert without_comments(response) == WHOLE
        assert [(request.connection, request.fresh) for request in a.requests] == [(0, True), (1, True)]


async def test_fresh_connection_that_breaks_is_not_dialed_again_at_the_same_target(pair: Pair) -> None:
    """The upstream may have begun to work, and to bill, so this is an attempt like any other."""
    a, _ = pair
    a.script(verbatim(Fin()))
    async with open_house(quick(a.url, retry={"attempts": 1})) as house:
        response = await ask(house)

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_closed")
        assert len(a.requests) == 1


async def test_pooled_connection_that_breaks_inside_its_answer_is_a_failed_attempt(pair: Pair) -> None:
    a, b = pair
    a.script(GOOD, verbatim(b"HTTP/1.1 200 OK\r\n", Rst()))
    b.script(GOOD)
    async with open_house(quick(a.url, b.url)) as house:
        await ask(house)

        response = await ask(house)

        assert without_comments(response) == WHOLE
        assert attempts((await house.records(2))[1]) == [("a", "upstream_reset"), ("b", "ok")]


async def test_every_attempt_carries_the_same_request_id_and_idempotency_key(pair: Pair) -> None:
    a, b = pair
    a.script(answer(BUSY, 503))
    b.script(GOOD)
    async with open_house(quick(a.url, b.url)) as house:
        response = await ask(house, headers=[*BEARER, ("Idempotency-Key", "once-7"), ("X-Request-Id", "mine-7")])

        for upstream in pair:
            seen = await upstream.request()
            assert (seen.header("idempotency-key"), seen.header("x-request-id")) == ("once-7", "mine-7")
            assert seen.body == chat()
        assert response.header("x-request-id") == "mine-7"


# Behind keepalives: the 200 is out, no event is.


@windows
async def test_fault_behind_keepalives_is_replaced_by_the_next_target(pair: Pair, fault: Reply, result: str) -> None:
    a, b = pair
    a.script(replace(fault, before=[Gate("fault"), *fault.before]))
    b.script(GOOD)
    clocks = {**patience(result), "commit_after": "50ms"}
    async with open_house(quick(a.url, b.url, streaming=clocks)) as house, house.client() as client:
        response = await begin_behind_keepalives(client)
        a.open("fault")
        await response.read()

        assert response.status == 200
        assert without_comments(response) == WHOLE
        assert response.end is End.CLEAN
        await assert_told(house, [("a", result), ("b", "ok")])
        assert await house.metric("llm_proxy_committed_early_total", route="chat") == 1


@pytest.mark.parametrize("way", [closed_port, silent_port], ids=["refused", "unanswered"])
async def test_failed_dial_behind_keepalives_is_replaced_by_the_next_target(
    pair: Pair, way: Callable[[], AbstractContextManager[int]]
) -> None:
    a, c = pair
    a.script(replace(answer(BUSY, 503), before=[Gate("fault")]))
    c.script(GOOD)
    with way() as port:
        configured = quick(
            a.url, local(port), c.url, streaming={"commit_after": "50ms"}, upstreams={"b": {"connect_timeout": "1s"}}
        )
        async with open_house(configured) as house, house.client() as client:
            response = await begin_behind_keepalives(client)
            a.open("fault")
            await response.read()

            assert (response.status, without_comments(response), response.end) == (200, WHOLE, End.CLEAN)
            await assert_told(house, [("a", "overloaded"), ("b", "upstream_connect_failed"), ("c", "ok")])


@pytest.mark.parametrize("end", [Rst(), Fin()], ids=["reset", "closed"])
async def test_stale_pooled_connection_behind_keepalives_is_replaced_at_the_same_target(pair: Pair, end: Rst | Fin) -> None:
    a, b = pair
    a.script(GOOD, replace(verbatim(end), before=[Gate("stale")]), GOOD)
    async with open_house(quick(a.url, b.url, streaming={"commit_after": "50ms"})) as house, house.client() as client:
        await ask(house)

        response = await begin_behind_keepalives(client)
        a.open("stale")
        await response.read()

        assert (without_comments(response), response.end) == (WHOLE, End.CLEAN)
        assert attempts((await house.records(2))[1]) == [("a", "ok")]


async def test_comments_of_an_upstream_are_relayed_and_do_not_end_failover(pair: Pair) -> None:
    a, b = pair
    a.script(stream(Gate("comment"), b": OPENROUTER PROCESSING\n\n", Gate("fault"), Rst()))
    b.script(GOOD)
    async with open_house(quick(a.url, b.url, streaming={"commit_after": "50ms"})) as house, house.client() as client:
        response = await begin_behind_keepalives(client)
        a.open("comment")
        await response.read_until(b": OPENROUTER PROCESSING\n\n")
        a.open("fault")
        await response.read()

        assert (without_comments(response), response.end) == (WHOLE, End.CLEAN)
        await assert_told(house, [("a", "upstream_reset"), ("b", "ok")])


async def test_last_error_behind_keepalives_is_told_in_the_stream_which_is_then_cut(pair: Pair) -> None:
    a, b = pair
    a.script(replace(answer(BUSY, 503), before=[Gate("fault")]))
    b.script(answer(BUSY, 503))
    configured = quick(a.url, b.url, streaming={"commit_after": "50ms"}, retry={"attempts": 2})
    async with open_house(configured) as house, house.client() as client:
        response = await begin_behind_keepalives(client)
        a.open("fault")
        await response.read()

        told = without_comments(response)
        assert json.loads(told.removeprefix(b"data: ")) == BUSY
        assert told.endswith(b"\n\n")
        assert response.end in (End.ABORTED, End.RESET)
        await assert_told(house, [("a", "overloaded"), ("b", "overloaded")], outcome="upstream_error")


async def test_json_answer_behind_keepalives_becomes_an_error_in_the_stream(pair: Pair) -> None:
    a, b = pair
    a.script(replace(answer({"choices": []}), before=[Gate("answer")]))
    async with open_house(quick(a.url, b.url, streaming={"commit_after": "50ms"})) as house, house.client() as client:
        response = await begin_behind_keepalives(client)
        a.open("answer")
        await response.read()

        assert json.loads(without_comments(response).removeprefix(b"data: "))["error"]["code"] == "upstream_unexpected"
        assert response.end in (End.ABORTED, End.RESET)
        assert b.requests == []


# What must not be tried again.


@pytest.mark.parametrize("commit_after", [FAR, "50ms"], ids=["before commit", "behind keepalives"])
@pytest.mark.parametrize(
    ("end", "result"),
    [(Rst(), "upstream_reset"), (Fin(), "upstream_truncated"), (ERROR_EVENT, "upstream_error_event")],
    ids=["reset", "closed", "error event"],
)
async def test_p19_nothing_is_tried_again_after_the_first_relayed_event(
    pair: Pair, end: Rst | Fin | bytes, result: str, commit_after: str
) -> None:
    a, b = pair
    a.script(stream(Gate("begin"), TOKEN, Gate("die"), end))
    async with open_house(quick(a.url, b.url, streaming={"commit_after": commit_after})) as house, house.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat())
        if commit_after == FAR:
            a.open("begin")
        response = await client.response()
        a.open("begin")
        await response.read_until(TOKEN)
        a.open("die")
        await response.read()

        assert without_comments(response).startswith(TOKEN + b'data: {"error":')
        assert b"[DONE]" not in response.body
        assert b.requests == []
        assert attempts((await house.records())[0]) == [("a", result)]


async def test_p18_error_status_that_another_target_may_mend_is_not_shown(pair: Pair) -> None:
    a, b = pair
    for status in (500, 502, 503, 504, 529, 429):
        a.script(replace(answer(BUSY, status), reason="Busy"))
        b.script(GOOD)
    async with open_house(quick(a.url, b.url, circuit={"failures": 100})) as house:
        seen = [(await ask(house)).status for _ in range(6)]

        assert seen == [200] * 6
        assert (len(a.requests), len(b.requests)) == (6, 6)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("streamed", [True, False])
async def test_p18_error_of_the_client_is_passed_through_byte_for_byte(pair: Pair, status: int, streamed: bool) -> None:
    a, b = pair
    body = b'{ "error" : {"message":"\xc3\xa9", "type":"invalid_request_error","x":1.50} }\n'
    a.script(answer(body, status, headers=[("X-Upstream", "kept"), ("Retry-After", "9")]))
    async with open_house(quick(a.url, b.url)) as house:
        response = await ask(house, chat(stream=streamed))

        assert (response.status, bytes(response.body)) == (status, body)
        assert (response.header("x-upstream"), response.header("retry-after")) == ("kept", "9")
        assert response.header("x-should-retry") is None
        assert b.requests == []
        await assert_told(house, [("a", "refused")], outcome="upstream_error", status=status)


async def test_statuses_to_retry_are_those_of_the_settings(pair: Pair) -> None:
    a, b = pair
    a.script(answer(BUSY, 503))
    async with open_house(quick(a.url, b.url, retry={"statuses": [500]})) as house:
        response = await ask(house)

        assert (response.status, response.json()) == (503, BUSY)
        assert b.requests == []


async def test_body_larger_than_the_retry_limit_is_sent_once(pair: Pair) -> None:
    a, b = pair
    a.script(verbatim(Rst()))
    async with open_house(quick(a.url, b.url, retry={"max_body": "1KiB"})) as house:
        response = await ask(house, chat(padding="x" * 2000))

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_reset")
        assert b.requests == []


async def test_large_body_of_which_nothing_was_sent_goes_to_the_next_target(pair: Pair) -> None:
    _, b = pair
    body = chat(padding="x" * 2000)
    b.script(GOOD)
    with closed_port() as port:
        async with open_house(quick(local(port), b.url, retry={"max_body": "1KiB"})) as house:
            response = await ask(house, body)

            assert response.status == 200
            assert (await b.request()).body == body


async def test_stateful_call_goes_to_the_first_target_only(pair: Pair) -> None:
    """Nobody else knows the state that it refers to."""
    a, b = pair
    a.always(answer(BUSY, 503))
    async with open_house(quick(a.url, b.url)) as house:
        body = json.dumps({"model": "gpt-test", "input": "hi", "previous_response_id": "resp_1"}).encode()

        response = await ask(house, body, target="/v1/responses")

        assert response.status == 503
        assert (len(a.requests), len(b.requests)) == (3, 0)
