"""What stands on the wire, byte for byte: headers and targets (P22, P24, P26, P30), HEAD, HTTP/1.0 and pipelining."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.asking import FILES, GOOD, WHOLE, ask, assert_recorded_once, head, listed, look, without_comments
from tests.support.answers import TOKEN
from tests.support.client import End
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house
from tests.support.loops import both_loops
from tests.support.upstream import DONE, Fin, Gate, How, Reply, Rst, Upstream, answer, stream

JSON: dict[str, list[int]] = {"choices": []}
POST = f"POST {CHAT} HTTP/1.1"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(listed(upstream)) as running:
        yield running


# Headers.


async def test_p22_hop_by_hop_headers_of_a_request_do_not_reach_the_upstream(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    hop = [
        ("Connection", "close, X-Secret"),
        ("Connection", "X-Other"),
        ("X-Secret", "1"),
        ("x-other", "1"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Upgrade", "websocket"),
        ("X-Kept", "yes"),
    ]

    response = await ask(house, headers=[*BEARER, *hop])

    seen = await upstream.request()
    names = {name.lower() for name, _ in seen.headers}
    assert response.status == 200
    assert not names & {name.lower().encode() for name, _ in hop[:-1]}
    assert seen.header("x-kept") == "yes"


async def test_connection_header_cannot_strip_what_the_proxy_adds(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))

    await ask(house, headers=[*BEARER, ("Connection", "Authorization, X-Request-Id, Content-Length, Host")])

    seen = await upstream.request()
    assert seen.header("authorization") == "Bearer sk-upstream-a"
    assert (seen.header("host"), seen.header("content-length")) == (f"127.0.0.1:{upstream.port}", str(len(chat())))
    assert seen.header("x-request-id") is not None


async def test_p22_hop_by_hop_headers_of_a_response_do_not_reach_the_client(upstream: Upstream, house: House) -> None:
    hop = [
        ("Connection", "X-B"),
        ("X-B", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Alt-Svc", 'h3=":443"'),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
    ]
    upstream.script(
        answer(JSON, headers=[*hop, ("X-Kept", "1"), ("X-Kept", "2")]),
        stream(TOKEN, b"data: [DONE]\n\n", headers=[*hop, ("X-Kept", "3")]),
    )

    whole = await ask(house, chat(stream=False))
    streamed = await ask(house)

    for response in (whole, streamed):
        assert not {name.lower() for name, _ in response.head.headers} & {name.lower().encode() for name, _ in hop}
    assert whole.head.header_values("x-kept") == ["1", "2"]
    assert streamed.head.header_values("x-kept") == ["3"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
async def test_answer_has_one_date_and_one_server_which_are_ours(upstream: Upstream, house: House, streamed: bool) -> None:
    """An upstream says both, too; and of a Date there must not be two (RFC 9110 5.3)."""
    theirs = [("Server", "cloudflare"), ("date", "Fri, 21 Nov 2025 10:03:03 GMT")]
    upstream.script(stream(TOKEN, DONE, headers=theirs) if streamed else answer(JSON, headers=theirs))

    response = await ask(house, chat(stream=streamed))

    assert response.header("server") == "llm-stream-proxy"
    assert response.header("date") != theirs[1][1]


async def test_p30_upstream_sees_its_own_key_and_host_and_no_credential_of_the_client(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON), answer(JSON))
    private = [
        ("Cookie", "session=1"),
        ("Origin", "https://app.example"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Host", "proxy.example"),
        ("Forwarded", "for=203.0.113.7"),
        ("Via", "1.1 front"),
        ("X-Real-IP", "203.0.113.7"),
        ("X-Amz-Security-Token", "t"),
    ]

    await ask(house, headers=[*BEARER, *private])
    await ask(house, headers=[("X-Api-Key", KEY), *private])

    for number in range(2):
        seen = await upstream.request(number)
        names = [name.lower() for name, _ in seen.headers]
        assert seen.header("authorization") == "Bearer sk-upstream-a"
        assert seen.header("host") == f"127.0.0.1:{upstream.port}"
        assert not set(names) & {name.lower().encode() for name, _ in private} | ({b"x-api-key", b"api-key"} & set(names))
        assert KEY.encode() not in seen.head.raw
        assert len(names) == len(set(names)), "no header is there twice"


async def test_nothing_is_invented_in_the_clients_name(upstream: Upstream, house: House) -> None:
    """No User-Agent, no Accept, no Content-Type that the client did not send; identity, because the proxy reads the answer."""
    upstream.script(answer(JSON))

    await ask(house)

    names = {name.lower() for name, _ in (await upstream.request()).headers}
    assert names == {b"host", b"authorization", b"accept-encoding", b"x-request-id", b"content-length"}
    assert (await upstream.request()).header("accept-encoding") == "identity"


async def test_control_character_in_an_upstreams_header_is_a_502_and_not_an_empty_reply(upstream: Upstream, house: House) -> None:
    upstream.always(answer(JSON, headers=[("X-Odd", "a\x01b")]))

    response = await ask(house)

    assert (response.status, response.json()["error"]["code"]) == (502, "upstream_malformed")


# Targets.


@pytest.mark.parametrize(
    "rest",
    [
        "/x%2Fy/z?a=1&a=&b=%2B+c",
        "?",
        "?a",
        "/%7Ex/%41?q=%zz&&=&%20|<>^`{}",
        "//double;semi=1/?x=/../y",
        "/gpt%2D4%2c,/",
    ],
)
async def test_p24_target_reaches_the_upstream_byte_for_byte(upstream: Upstream, house: House, rest: str) -> None:
    upstream.script(answer(JSON))

    response = await look(house, FILES + rest)

    assert response.status == 200
    assert (await upstream.request()).target == f"/v1/files{rest}".encode()


async def test_p24_query_of_a_model_path_reaches_the_upstream_byte_for_byte(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))

    await ask(house, target=CHAT + "?a=1&a=&b=%2B+c&&=%zz")

    assert (await upstream.request()).target == b"/v1/chat/completions?a=1&a=&b=%2B+c&&=%zz"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/x%2Fy/%2e%2e/z?a=1&a=&b=%2B+c", 400),
        (FILES + "/../admin", 400),
        (FILES + "/%2e%2E/admin", 400),
        (FILES + "%2f..%2fadmin", 400),
        (FILES + "/.%2e\\admin", 400),
        (FILES + "/.;/x", 400),
        (FILES + "/%zz", 400),
        (FILES + "#fragment", 400),
        ("/upstream/a/v1/filesystem", 404),
        ("/upstream/a/v1/%66iles", 404),
        ("/upstream/a//v1/files", 404),
        ("/upstream/a/v1//files", 404),
        ("/upstream/a/v1", 404),
        ("/upstream/a", 404),
        ("/upstream/b/v1/files", 404),
        ("/upstream/%61/v1/files", 404),
        ("/v1/chat%2Fcompletions", 400),
        ("/v1//chat/completions", 400),
        ("/v1/chat/completions/", 404),
        ("/V1/chat/completions", 404),
        ("/v1/chat/completions;x", 400),
        ("/%761/models", 404),
    ],
)
async def test_p24_path_that_is_not_served_as_written_is_refused_and_never_normalised(
    upstream: Upstream, house: House, target: str, status: int
) -> None:
    response = await look(house, target)

    assert (response.status, "error" in response.json()) == (status, True)
    assert upstream.connections == []


@pytest.mark.parametrize(
    "target",
    [
        "http://{evil}/v1/models",
        "http://{evil}/upstream/a/v1/files",
        "//{evil}/x",
        "@{evil}/x",
        "http:{evil}",
        "*",
        "/\\{evil}/x",
        "{evil}",
    ],
)
async def test_p26_no_target_leads_to_another_host(upstream: Upstream, house: House, target: str) -> None:
    async with Upstream() as evil:
        address = f"127.0.0.1:{evil.port}"
        headers = [("Host", address), ("X-Forwarded-Host", address), *BEARER]

        response = await look(house, target.format(evil=address), headers)

        assert (response.status, response.header("content-type")) == (400, "application/json")
        assert (evil.connections, upstream.connections) == ([], [])
        assert address.encode() not in response.body


async def test_p26_host_in_a_passed_on_path_is_only_text(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    async with Upstream() as evil:
        await look(house, f"{FILES}/@127.0.0.1:{evil.port}/x")

        assert (await upstream.request()).target == f"/v1/files/@127.0.0.1:{evil.port}/x".encode()
        assert evil.connections == []


@pytest.mark.parametrize(("line", "status"), [("CONNECT example.com:443", 400), (f"TRACE {CHAT}", 405), (f"TRACE {FILES}", 405)])
async def test_methods_of_other_kinds_of_proxies_are_refused(upstream: Upstream, house: House, line: str, status: int) -> None:
    """An upstream that answers a TRACE repeats what it got (RFC 9110 9.3.8), and so the proxy's credential."""
    async with house.client() as client:
        await client.send(head(f"{line} HTTP/1.1"))

        response = await client.response()

        assert response.status == status
        assert upstream.connections == []


