"""Anthropic's own API from end to end: passed on byte for byte, kept alive, failed over, and ended honestly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.integration.asking import attempts
from tests.support.answers import only_record
from tests.support.claude import (
    BEGUN,
    COUNT,
    ENDED,
    HI,
    MESSAGE,
    MESSAGES,
    OVERLOADED,
    PING,
    THOUGHTS,
    TOOLS,
    WHOLE,
    ask_claude,
    claude,
    message,
    refused,
)
from tests.support.client import End, Response
from tests.support.house import BEARER, KEY, House, open_house
from tests.support.steps import Step
from tests.support.upstream import Drip, Fin, Gate, Hang, Reply, Rst, Upstream, answer, stream
from tests.support.whatwg import Event, events

SOON = {"commit_after": "100ms", "keepalive_interval": "40ms"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def last_event(response: Response) -> dict[str, Any]:
    """Return the data of the last event, which is an error by name too."""
    last = events(bytes(response.body))[-1]
    assert isinstance(last, Event)
    assert last.type == "error"
    told: dict[str, Any] = orjson.loads(last.data)
    assert told["type"] == "error"
    return told


async def asked(house: House, body: bytes = b"", headers: list[tuple[str, str]] | None = None, path: str = MESSAGES) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await ask_claude(client, body, headers=headers, path=path)
        await response.read()
        return response


async def pings_pass(house: House, upstream: Upstream, count: int = 3) -> None:
    """Return when another stream, opened now, has had *count* keepalives: each stream was looked at in each interval."""
    upstream.script(stream(BEGUN, Gate("others"), HI, ENDED))
    async with house.client() as client:
        response = await ask_claude(client)
        await response.read_until(BEGUN + PING * count)
        upstream.open("others")
        await response.read()


# What passes.


@pytest.mark.parametrize(
    "whole",
    [WHOLE, WHOLE.replace(b"\n", b"\r\n"), PING + WHOLE, TOOLS, THOUGHTS],
    ids=["text", "CRLF", "a ping first", "tools", "thoughts"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_passes_byte_for_byte_however_it_is_cut(upstream: Upstream, whole: bytes, size: int) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(Drip(whole, size)))

        response = await asked(house)

        assert bytes(response.body) == whole
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["dialect"]) == ("completed", "messages", "messages")


async def test_each_event_goes_out_when_it_comes(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house, house.client() as client:
        upstream.script(stream(BEGUN, Gate("delta"), HI, Gate("end"), ENDED))

        response = await ask_claude(client)
        await response.read_until(BEGUN)
        upstream.open("delta")
        await response.read_until(HI)
        upstream.open("end")

        assert await response.read() == WHOLE


async def test_a_request_passes_as_the_client_wrote_it(upstream: Upstream) -> None:
    own = [("anthropic-version", "2026-10-21"), ("anthropic-beta", "a-2025-01-01,b"), ("anthropic-beta", "c")]
    body = b'{ "stream":true,"model": "claude-x" ,"max_tokens":1, "messages":[], "x-unknown": 1.0e2 }'
    async with open_house(claude(upstream.url, upstreams={"a": {"base_url": f"{upstream.url}/proxied/v1"}})) as house:
        upstream.script(stream(WHOLE))

        await asked(house, body, [*BEARER, *own], f"{MESSAGES}?beta=true")

        seen = await upstream.request()
        assert (seen.target, seen.body) == (b"/proxied/v1/messages?beta=true", body)
        assert [(name, value) for name, value in seen.headers if name.startswith(b"anthropic")] == [
            (name.encode(), value.encode()) for name, value in own
        ]


async def test_of_an_alias_only_the_models_bytes_change(upstream: Upstream) -> None:
    alias = {"name": "sonnet", "targets": [{"upstream": "a", "model": "claude-x"}]}
    async with open_house(claude(upstream.url, models=[alias])) as house:
        upstream.script(stream(WHOLE))

        await asked(house, message(model="sonnet"))

        assert (await upstream.request()).body == message(model="sonnet").replace(b"sonnet", b"claude-x")


async def test_a_client_that_names_no_version_gets_the_older_one(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(WHOLE))

        await asked(house)

        assert (await upstream.request()).header("anthropic-version") == "2023-06-01"


async def test_a_whole_answer_passes_with_its_headers_and_is_accounted_for(upstream: Upstream) -> None:
    whole = {**MESSAGE, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    limits = [("request-id", "req_1"), ("anthropic-ratelimit-tokens-remaining", "7")]
    async with open_house(claude(upstream.url)) as house:
        upstream.script(answer(whole, headers=limits))

        response = await asked(house, message(stream=False))

        assert (response.status, response.json()) == (200, whole)
        assert [response.header(name) for name, _ in limits] == ["req_1", "7"]
        record = await only_record(house)
        assert record["upstream_request_id"] == "req_1"
        assert (record["tokens_in"], record["tokens_out"], record["tokens_cached"]) == (35, 1, 7)


async def test_tokens_are_those_of_the_last_word(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(THOUGHTS))

        await asked(house)

        assert await house.metric("llm_proxy_tokens_total", direction="input") == 35
        assert await house.metric("llm_proxy_tokens_total", direction="output") == 15


async def test_tokens_are_counted_by_the_upstream(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(answer({"input_tokens": 14}))

        response = await asked(house, message(), path=f"{COUNT}?beta=true")

        assert (response.status, response.json()) == (200, {"input_tokens": 14})
        seen = await upstream.request()
        assert (seen.target, seen.body) == (b"/v1/messages/count_tokens?beta=true", message())
        record = await only_record(house)
        assert (record["route"], record["stream"]) == ("count_tokens", False)
        assert await house.metric("llm_proxy_tokens_total") == 0


# Who may ask.


@pytest.mark.parametrize("place", ["x-api-key", "Authorization"])
@pytest.mark.parametrize(("key", "ours"), [("sk-ant-api03-z", "x-api-key"), ("sk-ant-oat01-z", "authorization")])
async def test_either_credential_is_good_and_stays_here(upstream: Upstream, place: str, key: str, ours: str) -> None:
    given = KEY if place == "x-api-key" else f"Bearer {KEY}"
    async with open_house(claude(upstream.url, upstreams={"a": {"api_key": key}})) as house:
        upstream.script(stream(WHOLE))

        response = await asked(house, headers=[(place, given)])

        assert response.status == 200
        seen = await upstream.request()
        assert KEY.encode() not in seen.head.raw
        assert [(name.lower(), value) for name, value in seen.headers if key.encode() in value] == [
            (ours.encode(), key.encode() if ours == "x-api-key" else b"Bearer " + key.encode())
        ]
        assert key not in house.log_text()


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind", "code"),
    [
        ([], message(), 401, "authentication_error", "invalid_credentials"),
        ([("x-api-key", "wrong")], message(), 401, "authentication_error", "invalid_credentials"),
        ([*BEARER, ("x-api-key", KEY)], message(), 401, "authentication_error", "invalid_credentials"),
        (BEARER, message(model="gpt-9"), 404, "not_found_error", "model_not_found"),
        (BEARER, b"{}", 400, "invalid_request_error", "invalid_request"),
        (BEARER, message(system="x" * 70_000), 413, "request_too_large", "body_too_large"),
    ],
    ids=["no credential", "a wrong one", "two", "no such model", "no model", "too large"],
)
@pytest.mark.parametrize("path", [MESSAGES, COUNT])
async def test_a_refusal_of_ours_is_in_the_apis_words(
    upstream: Upstream, path: str, headers: list[tuple[str, str]], body: bytes, status: int, kind: str, code: str
) -> None:
    async with open_house(claude(upstream.url)) as house:
        response = await asked(house, body, headers, path)

        told = response.json()
        assert response.status == status
        assert (told["type"], told["error"]["type"], told["error"]["code"]) == ("error", kind, code)
        assert told["request_id"] == response.header("x-request-id")
        assert not upstream.requests


# Silence.


async def test_a_silence_is_filled_with_pings_before_the_first_event_and_between_two(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(Gate("begin"), BEGUN, Gate("delta"), HI[:20], Gate("half"), HI[20:], ENDED))

        response = await ask_claude(client)
        await response.read_until(PING * 3)
        upstream.open("begin")
        await response.read_until(BEGUN + PING * 3)
        upstream.open("delta")
        await response.read_until(HI[:20])
        await pings_pass(house, upstream)
        upstream.open("half")
        body = await response.read()

        assert body.replace(PING, b"") == WHOLE
        assert body.startswith(PING)
        assert HI in body
        assert response.header("content-type") == "text/event-stream; charset=utf-8"


async def test_the_upstreams_own_pings_do_not_hide_that_nothing_comes(upstream: Upstream) -> None:
    clocks = {"first_token_timeout": "300ms", "attempt_timeout": "300ms", "commit_after": "10ms"}
    async with open_house(claude(upstream.url, streaming=clocks)) as house:
        upstream.script(stream(Drip(PING * 1000, len(PING), gap=0.02)))

        response = await asked(house)

        assert last_event(response)["error"]["type"] == "timeout_error"
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_timeout"


# Failures, and what may follow them.


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (stream(OVERLOADED), "upstream_error_event"),
        (stream(PING, OVERLOADED), "upstream_error_event"),
        (stream(PING, Fin()), "upstream_truncated"),
        (refused(529, "overloaded_error"), "overloaded"),
        (refused(500, "api_error"), "server_error"),
        (refused(429, "rate_limit_error"), "rate_limited"),
        (refused(429, "rate_limit_error", code="enforced_spend_limit_reached"), "spend_limit"),
        (refused(402, "billing_error"), "spend_limit"),
        (refused(400, "invalid_request_error", "You have reached your specified API usage limits."), "spend_limit"),
        (refused(401, "authentication_error"), "upstream_credentials"),
    ],
    ids=["first event", "behind a ping", "cut", "529", "500", "429", "cap", "402", "own limit", "401"],
)
async def test_another_target_answers_in_place_of_one_that_fails_before_its_first_event(
    upstream: Upstream, reply: Reply, result: str
) -> None:
    async with Upstream() as second, open_house(claude(upstream.url, second.url)) as house:
        upstream.script(reply)
        second.script(stream(WHOLE))

        response = await asked(house)

        assert bytes(response.body) == WHOLE
        assert attempts(await only_record(house)) == [("a", result), ("b", "ok")]


@pytest.mark.parametrize(
    "reply", [refused(402, "billing_error"), refused(429, "rate_limit_error", code="contract_spend_limit_reached")]
)
async def test_money_that_is_spent_is_not_asked_for_again(upstream: Upstream, reply: Reply) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(reply)

        response = await asked(house)

        assert (response.status, response.json()["request_id"]) == (reply.status, "req_1")
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        refused(400, "invalid_request_error", "max_tokens: too large"),
        refused(404, "not_found_error"),
        refused(413, "request_too_large"),
        refused(429, "rate_limit_error", retry_after="99"),
    ],
    ids=["400", "404", "413", "429"],
)
async def test_a_refusal_that_nothing_mends_is_the_upstreams_own(upstream: Upstream, reply: Reply) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(reply)

        response = await asked(house)

        assert response.status == reply.status
        assert [bytes(response.body)] == list(reply.body)
        assert response.header("retry-after") == dict(reply.headers).get("retry-after")
        assert len(upstream.requests) == 1


async def test_an_overload_that_stays_is_passed_on_and_says_that_we_have_tried(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.always(refused(529, "overloaded_error"))

        response = await asked(house)

        assert (response.status, response.json()["error"]["type"]) == (529, "overloaded_error")
        assert response.header("x-should-retry") == "false"
        assert len(upstream.requests) == 3


async def test_behind_keepalives_a_refusal_becomes_the_error_event(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url, streaming={"commit_after": "0s"}, retry={"attempts": 1})) as house:
        upstream.script(refused(529, "overloaded_error", "Overloaded"))

        response = await asked(house)

        assert response.status == 200
        assert last_event(response) == {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded"},
            "request_id": "req_1",
        }
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("death", "outcome"), [(Fin(), "upstream_truncated"), (Rst(), "upstream_reset"), (None, "upstream_truncated")]
)
async def test_a_message_without_its_end_is_told_and_cut(upstream: Upstream, death: Fin | Rst | None, outcome: str) -> None:
    steps: list[Step] = [BEGUN, HI, *([] if death is None else [death])]
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(*steps))

        response = await asked(house)

        assert bytes(response.body).startswith(BEGUN + HI)
        told = last_event(response)
        assert (told["error"]["type"], told["error"]["code"]) == ("api_error", outcome)
        assert told["request_id"] == response.header("x-request-id")
        assert b"message_stop" not in response.body
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == outcome


async def test_half_an_event_is_never_completed(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(BEGUN, HI[:-1], Fin()))

        response = await asked(house)

        assert bytes(response.body) == BEGUN + HI[:-1]
        assert response.end is End.ABORTED


async def test_an_error_that_the_upstream_tells_late_is_its_own_word_and_no_success(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(BEGUN, HI, OVERLOADED))

        response = await asked(house)

        assert bytes(response.body) == BEGUN + HI + OVERLOADED
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_a_client_that_leaves_stops_the_upstream(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.script(stream(BEGUN, HI, Hang()))
        async with house.client() as client:
            response = await ask_claude(client)
            await response.read_until(HI)

        await upstream.closed()
        record = (await house.records())[0]
        assert (record["outcome"], record["tokens_in"]) == ("client_gone", 35)


# Lists of models.


MODEL = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-11-21T08:00:00Z"}
VERSION = [*BEARER, ("anthropic-version", "2023-06-01")]


async def listed(house: House, headers: list[tuple[str, str]], path: str = "/v1/models") -> Response:
    async with house.client() as client:
        response = await client.request("GET", path, headers)
        await response.read()
        return response


async def test_models_are_listed_in_the_words_of_whoever_asks(upstream: Upstream) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.always(answer({"data": [MODEL], "has_more": False, "first_id": "claude-x", "last_id": "claude-x"}))

        theirs = await listed(house, VERSION, "/v1/models?limit=1000")
        one = await listed(house, VERSION, "/v1/models/claude-x")
        others = await listed(house, BEARER)

        assert theirs.json() == {"data": [MODEL], "has_more": False, "first_id": "claude-x", "last_id": "claude-x"}
        assert one.json() == MODEL
        assert others.json()["object"] == "list"
        assert [(model["id"], model["object"]) for model in others.json()["data"]] == [("claude-x", "model")]
        seen = await upstream.request()
        assert (seen.target, seen.header("x-api-key")) == (b"/v1/models?limit=1000", "sk-ant-upstream-a")


@pytest.mark.parametrize(
    ("headers", "path", "status", "kind"),
    [(VERSION, "/v1/models/none", 404, "not_found_error"), (VERSION[1:], "/v1/models", 401, "authentication_error")],
)
async def test_what_goes_wrong_with_a_list_is_told_in_the_same_words(
    upstream: Upstream, headers: list[tuple[str, str]], path: str, status: int, kind: str
) -> None:
    async with open_house(claude(upstream.url)) as house:
        upstream.always(answer({"data": []}))

        response = await listed(house, headers, path)

        assert (response.status, response.json()["error"]["type"]) == (status, kind)
