"""Where a request begins and ends: heads that cannot be read, framing, bodies and expectations (P25, P27)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.asking import FILES, GOOD, ask, assert_recorded_once, head, listed, until
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.loops import both_loops
from tests.support.upstream import How, Upstream, answer
from tests.support.wire import WITHIN

JSON: dict[str, list[int]] = {"choices": []}
POST = f"POST {CHAT} HTTP/1.1"
CANARY = b"c4n4ry"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    async with open_house(listed(upstream)) as running:
        yield running


async def exchange(house: House, data: bytes) -> tuple[Response, RawClient]:
    """Send *data* as it is and return the whole answer, and the client, which has seen the connection's end."""
    async with house.client() as client:
        await client.send(data)
        response = await client.response()
        await response.read()
        await client.closed()
        return response, client


# Framing and heads that cannot be read.


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
    "no host": head("GET /auth/ping HTTP/1.1").replace(b"Host: proxy\r\n", b""),
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
@pytest.mark.parametrize(
    ("start", "status"),
    [(head("GET /auth/ping HTTP/1.1")[:-2] + b"X: ", b"431"), (head(POST, "Transfer-Encoding: chunked") + b"zz", b"400")],
    ids=["head", "body"],
)
async def test_refusal_reaches_a_client_that_goes_on_sending(house: House, start: bytes, status: bytes) -> None:
    """RFC 9112 9.6. A socket that is closed on bytes that are still to come resets the connection."""
    reader, writer = await asyncio.open_connection(*house.server.address)
    writer.write(start + CANARY * 1_000_000)
    await writer.drain()

    async with asyncio.timeout(WITHIN):
        told = await reader.read()
    writer.close()

    assert (told.split(b" ")[1], told[-1:]) == (status, b"}")


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
