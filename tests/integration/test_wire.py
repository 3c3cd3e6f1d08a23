"""What stands on the wire, byte for byte: P22, P24 to P27 and P30, heads that cannot be read, HTTP/1.0, HEAD and pipelining."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.asking import GOOD, WHOLE, ask, look, until
from tests.support.answers import TOKEN
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.loops import both_loops
from tests.support.upstream import Fin, Gate, How, Reply, Rst, Upstream, answer, stream

AUTH = f"Authorization: Bearer {KEY}\r\n".encode()
JSON: dict[str, list[int]] = {"choices": []}
FILES = "/upstream/a/v1/files"
CANARY = b"c4n4ry"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(settings(upstream.url, upstreams={"a": {"passthrough": ["/v1/files"]}})) as running:
        yield running


def head(start: str, *lines: str) -> bytes:
    """Write a head with a Host and a good credential."""
    return (
        f"{start}\r\nHost: proxy\r\n".encode("latin-1")
        + AUTH
        + "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        + b"\r\n"
    )


async def exchange(house: House, data: bytes) -> tuple[Response, RawClient]:
    """Send *data* as it is and return the whole answer, and the client, which has seen the connection's end."""
    async with house.client() as client:
        await client.send(data)
        response = await client.response()
        await response.read()
        await client.closed()
        return response, client


async def assert_recorded_once(house: House, outcome: str, code: str, status: int) -> None:
    """Assert that the only request is in the log once, and once in the metrics, under this outcome."""
    records = await house.records()
    assert [(record["outcome"], record["code"], record["status"]) for record in records] == [(outcome, code, status)]
    assert await house.metric("llm_proxy_requests_total") == 1
    assert await house.metric("llm_proxy_requests_total", outcome=outcome, status=str(status)) == 1


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


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
async def test_methods_of_other_kinds_of_proxies_are_refused(upstream: Upstream, house: House, method: str) -> None:
    async with house.client() as client:
        await client.send(head(f"{method} {'example.com:443' if method == 'CONNECT' else CHAT} HTTP/1.1"))

        response = await client.response()

        assert response.status in (400, 405)
        assert upstream.connections == []


# Framing and heads that cannot be read.

