"""A request reads on the wire as one upstream wants it: target byte for byte, one credential of ours and none of the client's."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from proxy import settings
from proxy.errors import BadRequest, BodyTooLarge
from proxy.headers import Header, Heads
from proxy.providers import PROVIDERS, Asked
from proxy.upstream import Addresses, Backend, Network, OutboundRequest, Outgoing, Rules
from tests.support.aws import SECRET, TOKEN, Aws, from_container
from tests.support.bedrock import signed_with
from tests.support.http1 import ChunkedBody, Head, parse_head
from tests.support.steps import RequestSeen
from tests.support.upstream import ForwardProxy, Upstream, answer
from tests.unit.upstream.support import exchange

JSON = (b"Content-Type", b"application/json")
NO_COOKIE = Rules()


def backend(url: str = "http://backend.test/v1", kind: str = "openai", rules: Rules = NO_COOKIE, **config: Any) -> Backend:
    upstream = settings.Upstream.model_validate({"kind": kind, "base_url": url, **config})
    network = Network(Addresses(asyncio.get_running_loop()), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    origin = settings.Origin.parse(url)
    provider = PROVIDERS[kind](upstream, origin.path.encode())
    return Backend("a", upstream, origin, provider, rules=rules, network=network)


def outgoing(method: bytes = b"POST", target: bytes = b"/v1/chat", headers: tuple[Header, ...] = (), **rest: Any) -> Outgoing:
    return Outgoing(method=method, target=target, headers=headers, request_id="req-1", **rest)


def head(request: OutboundRequest) -> Head:
    return parse_head(request.head)


async def pieces(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


async def body(request: OutboundRequest) -> bytes:
    """Return the body as it goes on the wire."""
    assert request.more is not None
    return request.body + b"".join([piece async for piece in request.more])


async def test_whole_request_reads_so() -> None:
    request = backend(api_key="sk-1").request(outgoing(headers=(JSON, (b"X-A", b"1"), (b"x-a", b"2")), body=b"{}"))

    assert request.head == (
        b"POST /v1/chat HTTP/1.1\r\n"
        b"Host: backend.test\r\n"
        b"Content-Type: application/json\r\n"
        b"X-A: 1\r\n"
        b"x-a: 2\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Authorization: Bearer sk-1\r\n"
        b"X-Request-Id: req-1\r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
    )
    assert (request.body, request.more, request.expects_head) == (b"{}", None, False)


# Targets.


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/x%2Fy/%2e%2e/z?a=1&a=&b=%2B+c",
        b"/v1/%zz/a|b\"<>^`{}?",
        b"/v1//double/./dot;p=1/",
        b"/v1/a?b?c=%41%7E&d=//e/../f",
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", [None, "http://way.test:3128"], ids=["direct", "by a forward proxy"])
async def test_target_is_sent_byte_for_byte(target: bytes, way: str | None) -> None:
    request = backend(proxy=way).request(outgoing(b"GET", target))

    prefix = b"" if way is None else b"http://backend.test"
    assert head(request).start == b"GET " + prefix + target + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("base", "public", "path"),
    [
        ("http://backend.test/v1", b"/v1/chat/completions", b"/v1/chat/completions"),
        ("http://backend.test/a%2Fb//v1/", b"/v1/embeddings", b"/a%2Fb//v1/embeddings"),
        ("http://backend.test", b"/v1/models", b"/models"),
    ],
)
async def test_api_path_is_below_the_configured_base(base: str, public: bytes, path: bytes) -> None:
    assert backend(base).provider.target(Asked("chat", public, model="gpt")) == path


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://backend.test/v1", "backend.test"),
        ("http://backend.test:80/v1", "backend.test"),
        ("https://backend.test/v1", "backend.test"),
        ("https://backend.test:443/v1", "backend.test"),
        ("http://backend.test:443/v1", "backend.test:443"),
        ("http://Backend.TEST:8080", "backend.test:8080"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
        ("https://[::1]/v1", "[::1]"),
    ],
)
async def test_host_is_the_upstreams_own(url: str, host: str) -> None:
    sent = head(backend(url).request(outgoing(headers=((b"Host", b"proxy.test"), (b"X-Forwarded-Host", b"proxy.test")))))

    assert (sent.header("host"), sent.header("x-forwarded-host")) == (host, None)


# Headers.


@pytest.mark.parametrize(
    "name", [b"Authorization", b"authorization", b"X-Api-Key", b"api-key", b"X-Goog-Api-Key", b"Cookie", b"Origin"]
)
@pytest.mark.parametrize("key", ["", "sk-1"], ids=["without a key", "with a key"])
async def test_credential_of_the_client_stays_here(name: bytes, key: str) -> None:
    sent = head(backend(api_key=key).request(outgoing(headers=((name, b"clients"), (name, b"clients too")))))

    assert b"clients" not in sent.raw
    assert sent.header("authorization") == (f"Bearer {key}" if key else None)


async def test_client_cannot_have_our_headers_removed() -> None:
    hop = (b"Connection", b"Authorization, X-Request-Id, Host, Content-Length, X-Team, X-Hop, close")
    sent = head(
        backend(api_key="sk-1", headers={"X-Team": "blue"}).request(
            outgoing(headers=(hop, (b"X-Hop", b"1"), (b"X-Kept", b"1")), body=b"x")
        )
    )

    names = ("authorization", "x-request-id", "host", "content-length", "x-team", "x-kept", "x-hop", "connection")
    assert [sent.header(name) for name in names] == ["Bearer sk-1", "req-1", "backend.test", "1", "blue", "1", None, None]


THIS_HOP = (
    "Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade Proxy-Authorization Expect Via Accept-Encoding X-Request-Id "
    "Content-Length Forwarded X-Forwarded-For X-Test-Scenario"
)


@pytest.mark.parametrize("name", THIS_HOP.split())
async def test_header_of_this_hop_stays_here(name: str) -> None:
    sent = head(backend().request(outgoing(b"GET", headers=((name.encode(), b"clients"),))))

    assert b"clients" not in sent.raw


async def test_configured_headers_replace_the_clients() -> None:
    sent = head(
        backend(headers={"OpenAI-Beta": "x=1", "X-Team": "blue"}).request(outgoing(headers=((b"openai-beta", b"y=2"), JSON)))
    )

    assert (sent.header("openai-beta"), sent.header("x-team"), sent.header("content-type")) == ("x=1", "blue", "application/json")


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_configured_credential_is_the_only_one(name: str) -> None:
    sent = head(backend(api_key="sk-1", headers={name: "Basic eDp5", "accept-encoding": "gzip"}).request(outgoing()))

    assert (sent.header("authorization"), sent.header("accept-encoding")) == ("Basic eDp5", "gzip")


@pytest.mark.parametrize(
    ("client", "configured", "version"),
    [
        ((), {}, "2023-06-01"),
        (((b"Anthropic-Version", b"2026-10-21"),), {}, "2026-10-21"),
        ((), {"Anthropic-Version": "2024-01-01"}, "2024-01-01"),
        (((b"anthropic-version", b"2026-10-21"),), {"anthropic-version": "2024-01-01"}, "2024-01-01"),
    ],
    ids=["none sent", "sent", "configured", "sent and configured"],
)
async def test_header_that_a_kind_needs_is_added_where_nobody_sends_it(
    client: tuple[Header, ...], configured: dict[str, str], version: str
) -> None:
    claude = backend("http://backend.test", "anthropic", api_key="sk-ant-1", headers=configured)

    sent = head(claude.request(outgoing(headers=(JSON, *client))))

    assert (sent.header("anthropic-version"), sent.header("x-api-key")) == (version, "sk-ant-1")


async def test_transparent_upstream_sees_cookie_and_origin() -> None:
    sent = head(
        backend(transparent=True).request(
            outgoing(headers=((b"Cookie", b"a=1"), (b"Origin", b"https://x"), (b"Authorization", b"no")))
        )
    )

    assert (sent.header("cookie"), sent.header("origin"), sent.header("authorization")) == ("a=1", "https://x", None)


async def test_cookie_with_a_clients_credential_reaches_no_upstream() -> None:
    """Only its neighbours pass, and only to one that is transparent."""
    cookies = (b"Cookie", b"a=1; session=client-key; b=2")
    rules = Rules(token_cookie="session")

    sent = [head(backend(rules=rules, transparent=each).request(outgoing(headers=(cookies,)))) for each in (True, False)]

    assert [each.header("cookie") for each in sent] == ["a=1; b=2", None]


@pytest.mark.parametrize(
    "pair", [(b"X-A", b"a\r\nX-Evil: 1"), (b"X-A", b"a\x00"), (b"X A", b"1"), (b"X-A\r\nX-Evil", b"1"), (b"", b"1")]
)
async def test_header_that_would_break_the_head_is_refused(pair: Header) -> None:
    with pytest.raises(BadRequest):
        backend().request(outgoing(headers=(pair,)))


# Bodies.


@pytest.mark.parametrize(
    ("method", "sent", "length"),
    [
        (b"POST", b"{}", "2"),
        (b"POST", b"", "0"),
        (b"PUT", b"", "0"),
        (b"PATCH", b"", "0"),
        (b"GET", b"", None),
        (b"DELETE", b"", None),
        (b"DELETE", b"x", "1"),
        (b"HEAD", b"", None),
        (b"OPTIONS", b"", None),
    ],
)
async def test_length_is_said_where_a_body_is_meant(method: bytes, sent: bytes, length: str | None) -> None:
    request = backend().request(outgoing(method, body=sent))

    assert (head(request).header("content-length"), request.body) == (length, sent)
    assert head(request).header("transfer-encoding") is None


async def test_body_of_a_declared_length_goes_on_as_it_is() -> None:
    request = backend().request(outgoing(body=b"one", more=pieces(b"two", b"", b"three"), length=11))

    assert (head(request).header("content-length"), head(request).header("transfer-encoding")) == ("11", None)
    assert await body(request) == b"onetwothree"


@pytest.mark.parametrize("first", [b"", b"one"], ids=["from its start", "from its middle"])
async def test_body_of_unknown_length_goes_in_chunks(first: bytes) -> None:
    """An empty piece would be the last chunk, and the rest a request of somebody's making."""
    request = backend().request(outgoing(body=first, more=pieces(b"two", b"", bytes(300), b"")))
    framing = ChunkedBody()

    sent = framing.feed(await body(request))

    assert (head(request).header("content-length"), head(request).header("transfer-encoding")) == (None, "chunked")
    assert (sent, framing.complete, framing.rest) == (first + b"two" + bytes(300), True, b"")