# Interim responses of an upstream.


async def test_interim_responses_of_an_upstream_are_not_taken_for_its_answer(upstream: Upstream, house: House) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    upstream.script(Reply(head=hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", body=[b"{}"], framing="raw"))

    response = await ask(house, chat(stream=False))

    assert (response.status, bytes(response.body), response.header("link")) == (200, b"{}", None)


# HEAD, 204, 304, and what a path does not serve.


async def test_head_of_a_passed_on_path_has_the_headers_and_no_body(upstream: Upstream, house: House) -> None:
    upstream.script(Reply(headers=[("X-Kept", "1")], framing="length", length=17), answer(JSON))
    async with house.client() as client:
        response = await client.request("HEAD", FILES, BEARER)
        following = await client.request("GET", FILES, BEARER)
        await following.read()

        assert (await upstream.request()).method == "HEAD"
        assert (response.status, response.header("content-length"), response.header("x-kept")) == (200, "17", "1")
        assert (following.status, following.json()) == (200, JSON), "the connection is in step"


@pytest.mark.parametrize("status", [204, 304])
async def test_answer_without_a_body_keeps_the_connection_in_step(upstream: Upstream, house: House, status: int) -> None:
    upstream.script(Reply(status=status, headers=[("ETag", 'W/"1"')]), answer(JSON))
    async with house.client() as client:
        response = await client.request("GET", FILES, BEARER)
        following = await client.request("GET", FILES, BEARER)
        await following.read()

        assert (response.status, response.header("transfer-encoding"), response.header("etag")) == (status, None, 'W/"1"')
        assert following.json() == JSON


@pytest.mark.parametrize("path", ["/healthz", "/auth/ping", "/v1/models"])
async def test_head_of_our_own_pages_has_no_body(upstream: Upstream, house: House, path: str) -> None:
    if path == "/v1/models":
        upstream.always(answer({"data": []}))
    async with house.client() as client:
        response = await client.request("HEAD", path, BEARER)
        following = await client.request("GET", path, BEARER)
        await following.read()

        assert (response.status, following.status) == (200, 200)
        assert response.header("content-length") == str(len(following.body))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("HEAD", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/gpt-test", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/test/stream", "GET, HEAD, POST"),
        ("PATCH", CHAT, "POST"),
    ],
)
async def test_method_that_a_path_does_not_serve_is_told_which_it_does(
    upstream: Upstream, house: House, method: str, path: str, allowed: str
) -> None:
    response = await look(house, path, method=method)

    assert (response.status, response.header("allow")) == (405, allowed)
    if method != "HEAD":
        assert response.json()["error"]["code"] == "method_not_allowed"
    await assert_recorded_once(house, "rejected_request", "method_not_allowed", 405)