POST = f"POST {CHAT} HTTP/1.1"
UNREADABLE = {
    "content-length and transfer-encoding": head(POST, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "content-length twice": head(POST, "Content-Length: 2", "Content-Length: 2") + b"{}",
    "content-length twice, differently": head(POST, "Content-Length: 2", "Content-Length: 9") + b"{}",
    "content-length list": head(POST, "Content-Length: 2, 2") + b"{}",
    "content-length with a sign": head(POST, "Content-Length: +2") + b"{}",
    "empty coding": head(POST, "Transfer-Encoding: ,chunked") + b"0\r\n\r\n",
    "coding twice": head(POST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked twice": head(POST, "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "coding not at the end": head(POST, "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "unknown coding": head(POST, "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "gzip coding": head(POST, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "coding in HTTP/1.0": head(f"POST {CHAT} HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "folded line": head(POST, "X-Folded: a\r\n b", "Content-Length: 0"),
    "space before the colon": head(POST, "Content-Length : 0"),
    "bare line feeds": head(POST, "Content-Length: 0").replace(b"\r\n", b"\n"),
    "bare carriage return": head(POST, "X-Odd: a\rb", "Content-Length: 0"),
    "NUL": head(POST, "X-Odd: c4n4ry\x00tail", "Content-Length: 0"),
    "no colon": head(POST, "c4n4ry"),
    "no name": head(POST, ": c4n4ry"),
    "no host": f"GET {CHAT} HTTP/1.1\r\n".encode() + AUTH + b"\r\n",
    "two hosts": head("GET /auth/ping HTTP/1.1", "Host: other"),
    "lower-case method": head("get /c4n4ry HTTP/1.1"),
    "space in the target": head("GET /auth/ping c4n4ry HTTP/1.1"),
    "raw byte in the target": head("GET /\xe9c4n4ry HTTP/1.1"),
    "too many headers": head("GET /auth/ping HTTP/1.1", *[f"X-{number}: c4n4ry" for number in range(400)]),
    "unknown version": head("GET /auth/ping HTTP/1.2"),
    "version 2 as text": head("GET /auth/ping HTTP/2.0"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03c4n4ry",
    "not HTTP": b"SSH-2.0-c4n4ry\r\n\r\n",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_p25_head_that_can_be_read_in_two_ways_or_not_at_all_is_refused_and_its_connection_closed(
    upstream: Upstream, house: House, data: bytes
) -> None:
    response, client = await exchange(house, data)

    error = response.json()["error"]
    assert response.status in (400, 501, 505)
    assert (response.header("content-type"), response.end) == ("application/json", End.CLEAN)
    assert client.wire.closed is not None
    assert client.wire.closed.how is How.FIN, "a reset could destroy the answer before it is read"
    assert not client.wire.inbox, "what follows the bad head is not answered"
    assert (error["request_id"], error["code"]) == (
        response.header("x-request-id"),
        {501: "unsupported_framing", 505: "unsupported_version"}.get(response.status, "invalid_request"),
    )
    assert CANARY not in response.head.raw + response.body
    assert CANARY.decode() not in house.log_text()
    await assert_recorded_once(house, "rejected_request", error["code"], response.status)
    assert upstream.connections == []


@both_loops
@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"zz\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"-1\r\n",
        b"5;\r\r\nhello\r\n0\r\n\r\n",
    ],
    ids=[
        "hexadecimal prefix",
        "not a number",
        "bare line feeds",
        "longer than said",
        "negative",
        "carriage return in an extension",
    ],
)
async def test_p25_broken_chunks_of_a_request_are_refused(upstream: Upstream, house: House, body: bytes) -> None:
    response, _ = await exchange(house, head(POST, "Transfer-Encoding: chunked") + body)

    assert (response.status, response.header("content-type")) == (400, "application/json")
    await assert_recorded_once(house, "rejected_request", "invalid_request", 400)
    assert upstream.connections == []


@both_loops
@pytest.mark.parametrize(
    "data",
    [
        head("GET /auth/ping HTTP/1.1", "X-Long: " + "c4n4ry" * 4000),
        head(f"GET /{'c4n4ry' * 4000} HTTP/1.1"),
    ],
    ids=["header", "target"],
)
async def test_head_that_is_too_large_gets_a_431(upstream: Upstream, house: House, data: bytes) -> None:
    response, _ = await exchange(house, data)

    assert (response.status, response.json()["error"]["code"]) == (431, "headers_too_large")
    assert CANARY not in response.head.raw + response.body
    assert CANARY.decode() not in house.log_text()
    await assert_recorded_once(house, "rejected_limit", "headers_too_large", 431)


@both_loops
async def test_unreadable_head_after_a_good_request_is_refused_too(upstream: Upstream, house: House) -> None:
    upstream.script(GOOD)
    async with house.client() as client:
        await (await client.request("POST", CHAT, BEARER, chat())).read()

        await client.send(head(POST, "X-Odd: c4n4ry\x00"))
        response = await client.response()

        assert (response.status, response.header("content-type")) == (400, "application/json")
        assert CANARY.decode() not in house.log_text()
        assert [record["outcome"] for record in await house.records(2)] == ["completed", "rejected_request"]


# Bodies.


@both_loops
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("size", [65537, 4_000_000])
async def test_p27_body_over_the_limit_gets_a_413_that_can_be_read(
    upstream: Upstream, house: House, chunked: bool, size: int
) -> None:
    body = b"x" * size
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(body)) + b"0\r\n\r\n" if chunked else body
    async with house.client() as client:
        framing = [("Transfer-Encoding", "chunked")] if chunked else []

        response = await client.request("POST", CHAT, [*BEARER, *framing], framed)
        await response.read()

        assert (response.status, response.json()["error"]["code"], response.end) == (413, "body_too_large", End.CLEAN)
        assert upstream.connections == []
        await assert_recorded_once(house, "rejected_limit", "body_too_large", 413)


def pieces(body: bytes) -> list[bytes]:
    return [body[start : start + 16384] for start in range(0, len(body), 16384)]


async def test_body_at_the_limit_is_served(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    body = chat(stream=False, padding="")
    body = chat(stream=False, padding="x" * (65536 - len(body)))

    response = await ask(house, body)

    assert (len(body), response.status) == (65536, 200)
    assert (await upstream.request()).body == body


@both_loops
async def test_body_of_a_refused_request_is_never_taken_for_the_next_request(upstream: Upstream, house: House) -> None:
    smuggled = head(f"GET {FILES} HTTP/1.1")
    async with house.client() as client:
        refused = await client.request("POST", CHAT, [("Authorization", "Bearer wrong")], smuggled)
        await refused.read()
        following = await client.request("GET", "/auth/ping", BEARER)
        await following.read()

        assert (refused.status, following.status) == (401, 200)
        assert [record["route"] for record in await house.records(2)] == ["chat", "ping"]
        assert upstream.connections == []


async def test_alias_replaces_only_the_bytes_of_the_model(upstream: Upstream) -> None:
    upstream.script(answer(JSON))
    body = '{ "é":1.50 ,\t"messages" : [{"model":"gpt-test"}],\r\n  "x":1E5, "model" :  "gpt\\u002dtest" ,"z":"\\u00e9", "n":1e0 }'.encode()
    changes = {"models": [{"name": "gpt-*", "targets": [{"upstream": "a", "model": "vendor/{model}-é"}]}]}
    async with open_house(settings(upstream.url, **changes)) as house:
        response = await ask(house, body)

        seen = await upstream.request()
        assert response.status == 200
        assert seen.body == body.replace(b'"gpt\\u002dtest"', '"vendor/gpt-test-é"'.encode())
        assert seen.header("content-length") == str(len(seen.body))


async def test_body_is_forwarded_byte_for_byte(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    body = b' {"model":"gpt-test"} \n\t'

    await ask(house, body)

    assert (await upstream.request()).body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":"gpt-test"}{}',
        b'{"model":"gpt-test","model":"gpt-other"}',
        b'{"model":"gpt-test","m\\u006fdel":"gpt-other"}',
        b'{"stream":true,"model":"gpt-test","stream":false}',
        b'{"messages":[]}',
        b'{"model":7}',
        b'{"model":""}',
        b'{"model":"gpt-test","stream":"yes"}',
        b'\xff{"model":"gpt-test"}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_body_that_two_readers_could_understand_differently_is_refused(
    upstream: Upstream, house: House, body: bytes
) -> None:
    async with house.client() as client:
        response = await client.request("POST", CHAT, [*BEARER, ("Content-Length", str(len(body)))], body)
        await response.read()

        assert (response.status, response.json()["error"]["code"]) == (400, "invalid_request")
        assert upstream.connections == []
        await assert_recorded_once(house, "rejected_request", "invalid_request", 400)


# Expectations.


@both_loops
async def test_body_is_asked_for_after_authentication_and_size_check_only(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    async with house.client() as client:
        await client.send(head(POST, "Expect: 100-continue", f"Content-Length: {len(chat())}"))
        await until_received(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        before = list(upstream.connections)

        await client.send(chat())
        response = await client.response()
        await response.read()

        assert (response.status, [informational.start for informational in response.informational]) == (
            200,
            [b"HTTP/1.1 100 Continue"],
        )
        assert before == [], "nothing is sent upstream before the body is here"
        assert (await upstream.request()).header("expect") is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(POST, "Expect: 100-continue", "Content-Length: 5").replace(KEY.encode(), b"wrong"), 401),
        (head(POST, "Expect: 100-continue", "Content-Length: 65537"), 413),
        (head("POST /v1/nothing HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"), 404),
        (head("PUT /v1/chat/completions HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"), 405),
        (head(POST, "Expect: 200-ok", "Content-Length: 5"), 417),
    ],
    ids=["credential", "size", "path", "method", "expectation"],
)
async def test_refused_request_is_not_asked_for_its_body(upstream: Upstream, house: House, data: bytes, status: int) -> None:
    async with house.client() as client:
        await client.send(data)

        response = await client.response()
        await response.read()

        assert (response.status, response.informational) == (status, [])
        assert "error" in response.json()


async def test_http_1_0_client_is_not_asked_for_its_body(upstream: Upstream, house: House) -> None:
    upstream.script(answer(JSON))
    async with house.client() as client:
        await client.send(head(f"POST {CHAT} HTTP/1.0", "Expect: 100-continue", f"Content-Length: {len(chat())}") + chat())

        response = await client.response()

        assert (response.status, response.informational) == (200, [])


async def until_received(client: RawClient, data: bytes) -> None:
    async def seen() -> bool:
        return b"".join(piece.data for piece in client.wire.inbox) == data

    await until(seen, repr(data))


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
        ("PUT", "/test/stream", "GET, HEAD"),
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
        assert (bytes(response.body), bytes(response.raw), response.end) == (WHOLE, WHOLE, End.CLEAN)


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
        assert (bytes(first.body), second.json()) == (WHOLE, {"number": 2})
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