async def test_unfinished_body_lets_its_maker_go() -> None:
    maker = pieces(b"one", b"two")
    request = backend().request(outgoing(more=maker))
    assert request.more is not None
    await anext(request.more)

    await request.more.aclose()

    with pytest.raises(StopAsyncIteration):
        await anext(maker)


@pytest.mark.parametrize("more", [False, True], ids=["plain", "with a body"])
async def test_head_request_is_marked_as_one(more: bool) -> None:
    request = backend().request(outgoing(b"HEAD", more=pieces(b"x") if more else None))

    assert request.expects_head
    if request.more is not None:
        await request.more.aclose()


# The way out.


@pytest.mark.parametrize(
    ("url", "way", "start", "authorization"),
    [
        ("http://backend.test:8080/v1", "http://way.test:3128", b"POST http://backend.test:8080/v1/chat HTTP/1.1", None),
        ("http://[::1]/v1", "http://way.test:3128", b"POST http://[::1]/v1/chat HTTP/1.1", None),
        ("http://backend.test/v1", "http://ada:x@way.test:3128", b"POST http://backend.test/v1/chat HTTP/1.1", "Basic YWRhOng="),
        ("https://backend.test/v1", "http://ada:x@way.test:3128", b"POST /v1/chat HTTP/1.1", None),
    ],
    ids=["plain", "IPv6", "with a password", "inside a tunnel"],
)
async def test_forward_proxy_is_told_the_whole_url_where_there_is_no_tunnel(
    url: str, way: str, start: bytes, authorization: str | None
) -> None:
    sent = head(backend(url, proxy=way).request(outgoing(headers=((b"Proxy-Authorization", b"clients"),))))

    assert (sent.start, sent.header("proxy-authorization")) == (start, authorization)