# HTTP/1.0.


@both_loops
async def test_http_1_0_client_gets_a_stream_that_ends_with_the_connection(upstream: Upstream, house: House) -> None:
    upstream.script(GOOD)
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(), version="1.0")
        await response.read()

        assert response.header("transfer-encoding") is None
        assert (without_comments(response), response.raw == response.body, response.end) == (WHOLE, True, End.CLEAN)


@both_loops
@pytest.mark.parametrize("end", [Fin(), Rst()], ids=["closed", "reset"])
async def test_http_1_0_client_sees_a_reset_where_its_stream_was_cut(upstream: Upstream, house: House, end: Fin | Rst) -> None:
    """For a body that ends with its connection a FIN would be a good end."""
    upstream.script(stream(TOKEN, Gate("cut"), end))
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(), version="1.0")
        await response.read_until(TOKEN)
        upstream.open("cut")
        await response.read()

        assert response.end is End.RESET


async def test_http_1_0_client_gets_a_whole_answer_with_its_length(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(stream=False), version="1.0")
        await response.read()

        assert (response.header("content-length"), response.json()) == (str(len(json.dumps(JSON))), JSON)
        assert (await client.closed()).how is How.FIN


async def test_http_1_0_client_may_keep_its_connection(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON), answer(JSON))
    async with house.client() as client:
        for _ in range(2):
            response = await client.request(
                "POST", CHAT, [*BEARER, ("Connection", "keep-alive")], chat(stream=False), version="1.0"
            )
            await response.read()

            assert (response.status, (response.header("connection") or "").lower()) == (200, "keep-alive")


# Pipelining.


@both_loops
async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time(upstream: Upstream, house: House) -> None:
    upstream.script(stream(TOKEN, Gate("first"), b"data: [DONE]\n\n"), answer({"number": 2}))
    async with house.client() as client:
        body = chat()
        data = head(POST, f"Content-Length: {len(body)}", "X-Request-Id: one") + body
        await client.send(data + data.replace(b"one", b"two"))
        first = await client.response()
        await first.read_until(TOKEN)
        begun = len(upstream.requests)

        upstream.open("first")
        await first.read()
        second = await client.response()
        await second.read()

        assert begun == 1
        assert (without_comments(first), second.json()) == (WHOLE, {"number": 2})
        assert (first.header("x-request-id"), second.header("x-request-id")) == ("one", "two")
        assert [record["id"] for record in await house.records(2)] == ["one", "two"]


@both_loops
async def test_flood_of_pipelined_requests_cannot_hide_a_departure(upstream: Upstream, house: House) -> None:
    """So many that reading is paused: the client's FIN would go unnoticed, so the connection is dropped."""
    upstream.script(stream(TOKEN, Gate("never")))
    async with house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(TOKEN)

        await client.send(head("GET /auth/ping HTTP/1.1") * 200)

        await client.closed()
        await upstream.closed()
        assert (await house.records())[0]["outcome"] == "client_gone"


async def test_connection_serves_one_request_after_another(upstream: Upstream, house: House) -> None:
    upstream.script(GOOD, answer(JSON), answer(JSON, 400), GOOD)
    async with house.client() as client:
        statuses = []
        for _ in range(4):
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read()
            statuses.append((response.status, response.end))

        assert statuses == [(200, End.CLEAN), (200, End.CLEAN), (400, End.CLEAN), (200, End.CLEAN)]
        assert client.wire.closed is None
