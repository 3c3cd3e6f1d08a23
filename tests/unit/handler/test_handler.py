"""The straight line, from admission to one record per request, whatever happened on the way."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from proxy.handler import pages
from proxy.lifecycle import State
from tests.support.answers import FINISH, TOKEN
from tests.support.client import Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.upstream import DONE, Gate, Hang, How, Upstream, answer, stream, verbatim

NARROW: Final = "lp_test_narrow_0123456789abcdefghij"
FEW: Final = [("Authorization", f"Bearer {NARROW}")]
KEYS: Final = [
    {"id": "tester", "sha256": hashlib.sha256(KEY.encode()).hexdigest()},
    {"id": "few", "sha256": hashlib.sha256(NARROW.encode()).hexdigest(), "models": ["gpt-4*"]},
]
GOOD: Final = stream(TOKEN, FINISH, DONE)
ANSWER: Final[dict[str, Any]] = {"choices": []}


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here speaks TLS, and reading the system's certificates takes longer than all the rest."""
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(
        settings(
            upstream.url,
            auth={"api_keys": KEYS, "query_token": True},
            cors={"origins": ["https://app.example.com"]},
            upstreams={
                "a": {"passthrough": ["/v1/files", "/v1/batches/"]},
                "claude": {"kind": "anthropic", "apis": ["count_tokens"]},
            },
            models=[
                {"name": "gpt-*", "targets": [{"upstream": "a"}, {"upstream": "claude"}]},
                {"name": "claude-*", "targets": [{"upstream": "claude"}]},
            ],
        )
    ) as house:
        yield house


async def ask(
    house: House, method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
) -> Response:
    """Send one request on a connection of its own and read its answer to the end."""
    async with house.client() as client:
        response = await client.request(method, target, BEARER if headers is None else headers, body)
        await response.read()
        return response


async def record(house: House) -> dict[str, Any]:
    """Return the only record."""
    [found] = await house.records()
    return found


def code(response: Response) -> str:
    word: str = response.json()["error"]["code"]
    return word


# One record each.


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status", "word", "outcome"),
    [
        ("GET", "/nothing", BEARER, b"", 404, "not_found", "rejected_request"),
        ("POST", "/v1/chat/completion%73", BEARER, chat(), 404, "not_found", "rejected_request"),
        ("POST", "/v1/../v1/chat/completions", BEARER, chat(), 400, "invalid_request", "rejected_request"),
        ("GET", CHAT, BEARER, b"", 405, "method_not_allowed", "rejected_request"),
        ("POST", CHAT, [], chat(), 401, "invalid_credentials", "rejected_auth"),
        ("POST", CHAT, FEW, chat(model="gpt-5"), 403, "forbidden", "rejected_auth"),
        ("POST", CHAT, FEW, chat(model="gpt-4o", models=["gpt-4o", "gpt-5"]), 403, "forbidden", "rejected_auth"),
        ("POST", CHAT, BEARER, chat(model="o1"), 404, "model_not_found", "rejected_request"),
        ("POST", CHAT, BEARER, chat(model="claude-1"), 404, "api_not_served", "rejected_request"),
        ("POST", CHAT, BEARER, b"{", 400, "invalid_request", "rejected_request"),
        ("POST", CHAT, [*BEARER, ("Content-Encoding", "gzip")], chat(), 415, "unsupported_media", "rejected_request"),
        ("POST", CHAT, [*BEARER, ("Expect", "magic")], chat(), 417, "expectation_failed", "rejected_request"),
        ("POST", CHAT, BEARER, b"x" * 65537, 413, "body_too_large", "rejected_limit"),
        ("GET", "/test/stream?count=0", BEARER, b"", 400, "invalid_request", "rejected_request"),
        ("GET", "/v1/models/o1", BEARER, b"", 404, "model_not_found", "rejected_request"),
    ],
)
async def test_request_that_goes_nowhere_is_answered_and_recorded_once(
    upstream: Upstream,
    house: House,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
    status: int,
    word: str,
    outcome: str,
) -> None:
    upstream.always(answer({"data": []}))

    response = await ask(house, method, target, headers, body)

    assert (response.status, code(response)) == (status, word)
    written = await record(house)
    assert (written["status"], written["code"], written["outcome"]) == (status, word, outcome)
    assert response.json()["error"]["request_id"] == response.header("x-request-id") == written["id"]
    assert await house.metric("llm_proxy_requests_total") == 1
    assert await house.metric("llm_proxy_requests_total", status=str(status), outcome=outcome) == 1
    assert not [seen for seen in upstream.requests if seen.method == "POST"]


