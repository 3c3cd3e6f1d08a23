"""The rules of attempts, P20 and P21: how often, after which wait, at which target, and what the client hears of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from tests.integration.asking import BUSY, GOOD, WHOLE, ask, attempts, until, without_comments
from tests.support.answers import KEEPALIVE, TOKEN, quick
from tests.support.client import End
from tests.support.house import BEARER, CHAT, House, chat, open_house, settings
from tests.support.upstream import DONE, Drip, Gate, Hang, Reply, Upstream, answer, closed_port, stream, verbatim

Pair = tuple[Upstream, Upstream]

LIMITED = {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
FAILED = answer(BUSY, 500)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Upstream() as first, Upstream() as second:
        yield first, second


def limited(**headers: str) -> Reply:
    """Return a 429 with these headers."""
    return answer(LIMITED, 429, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])


async def timed_ask(house: House, body: bytes = b"") -> tuple[float, Any]:
    """Return how long it took until a request had the last word of its answer, and the answer."""
    began = time.monotonic()
    response = await ask(house, body)
    return response.reads[-1].at - began, response


async def until_circuit(house: House, state: int) -> None:
    """Wait until the circuit of `a` is in that state."""

    async def seen() -> bool:
        return await house.metric("llm_proxy_circuit_state", upstream="a") == state

    await until(seen, f"circuit state {state}")


# Deadlines.


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_p21_upstream_that_never_sends_headers_gets_a_504_at_the_limit(pair: Pair, streamed: bool) -> None:
    a, _ = pair
    a.script(verbatim(Hang()))
    configured = quick(a.url, streaming={"first_token_timeout": "2s", "response_timeout": "2s"}, retry={"attempts": 1})
    async with open_house(configured) as house:
        took, response = await timed_ask(house, chat(stream=streamed))
        answered = time.monotonic()

        assert took == pytest.approx(2, rel=0.1)
        assert (response.status, response.header("content-type")) == (504, "application/json")
        assert response.json()["error"]["code"] == "upstream_timeout"
        assert (await a.closed()).at - answered <= 0.1
        record = (await house.records())[0]
        assert (record["outcome"], record["code"], attempts(record)) == (
            "upstream_timeout",
            "upstream_timeout",
            [("a", "upstream_timeout")],
        )
        assert await house.metric("llm_proxy_requests_total", outcome="upstream_timeout", status="504") == 1


async def test_p21_timeout_behind_keepalives_is_told_in_the_stream_which_is_then_cut(pair: Pair) -> None:
    a, _ = pair
    a.script(stream(Hang()))
    configured = quick(a.url, streaming={"commit_after": "50ms", "first_token_timeout": "1s"}, retry={"attempts": 1})
    async with open_house(configured) as house:
        took, response = await timed_ask(house)

        assert took == pytest.approx(1, abs=0.2)
        assert response.status == 200
        assert b'"code":"upstream_timeout"' in without_comments(response)
        assert response.end in (End.ABORTED, End.RESET)
        assert (await house.records())[0]["outcome"] == "upstream_timeout"


async def test_comments_of_an_upstream_do_not_move_the_deadline(pair: Pair) -> None:
    """A keepalive never hides a dead upstream."""
    a, _ = pair
    a.script(stream(Drip(b": busy\n\n" * 100, size=8, gap=0.05)))
    async with open_house(quick(a.url, streaming={"commit_after": "50ms", "first_token_timeout": "1s"})) as house:
        took, response = await timed_ask(house)

        assert took == pytest.approx(1, abs=0.2)
        assert b"upstream_timeout" in response.body


async def test_attempt_timeout_holds_while_a_fresh_target_is_left_and_the_last_has_what_remains(pair: Pair) -> None:
    a, b = pair
    for upstream in pair:
        upstream.script(verbatim(Hang()))
    configured = quick(a.url, b.url, streaming={"attempt_timeout": "500ms", "first_token_timeout": "2s"})
    async with open_house(configured) as house:
        took, response = await timed_ask(house)

        assert (response.status, response.header("x-should-retry")) == (504, "false")
        assert took == pytest.approx(2, rel=0.1)
        record = (await house.records())[0]
        assert [attempt["ms"] for attempt in record["attempts"]] == pytest.approx([500, 1500], abs=200)


async def test_deadline_covers_all_attempts_and_their_waits_together(pair: Pair) -> None:
    a, _ = pair
    a.script(FAILED, FAILED, verbatim(Hang()))
    configured = quick(a.url, streaming={"first_token_timeout": "1s"}, retry={"backoff_base": "100ms", "backoff_cap": "100ms"})
    async with open_house(configured) as house:
        took, response = await timed_ask(house)

        assert response.status == 504
        assert took == pytest.approx(1, abs=0.2)


# Retry-After.


@pytest.mark.parametrize("most", [2, 3], ids=["attempts used up", "attempts left"])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_p20_long_retry_after_of_every_target_is_passed_on_without_a_wait(pair: Pair, streamed: bool, most: int) -> None:
    a, b = pair
    for upstream in pair:
        upstream.script(limited(Retry_After="7"))
    near = {"first_token_timeout": "5s", "response_timeout": "5s"}
    async with open_house(quick(a.url, b.url, streaming=near, retry={"attempts": most})) as house:
        took, response = await timed_ask(house, chat(stream=streamed))

        assert took < 1
        assert (response.status, response.header("retry-after"), response.json()) == (429, "7", LIMITED)
        assert response.header("x-should-retry") is None, "the client's own wait is right here"
        assert (len(a.requests), len(b.requests)) == (1, 1)
        assert attempts((await house.records())[0]) == [("a", "rate_limited"), ("b", "rate_limited")]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_retry_after_that_reaches_past_the_commit_is_passed_on(pair: Pair, streamed: bool) -> None:
    """Behind an early commit the client could no longer hear of it."""
    a, _ = pair
    a.script(limited(Retry_After="1"))
    async with open_house(quick(a.url, streaming={"commit_after": "500ms"})) as house:
        took, response = await timed_ask(house, chat(stream=streamed))

        assert took < 0.5
        assert (response.status, response.header("retry-after")) == (429, "1")
        assert len(a.requests) == 1


async def test_retry_after_longer_than_honoured_is_passed_on(pair: Pair) -> None:
    a, _ = pair
    a.script(limited(Retry_After="1"))
    async with open_house(quick(a.url, retry={"honour_retry_after": "500ms"})) as house:
        took, response = await timed_ask(house)

        assert took < 0.5
        assert (response.status, response.header("retry-after")) == (429, "1")


@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "1"}, {"Retry_After_Ms": "1000"}, {"Retry_After": "DATE"}],
    ids=["seconds", "milliseconds", "date"],
)
async def test_short_retry_after_is_waited_out(pair: Pair, headers: dict[str, str]) -> None:
    a, _ = pair
    async with open_house(quick(a.url)) as house:
        # a date has no fractions: three seconds on, it is between two and three away, less what passes until it is read
        given = {name: formatdate(time.time() + 3, usegmt=True) if value == "DATE" else value for name, value in headers.items()}
        a.script(limited(**given), GOOD)
        took, response = await timed_ask(house)

        assert (response.status, without_comments(response)) == (200, WHOLE)
        assert 0.9 < took < 3.5
        assert a.requests[1].at - a.requests[0].at > 0.9


async def test_retry_after_is_waited_out_behind_keepalives(pair: Pair) -> None:
    a, _ = pair
    a.script(replace(limited(Retry_After="1"), before=[Gate("limit")]), GOOD)
    async with open_house(quick(a.url, streaming={"commit_after": "50ms"})) as house, house.client() as client:
        response = await client.request("POST", CHAT, headers=BEARER, body=chat())
        await response.read_until(KEEPALIVE)
        a.open("limit")
        await response.read()

        assert (without_comments(response), response.end) == (WHOLE, End.CLEAN)
        assert a.requests[1].at - a.requests[0].at > 0.9


async def test_target_that_is_limited_is_left_for_another_at_once(pair: Pair) -> None:
    a, b = pair
    a.script(limited(Retry_After="7"))
    b.script(GOOD, GOOD)
    async with open_house(quick(a.url, b.url)) as house:
        took, response = await timed_ask(house)
        following = await ask(house)

        assert took < 1
        assert (response.status, following.status) == (200, 200)
        assert len(a.requests) == 1, "it is cooling: the second request has not asked it"
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


# What the client hears.


async def test_last_error_says_that_the_attempts_are_used_up(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, FAILED)
    b.script(FAILED)
    async with open_house(quick(a.url, b.url)) as house:
        response = await ask(house)

        assert (response.status, response.json(), response.header("x-should-retry")) == (500, BUSY, "false")
        assert attempts((await house.records())[0]) == [("a", "server_error"), ("b", "server_error"), ("a", "server_error")]


async def test_error_of_a_proxy_that_makes_one_attempt_leaves_retries_to_the_client(pair: Pair) -> None:
    a, _ = pair
    a.script(FAILED)
    async with open_house(quick(a.url, retry={"attempts": 1})) as house:
        response = await ask(house)

        assert (response.status, response.header("x-should-retry")) == (500, None)


async def test_last_limit_without_a_hint_says_that_the_attempts_are_used_up(pair: Pair) -> None:
    a, _ = pair
    a.script(limited(), limited(), limited())
    async with open_house(quick(a.url)) as house:
        response = await ask(house)

        assert (response.status, response.json(), response.header("x-should-retry")) == (429, LIMITED, "false")


async def test_upstreams_that_cannot_be_reached_get_a_502_in_the_dialect(pair: Pair) -> None:
    with closed_port() as port:
        async with open_house(quick(f"http://127.0.0.1:{port}")) as house:
            response = await ask(house)

            error = response.json()["error"]
            assert (response.status, error["code"], response.header("x-should-retry")) == (
                502,
                "upstream_connect_failed",
                "false",
            )
            assert error["request_id"] == response.header("x-request-id")
            assert str(port).encode() not in bytes(response.body)
            record = (await house.records())[0]
            assert (record["outcome"], len(record["attempts"])) == ("upstream_unreachable", 3)


async def test_refusal_of_our_own_credential_is_never_shown(pair: Pair) -> None:
    a, b = pair
    words = {"error": {"message": "Incorrect API key provided: sk-upstream-a", "code": "invalid_api_key"}}
    a.script(answer(words, 401))
    b.script(answer(words, 403))
    async with open_house(quick(a.url, b.url)) as house:
        response = await ask(house)

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_credentials")
        assert b"sk-upstream" not in bytes(response.body)
        assert "Incorrect API key" not in house.log_text()
        assert attempts((await house.records())[0]) == [("a", "upstream_credentials"), ("b", "upstream_credentials")]


# Money.


@pytest.mark.parametrize(
    ("status", "code"), [(429, "insufficient_quota"), (429, "project_spend_limit_exceeded"), (402, "credit_balance_exhausted")]
)
async def test_spent_account_is_left_for_another_and_not_asked_again(pair: Pair, status: int, code: str) -> None:
    a, b = pair
    a.script(answer({"error": {"message": "no money left", "code": code}}, status))
    b.script(GOOD, GOOD)
    async with open_house(quick(a.url, b.url)) as house:
        first, second = await ask(house), await ask(house)

        assert (first.status, second.status) == (200, 200)
        assert len(a.requests) == 1
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 2
        assert await house.metric("llm_proxy_upstream_attempts_total", upstream="a", result="spend_limit") == 1


async def test_spent_account_without_another_is_asked_once_and_says_so(pair: Pair) -> None:
    a, _ = pair
    words = {"error": {"message": "no money left", "code": "insufficient_quota"}}
    a.script(answer(words, 429))
    async with open_house(quick(a.url)) as house:
        response = await ask(house)

        assert (response.status, response.json(), response.header("x-should-retry")) == (429, words, "false")


# Circuit.


async def test_circuit_opens_and_its_upstream_is_left_alone(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, FAILED)
    b.always(GOOD)
    async with open_house(quick(a.url, b.url, circuit={"failures": 2, "open_for": "60s"})) as house:
        seen = [(await ask(house)).status for _ in range(4)]

        assert seen == [200] * 4
        assert (len(a.requests), len(b.requests)) == (2, 4)
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 2
        assert await house.metric("llm_proxy_circuit_state", upstream="b") == 0
        assert [attempts(record)[0] for record in (await house.records(4))[2:]] == [("b", "ok")] * 2


async def test_half_open_circuit_lets_one_probe_through_and_its_success_closes_it(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, stream(Gate("probe"), TOKEN, Gate("rest"), DONE), GOOD)
    b.always(GOOD)
    async with open_house(quick(a.url, b.url, circuit={"failures": 1, "open_for": "200ms"})) as house, house.client() as client:
        await ask(house)
        await until_circuit(house, 1)

        await client.send_request("POST", CHAT, BEARER, chat())
        await a.reached("probe")
        beside = await ask(house)
        asked_beside = len(a.requests)
        a.open("probe")
        response = await client.response()
        await response.read_until(TOKEN)
        await until_circuit(house, 0)
        after = await ask(house)
        a.open("rest")
        await response.read()

        assert (beside.status, asked_beside) == (200, 2)
        assert (after.status, len(a.requests)) == (200, 3)
        assert (without_comments(response), response.end) == (WHOLE, End.CLEAN)


async def test_failed_probe_opens_the_circuit_again(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, FAILED)
    b.always(GOOD)
    async with open_house(quick(a.url, b.url, circuit={"failures": 1, "open_for": "300ms"})) as house:
        await ask(house)
        await until_circuit(house, 1)

        await ask(house)

        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 2
        assert len(a.requests) == 2


async def test_client_that_leaves_during_a_probe_gives_the_probe_back(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, stream(Hang()), GOOD)
    b.always(GOOD)
    async with open_house(quick(a.url, b.url, circuit={"failures": 1, "open_for": "200ms"})) as house:
        await ask(house)
        await until_circuit(house, 1)
        async with house.client() as client:
            await client.send_request("POST", CHAT, BEARER, chat())
            await a.request(1)
        await a.closed(0)
        await house.records(2)

        response = await ask(house)

        assert response.status == 200
        assert len(a.requests) == 3


async def test_last_target_is_never_ejected(pair: Pair) -> None:
    a, _ = pair
    a.script(FAILED, FAILED, GOOD)
    configured = quick(a.url, circuit={"failures": 1, "open_for": "60s"}, retry={"attempts": 1})
    async with open_house(configured) as house:
        failed = [(await ask(house)).status for _ in range(2)]

        response = await ask(house)

        assert failed == [500, 500]
        assert (response.status, without_comments(response)) == (200, WHOLE)


async def test_first_target_is_asked_when_every_circuit_is_open(pair: Pair) -> None:
    a, b = pair
    a.script(FAILED, GOOD)
    b.script(FAILED)
    configured = quick(a.url, b.url, circuit={"failures": 1, "open_for": "60s"}, retry={"attempts": 2})
    async with open_house(configured) as house:
        await ask(house)
        states = [await house.metric("llm_proxy_circuit_state", upstream=name) for name in "ab"]

        response = await ask(house)

        assert states == [2, 2]
        assert response.status == 200


@pytest.mark.parametrize(
    "reply", [answer(BUSY, 400), limited(), answer(BUSY, 401)], ids=["client's fault", "limit", "credentials"]
)
async def test_what_is_not_the_hosts_fault_does_not_open_its_circuit(pair: Pair, reply: Reply) -> None:
    a, _ = pair
    a.script(reply, reply)
    async with open_house(quick(a.url, circuit={"failures": 1}, retry={"attempts": 1})) as house:
        await ask(house)
        await ask(house)

        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


# Weights, places, budget.


def weighted(*weights: int | None) -> list[dict[str, Any]]:
    """Return the model table with weights for a, b, …"""
    targets = [{"upstream": name, **({"weight": weight} if weight else {})} for name, weight in zip("ab", weights, strict=True)]
    return [{"name": "gpt-*", "targets": targets}]


async def test_weights_draw_the_first_target(pair: Pair) -> None:
    a, b = pair
    for upstream in pair:
        upstream.always(answer({"choices": []}))
    async with open_house(settings(a.url, b.url, models=weighted(3, 1))) as house, house.client() as client:
        for _ in range(80):
            await (await client.request("POST", CHAT, BEARER, chat(stream=False))).read()

        assert len(a.requests) + len(b.requests) == 80
        assert 4 <= len(b.requests) <= 40, "20 are expected; one run in a million is outside"


async def test_target_without_a_weight_is_kept_for_failover(pair: Pair) -> None:
    a, b = pair
    b.script(FAILED)
    a.script(GOOD)
    async with open_house(settings(a.url, b.url, models=weighted(None, 1))) as house:
        response = await ask(house)

        assert response.status == 200
        assert attempts((await house.records())[0]) == [("b", "server_error"), ("a", "ok")]


async def test_upstream_without_a_free_connection_is_left_for_the_next(pair: Pair) -> None:
    a, b = pair
    a.script(stream(TOKEN, Gate("rest"), DONE))
    b.script(GOOD)
    configured = quick(a.url, b.url, upstreams={"a": {"max_connections": 1}})
    async with open_house(configured) as house, house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        response = await ask(house)
        a.open("rest")
        await held.read()

        assert (response.status, held.end) == (200, End.CLEAN)
        assert attempts((await house.records(2))[0]) == [("a", "upstream_busy"), ("b", "ok")]
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


async def test_upstream_without_a_free_connection_and_without_another_gets_a_503(pair: Pair) -> None:
    a, _ = pair
    a.script(stream(TOKEN, Gate("rest"), DONE))
    async with open_house(quick(a.url, upstreams={"a": {"max_connections": 1}})) as house, house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)

        response = await ask(house)
        a.open("rest")
        await held.read()

        assert (response.status, response.json()["error"]["code"]) == (503, "upstream_busy")
        assert response.header("x-should-retry") is None


async def test_budget_bounds_how_many_requests_repeat_at_a_time_and_is_given_back(pair: Pair) -> None:
    a, _ = pair
    a.script(FAILED, stream(Gate("slow"), TOKEN, DONE), FAILED, FAILED, GOOD)
    configured = quick(a.url, retry={"budget_floor": 1, "budget_ratio": 0})
    async with open_house(configured) as house, house.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat())
        await a.reached("slow")

        without_a_place = await ask(house)
        a.open("slow")
        repeated = await client.response()
        await repeated.read()
        with_a_place = await ask(house)

        assert (without_a_place.status, without_a_place.header("x-should-retry")) == (500, "false")
        assert (repeated.status, with_a_place.status) == (200, 200)
        assert [len(attempts(record)) for record in await house.records(3)] == [1, 2, 2]


async def test_a_place_in_the_budget_is_taken_before_the_failed_attempt_leaves_and_given_back_once(pair: Pair) -> None:
    """Its share of the active ones has decided; and a place that is given back but was never taken would be one more for good."""
    a, _ = pair
    a.script(stream(TOKEN, Gate("rest"), DONE), FAILED, GOOD, FAILED)
    configured = quick(a.url, retry={"budget_floor": 0, "budget_ratio": 0.5})
    async with open_house(configured) as house, house.client() as client:
        other = await client.request("POST", CHAT, BEARER, chat())
        await other.read_until(TOKEN)

        one_of_two = await ask(house)
        a.open("rest")
        await other.read()
        alone = await ask(house)

        assert (one_of_two.status, alone.status) == (200, 500)
        assert [len(attempts(record)) for record in await house.records(3)] == [2, 1, 1]


async def test_a_request_that_repeats_and_fails_may_repeat_again_in_the_place_that_it_had(pair: Pair) -> None:
    a, _ = pair
    a.script(FAILED, FAILED, GOOD)
    async with open_house(quick(a.url, retry={"budget_floor": 1, "budget_ratio": 0})) as house:
        response = await ask(house)

        assert response.status == 200