async def test_requests_go_by_the_forward_proxy_again_and_again() -> None:
    async with Upstream() as upstream, ForwardProxy(credentials="ada:x") as way_out:
        upstream.script(answer(1), answer(2))
        by_proxy = backend(f"{upstream.url}/v1", proxy=way_out.url("ada:x"))

        found = [await exchange(by_proxy.pool, by_proxy.request(outgoing(b"GET", b"/v1//a%2F?b"))) for _ in range(2)]
        by_proxy.pool.close()

        assert [(each.body, each.reused) for each in found] == [(b"1", False), (b"2", True)]
        assert [request.target for request in upstream.requests] == [b"/v1//a%2F?b"] * 2


# Signed.


def bedrock(endpoint_url: str | None = None, **config: Any) -> Backend:
    upstream = settings.Upstream.model_validate({"kind": "bedrock", "endpoint_url": endpoint_url, **config})
    network = Network(Addresses(asyncio.get_running_loop()), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    provider = PROVIDERS["bedrock"](upstream, b"")
    return Backend("aws", upstream, upstream.origin, provider, rules=NO_COOKIE, network=network)


async def started(made: Backend) -> Backend:
    """Start it and wait until it can sign."""
    made.start()
    assert made.signer is not None
    ready = made.signer.ready()
    assert ready is not None
    await ready
    return made


def seen(request: OutboundRequest) -> RequestSeen:
    """Return the request as a server reads it."""
    sent = head(request)
    method, target, version = sent.start.split(b" ")
    return RequestSeen(sent, method.decode(), target, version, 0, True, 0.0, request.body, complete=True)


@pytest.mark.parametrize("endpoint_url", [None, "http://127.0.0.1:8080"], ids=["found by the SDK", "configured"])
async def test_signature_is_over_what_goes_on_the_wire(aws: Aws, endpoint_url: str | None) -> None:
    aws.keys(token=TOKEN)
    made = await started(bedrock(endpoint_url, headers={"X-Amzn-Bedrock-Trace": "ENABLED"}))
    theirs = (JSON, (b"Authorization", b"Bearer clients"), (b"X-Amz-Date", b"clients"), (b"X-Amz-Security-Token", b"clients"))

    sent = seen(made.request(outgoing(target=b"/model/m%3A0/converse?a=%2B", headers=theirs, body=b"{}")))

    assert signed_with(sent, SECRET)
    assert b"x-amzn-bedrock-trace" in sent.head.raw.split(b"SignedHeaders=")[1]
    assert b"clients" not in sent.head.raw
    assert sent.header("host") == ("127.0.0.1:8080" if endpoint_url else "bedrock-runtime.us-east-1.amazonaws.com")
    assert sent.header("x-amz-security-token") == TOKEN
    await made.close()


async def test_signature_is_of_the_path_also_where_a_forward_proxy_is_told_the_whole_url(aws: Aws) -> None:
    aws.keys()
    made = await started(bedrock("http://backend.test", proxy="http://way.test:3128"))

    sent = seen(made.request(outgoing(target=b"/model/m/converse", body=b"{}")))

    assert sent.target == b"http://backend.test/model/m/converse"
    sent.target = b"/model/m/converse"
    assert signed_with(sent, SECRET)
    await made.close()


async def test_body_that_goes_in_pieces_cannot_be_signed(aws: Aws) -> None:
    aws.keys()
    made = await started(bedrock())

    with pytest.raises(BodyTooLarge):
        made.request(outgoing(more=pieces(b"x")))
    await made.close()


async def test_key_of_the_configuration_is_the_only_credential(aws: Aws) -> None:
    aws.keys()
    made = await started(bedrock(region="us-east-1", api_key="k"))

    sent = seen(made.request(outgoing(target=b"/model/m/converse")))

    assert sent.header("authorization") == "Bearer k"
    assert sent.header("x-amz-date") is None
    assert sent.header("host") == "bedrock-runtime.us-east-1.amazonaws.com"
    await made.close()


async def test_only_where_something_is_left_open_is_there_a_signer(aws: Aws) -> None:
    assert backend().signer is None
    assert bedrock("http://h", api_key="k").signer is None
    assert bedrock().signer is not None


async def test_credentials_are_renewed_by_the_clock(aws: Aws, upstream: Upstream) -> None:
    upstream.script(from_container("ASIA1", 60), from_container("ASIA1", 60), from_container("ASIA2", 3600))
    aws.container(upstream.url)
    made = await started(bedrock())
    assert made.signer is not None
    made.signer._wall = lambda: time.time() + 45

    made.sweep(time.monotonic())

    await upstream.request(2)
    await made.close()


# Secrets.


async def test_secrets_are_in_no_repr() -> None:
    made = backend(api_key="s3cr3t-key", headers={"X-A": "s3cr3t-header"}, proxy="http://ada:s3cr3t-way@way.test:3128")

    assert "s3cr3t" not in repr(made)
    assert repr(made) == "<Backend a <Pool in_use=0 idle=0>>"


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_known_head_is_passed_on_as_it_was_and_by_another_upstream_as_that_one_does(kind: str) -> None:
    ours, theirs, heads = backend(kind=kind), backend(headers={"X-A": "own"}), Heads()
    again = outgoing(headers=(JSON, (b"X-A", b"1")), body=b"{}", heads=heads)
    afresh = ours.request(outgoing(headers=(JSON, (b"X-A", b"1")), body=b"{}"))

    first, second = ours.request(again), ours.request(again)
    other, third = theirs.request(again), ours.request(again)

    assert heads.lines
    assert first.head == second.head == third.head == afresh.head
    assert b"X-A: 1" not in other.head
    assert b"X-A: own" in other.head