async def test_served_request_is_recorded_with_all_that_was_learned(upstream: Upstream, house: House) -> None:
    upstream.script(GOOD)

    response = await ask(house, "POST", CHAT, body=chat(model="gpt-4o"))

    assert response.body == TOKEN + FINISH + DONE
    written = await record(house)
    assert (written["outcome"], written["status"], written["route"], written["dialect"]) == ("completed", 200, "chat", "chat")
    assert (written["subject"], written["upstream"], written["stream"]) == ("tester", "a", True)
    assert "code" not in written
    assert await house.metric("llm_proxy_requests_total", route="chat", upstream="a", outcome="completed", stream="true") == 1


async def test_client_that_leaves_is_recorded_as_gone(upstream: Upstream, house: House) -> None:
    upstream.script(verbatim(Hang()))
    async with house.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat())
        await upstream.request()

    assert (await house.records())[0]["outcome"] == "client_gone"
    await upstream.closed()


async def test_fault_of_our_own_is_a_500_that_says_nothing_of_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: object) -> None:
        raise RuntimeError(f"c4n4ry {call}")

    monkeypatch.setattr(pages, "ping", broken)

    response = await ask(house, "GET", "/auth/ping")

    assert (response.status, code(response)) == (500, "internal_error")
    assert b"c4n4ry" not in response.body
    written = await record(house)
    assert (written["outcome"], written["status"]) == ("proxy_error", 500)
    [told] = [line for line in house.log_lines() if line["event"] == "request failed"]
    assert told["request_id"] == written["id"]


# Ids and addresses.


@pytest.mark.parametrize("given", ["my-id.1", None, "bad id", "x" * 5000])
async def test_request_has_one_id_everywhere(upstream: Upstream, house: House, given: str | None) -> None:
    upstream.script(answer(ANSWER))

    response = await ask(house, "POST", CHAT, [*BEARER, *([("X-Request-Id", given)] if given else [])], chat(stream=False))

    told = response.header("x-request-id")
    assert told is not None
    assert told == "my-id.1" if given == "my-id.1" else re.fullmatch("[0-9a-f]{32}", told)
    assert (await upstream.request()).header("x-request-id") == told
    assert (await record(house))["id"] == told


@pytest.mark.parametrize(("forwarded", "remote"), [("198.51.100.7", "198.51.100.7"), (None, "127.0.0.1")])
async def test_client_is_known_by_the_address_that_a_trusted_proxy_names(
    house: House, forwarded: str | None, remote: str
) -> None:
    await ask(house, "GET", "/auth/ping", [*BEARER, *([("X-Forwarded-For", forwarded)] if forwarded else [])])

    assert (await record(house))["remote"] == remote


# Admission.


@pytest.mark.parametrize(
    ("state", "health", "ping"), [(State.READY, 200, 200), (State.DRAINING, 503, 200), (State.STOPPED, 503, 503)]
)
async def test_state_of_the_process_decides_what_is_served(house: House, state: State, health: int, ping: int) -> None:
    house.server.lifecycle.state = state

    told = await ask(house, "GET", "/healthz", [])
    served = await ask(house, "GET", "/auth/ping")

    assert (told.status, served.status) == (health, ping)
    assert [response.header("connection") for response in (told, served)] == [None if state is State.READY else "close"] * 2
    if state is State.STOPPED:
        assert (code(served), served.header("retry-after")) == ("draining", "1")


async def test_health_is_not_told_on_an_old_connection_once_another_process_may_have_the_address(house: House) -> None:
    """A load balancer would take the answer for the successor's, and as many of them as it has old connections."""
    async with house.client() as pooled:
        before = await pooled.request("GET", "/healthz")
        await before.read()
        house.server.lifecycle.state, house.server.lifecycle.reachable = State.DRAINING, False

        await pooled.send_request("GET", "/healthz")
        closed = await pooled.closed()

    assert before.status == 200
    assert (closed.how, list(pooled.wire.inbox)) == (How.FIN, [])
    assert [line["outcome"] for line in await house.records(2)] == ["completed", "rejected_draining"]


class Elsewhere:
    """Other workers, of which one has a stream under one id."""

    def leased(self, _subject: str) -> int:
        return 1

    async def lease(self, _subject: str, _limit: int) -> bool:
        return False

    async def end(self, subject: str, request_id: str) -> int:
        return int((subject, request_id) == ("api_key:tester", "theirs-1"))

    async def departure(self, subject: str, request_id: str) -> dict[str, Any] | None:
        return {"state": "left"} if (subject, request_id) == ("api_key:tester", "theirs-1") else None


async def test_a_test_stream_of_another_worker_is_asked_for_there(house: House) -> None:
    house.server.lifecycle.peers = Elsewhere()

    found = await ask(house, "GET", "/test/departures/theirs-1")
    missed = await ask(house, "GET", "/test/departures/theirs-2")

    assert (found.status, found.json()) == (200, {"state": "left"})
    assert missed.status == 404


async def test_a_stream_is_ended_where_it_runs_and_slots_are_shared_with_the_other_workers(
    upstream: Upstream, house: House
) -> None:
    house.server.lifecycle.peers = Elsewhere()

    found = await ask(house, "DELETE", "/streams/theirs-1")
    missed = await ask(house, "DELETE", "/streams/theirs-2")
    upstream.script(stream(TOKEN, Gate("rest"), DONE))
    async with house.client() as client:
        held = await client.request("POST", CHAT, BEARER, chat())
        await held.read_until(TOKEN)
        refused = await ask(house, "GET", "/auth/ping")
        upstream.open("rest")
        await held.read()

    assert (found.status, found.json()) == (200, {"stopped": 1})
    assert missed.status == 404
    assert (refused.status, code(refused)) == (429, "too_many_streams_of_subject")


async def test_health_has_no_credential_and_no_slot(house: House) -> None:
    house.server.lifecycle.max_streams = 0

    told = await ask(house, "GET", "/healthz", [])
    refused = await ask(house, "GET", "/auth/ping")

    assert told.status == 200
    assert (refused.status, code(refused)) == (503, "too_many_streams")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_connection_serves_on_after_an_answer_of_ours(upstream: Upstream, house: House, method: str) -> None:
    """What follows a HEAD's head would be taken for the next answer."""
    upstream.script(answer({"data": []}))
    async with house.client() as client:
        statuses = []
        for target in ("/healthz", "/auth/ping", "/test/stream?count=1&interval=0", "/v1/models/x", "/nothing", "/healthz"):
            response = await client.request(method, target, BEARER)
            await response.read()
            statuses.append(response.status)

    assert statuses == [200, 200, 200, 404, 404, 200]


async def test_each_request_of_a_connection_is_the_one_of_whoever_its_own_credential_names(house: House) -> None:
    """What was good before on the connection counts for nobody who says something else, or nothing."""
    asked = [BEARER, FEW, [], BEARER, [("Authorization", "Bearer nonsense")], BEARER]
    async with house.client() as client:
        seen = []
        for headers in asked:
            response = await client.request("GET", "/auth/ping", headers)
            await response.read()
            seen.append((response.status, response.json().get("subject")))

    assert seen == [(200, "tester"), (200, "few"), (401, None), (200, "tester"), (401, None), (200, "tester")]


async def test_token_in_a_query_is_not_remembered_for_who_sends_none(house: House) -> None:
    async with house.client() as client:
        statuses = []
        for target in (f"/auth/ping?access_token={KEY}", "/auth/ping"):
            response = await client.request("GET", target, [])
            await response.read()
            statuses.append(response.status)

    assert statuses == [200, 401]


async def test_head_that_could_be_read_in_two_ways_ends_the_connection(house: House) -> None:
    async with house.client() as client:
        response = await client.request("POST", CHAT, [*BEARER, ("Expect", "magic")], chat())
        await response.read()

        assert (response.status, response.header("connection")) == (417, "close")
        await client.closed()


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET /c4n4ry HTTP/1.1\r\nBad Header: c4n4ry\r\n\r\n"])
async def test_head_that_cannot_be_read_is_answered_and_recorded(house: House, data: bytes) -> None:
    async with house.client() as client:
        await client.send(data)
        response = await client.response()
        await response.read()

    assert (response.status, code(response)) == (400, "invalid_request")
    assert response.header("vary") == "Origin"
    assert b"c4n4ry" not in response.body
    written = await record(house)
    assert (written["id"], written["outcome"], written["remote"]) == (
        response.header("x-request-id"),
        "rejected_request",
        "127.0.0.1",
    )


async def test_head_that_does_not_come_to_its_end_is_answered_and_recorded(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url, limits={"header_timeout": "200ms"})) as house, house.client() as client:
        await client.send(b"GET / HTT")
        response = await client.response()
        await response.read()

        assert (response.status, code(response), response.header("connection")) == (408, "header_timeout", "close")
        written = await record(house)
        assert (written["outcome"], written["id"], written["remote"]) == (
            "rejected_limit",
            response.header("x-request-id"),
            "127.0.0.1",
        )


# Preflights.


async def test_preflight_needs_no_credential(house: House) -> None:
    asked = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")]

    response = await ask(house, "OPTIONS", CHAT, asked)

    assert (response.status, response.header("access-control-allow-origin")) == (204, "https://app.example.com")
    written = await record(house)
    assert (written["outcome"], written["status"]) == ("completed", 204)


async def test_preflight_of_another_origin_is_a_method_that_is_not_served(house: House) -> None:
    response = await ask(house, "OPTIONS", CHAT, [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")])

    assert (response.status, response.header("allow"), response.header("vary")) == (405, "POST", "Origin")
    assert response.header("access-control-allow-origin") is None


# On the way to the upstream.


@pytest.mark.parametrize(
    ("query", "seen"),
    [("", b""), ("?", b"?"), ("?a=1&b=%2F", b"?a=1&b=%2F"), ("?a=1&access_token={}&b=2", b"?a=1&b=2"), ("?access_token={}", b"")],
)
async def test_credential_in_the_query_goes_no_further(upstream: Upstream, house: House, query: str, seen: bytes) -> None:
    upstream.script(answer(ANSWER))

    response = await ask(house, "GET", "/upstream/a/v1/files" + query.format(KEY), [] if "access_token" in query else BEARER)

    assert response.status == 200
    assert (await upstream.request()).target == b"/v1/files" + seen
    assert KEY not in house.log_text()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("a/v1/files", 200),
        ("a/v1/files/x%2Fy", 200),
        ("a/v1/batches", 200),
        ("a/v1/batches/1", 200),
        ("a/v1/filesystem", 404),
        ("a/v1", 404),
        ("a/v1%2Ffiles", 404),
        ("a", 404),
        ("b/v1/files", 404),
        ("claude/v1/files", 404),
    ],
)
async def test_named_upstream_serves_what_is_listed_by_whole_segments(
    upstream: Upstream, house: House, path: str, status: int
) -> None:
    upstream.script(answer(ANSWER))

    response = await ask(house, "GET", "/upstream/" + path)

    assert response.status == status
    assert [seen.target for seen in upstream.requests] == ([path[1:].encode()] if status == 200 else [])


async def test_caller_who_is_limited_to_models_may_not_use_a_named_upstream(upstream: Upstream, house: House) -> None:
    response = await ask(house, "GET", "/upstream/a/v1/files", FEW)

    assert (response.status, code(response)) == (403, "forbidden")
    assert (await record(house))["auth_failure"] == "model_not_allowed"
    assert not upstream.connections


async def test_target_that_does_not_speak_the_api_is_passed_over(upstream: Upstream, house: House) -> None:
    upstream.script(answer({"error": {"code": "busy"}}, 503), GOOD)

    response = await ask(house, "POST", CHAT, body=chat())

    assert response.status == 200
    assert {attempt["upstream"] for attempt in (await record(house))["attempts"]} == {"a"}


async def test_refusal_of_a_credential_is_recorded_with_its_reason(house: House) -> None:
    await ask(house, "GET", "/auth/ping", [("Authorization", "Bearer lp_wrong")])

    assert (await record(house))["auth_failure"]
    assert await house.metric("llm_proxy_auth_failures_total") == 1


async def test_slot_of_a_subject_is_given_back_after_each_request(upstream: Upstream) -> None:
    upstream.always(answer({"error": {"code": "no"}}, 400))
    async with open_house(settings(upstream.url, limits={"streams_per_subject": 1})) as house:
        statuses = [
            (await ask(house, method, target, body=body)).status
            for method, target, body in (
                ("POST", CHAT, chat()),
                ("POST", CHAT, b"{"),
                ("GET", "/auth/ping", b""),
                ("GET", "/test/stream?count=1", b""),
            )
        ]

    assert statuses == [400, 400, 200, 200]


@pytest.mark.parametrize("headers", [[], [("Authorization", "Bearer lp_wrong")]])
async def test_page_that_checks_streams_is_public_though_the_stream_is_not(house: House, headers: list[tuple[str, str]]) -> None:
    page = await ask(house, "GET", "/stream-check?count=5", headers)
    recorded = await record(house)
    stream = await ask(house, "GET", "/test/stream?count=1", headers)

    assert (page.status, stream.status) == (200, 401)
    assert page.header("content-security-policy")
    assert (recorded["route"], recorded["outcome"]) == ("stream-check", "completed")


@pytest.mark.parametrize(("public", "status"), [(True, 200), (False, 401)])
async def test_stream_that_proves_the_path_is_public_only_on_demand(upstream: Upstream, public: bool, status: int) -> None:
    async with open_house(settings(upstream.url, diagnostics={"public": public})) as house:
        response = await ask(house, "GET", "/test/stream?count=1&interval=0", [])

    assert response.status == status
