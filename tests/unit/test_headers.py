from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import (
    BadRequest,
    ExpectationFailed,
    ProxyError,
    UnsupportedFraming,
    UnsupportedVersion,
    UpstreamMalformed,
)
from proxy.headers import (
    Header,
    Inbound,
    Outbound,
    TrustedProxies,
    noted,
    request_id_from,
    stream_headers,
    validate_framing,
    validate_target,
)

CONTENT_TYPE = (b"Content-Type", b"application/json")


def forwarded(*raw: Header) -> list[Header]:
    return Outbound().forwardable(raw)


def lowered(raw: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in raw}


def delivered(*raw: Header) -> list[Header]:
    return Inbound().deliverable(raw, lowered(raw), body_may_change=False).headers


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Proxy-Connection",
        b"Keep-Alive",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"Proxy-Authentication-Info",
        b"Host",
        b"Content-Length",
        b"Expect",
        b"Accept-Encoding",
        b"X-Request-Id",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"x-forwarded-anything",
        b"X-Real-IP",
        b"CF-Connecting-IP",
        b"True-Client-IP",
        b"Via",
        b"Authorization",
        b"authorization",
        b"X-API-Key",
        b"api-key",
        b"X-Goog-Api-Key",
        b"X-Amz-Security-Token",
        b"Cookie",
        b"Origin",
        b"X-Test-Scenario",
    ],
)
def test_header_stays_on_this_side(name: bytes) -> None:
    """P22, P30."""
    assert forwarded((name, b"x"), CONTENT_TYPE) == [CONTENT_TYPE]


def test_everything_else_passes_byte_for_byte() -> None:
    raw = [
        (b"user-agent", b"OpenAI/Python 3.51.0"),
        (b"Idempotency-Key", b"k1"),
        (b"X-Odd", b"\xe9 \t two"),
        (b"x-odd", b""),
        (b"anthropic-beta", b"a,b"),
        (b"OpenAI-Organization", b"org"),
    ]

    assert forwarded(*raw) == raw


def test_headers_named_by_connection_are_of_this_hop_only() -> None:
    """P22."""
    kept = forwarded(
        (b"X-Secret", b"1"),
        (b"Connection", b"close, x-secret"),
        CONTENT_TYPE,
        (b"CONNECTION", b" X-Other ,"),
        (b"x-other", b"1"),
        (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"x"),
    )

    assert kept == [CONTENT_TYPE]


def test_caller_names_what_it_replaces() -> None:
    outbound = Outbound([b"openai-organization"])

    assert outbound.forwardable([(b"OpenAI-Organization", b"theirs"), CONTENT_TYPE]) == [CONTENT_TYPE]


def test_simulator_gets_the_scenario() -> None:
    scenario = (b"X-Test-Scenario", b"stall")

    assert Outbound(simulator=True).forwardable([scenario]) == [scenario]


def test_transparent_upstream_gets_cookies_and_origin_but_no_credential() -> None:
    raw = [(b"Cookie", b"a=1;b=2"), (b"Origin", b"https://app.example"), (b"Authorization", b"Bearer x")]

    assert Outbound(transparent=True).forwardable(raw) == raw[:2]


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        (b"session=s3cr3t", []),
        (b"a=1; session=s3cr3t; b=2", [(b"cookie", b"a=1; b=2")]),
        (b"session=s3cr3t; b=2", [(b"cookie", b"b=2")]),
        (b"a=1;session=s3cr3t", [(b"cookie", b"a=1")]),
        (b"a=session;;b=2", [(b"cookie", b"a=session;;b=2")]),
    ],
)
def test_cookie_that_carries_the_token_never_passes(cookie: bytes, left: list[Header]) -> None:
    outbound = Outbound(transparent=True, token_cookie=b"session")

    assert outbound.forwardable([(b"cookie", cookie)]) == left


BAD_FIELDS = [
    (b"X-A", b"a\x00b"),
    (b"X-A", b"a\x01"),
    (b"X-A", b"a\x7f"),
    (b"X-A", b"a\r\nX-B: 1"),
    (b"X-A", b"a\nb"),
    (b"X A", b"a"),
    (b"X-A:", b"a"),
    (b"X-\xe9", b"a"),
    (b"", b"a"),
]


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_request_header_that_cannot_be_sent_is_refused_without_repeating_it(field: Header) -> None:
    with pytest.raises(BadRequest) as caught:
        forwarded(CONTENT_TYPE, field)

    assert "X-" not in str(caught.value) + caught.value.public


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_response_header_that_cannot_be_sent_is_the_upstreams_fault(field: Header) -> None:
    """aiohttp would answer with nothing at all."""
    with pytest.raises(UpstreamMalformed):
        delivered(CONTENT_TYPE, field)


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Transfer-Encoding",
        b"Trailer",
        b"Upgrade",
        b"Proxy-Authenticate",
        b"Alt-Svc",
        b"Access-Control-Allow-Origin",
        b"access-control-expose-headers",
        b"X-Request-Id",
    ],
)
def test_upstreams_header_is_not_for_the_client(name: bytes) -> None:
    assert delivered((name, b"x"), CONTENT_TYPE) == [CONTENT_TYPE]


def test_response_headers_named_by_connection_are_stripped() -> None:
    """P22."""
    assert delivered((b"X-B", b"1"), (b"Connection", b"X-B"), CONTENT_TYPE) == [CONTENT_TYPE]


def test_each_cookie_of_the_upstream_reaches_its_client() -> None:
    """P23."""
    cookies = [(b"Set-Cookie", b"a=1; Path=/"), (b"Set-Cookie", b"b=2")]

    assert delivered(*cookies) == cookies


def test_transparent_upstream_speaks_for_itself_to_browsers() -> None:
    raw = [(b"Access-Control-Allow-Origin", b"https://app.example")]

    assert Inbound(transparent=True).deliverable(raw, lowered(raw), body_may_change=False).headers == raw


@pytest.mark.parametrize("name", [b"Content-Digest", b"Repr-Digest", b"Digest", b"Content-MD5", b"ETag"])
def test_digest_holds_only_for_a_body_that_stays(name: bytes) -> None:
    raw = [(name, b'"abc"'), CONTENT_TYPE]

    assert Inbound().deliverable(raw, lowered(raw), body_may_change=False).headers == raw
    assert Inbound().deliverable(raw, lowered(raw), body_may_change=True).headers == [CONTENT_TYPE]


def test_weak_etag_holds_for_a_changed_body_too() -> None:
    raw = [(b"ETag", b'W/"abc"')]

    assert Inbound().deliverable(raw, lowered(raw), body_may_change=True).headers == raw


def test_declared_length_comes_back_apart() -> None:
    raw = [(b"Content-Length", b"42"), (b"X-Request-Id", b"req_1"), CONTENT_TYPE]

    head = Inbound().deliverable(raw, lowered(raw), body_may_change=False)

    assert (head.headers, head.content_length) == ([CONTENT_TYPE], 42)


@pytest.mark.parametrize(
    "lengths", [(b"+1",), (b"1, 1",), (b"",), (b"0x1",), (b"9" * 30,)], ids=lambda lengths: str(lengths)[:20]
)
def test_unclear_length_of_a_response_is_malformed(lengths: tuple[bytes, ...]) -> None:
    with pytest.raises(UpstreamMalformed):
        delivered(*[(b"Content-Length", length) for length in lengths])


def test_stream_that_is_committed_early_has_its_headers() -> None:
    assert stream_headers() == [
        (b"Content-Type", b"text/event-stream; charset=utf-8"),
        (b"Cache-Control", b"no-cache, no-transform"),
        (b"X-Accel-Buffering", b"no"),
    ]


def test_stream_keeps_the_upstreams_type_and_says_once_that_it_is_not_held_back() -> None:
    raw = [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"max-age=60"),
        (b"x-accel-buffering", b"yes"),
        (b"openai-version", b"2020-10-01"),
    ]

    assert stream_headers(raw) == [
        (b"openai-version", b"2020-10-01"),
        (b"Content-Type", b"text/event-stream"),
        (b"Cache-Control", b"no-cache, no-transform"),
        (b"X-Accel-Buffering", b"no"),
    ]


TOKENS = st.sampled_from(
    [b"Connection", b"X-A", b"x-a", b"x-b", b"Cookie", b"Host", b"Accept", b"X-Forwarded-Host", b"ETag", b"Alt-Svc", b"TE"]
)
FIELDS = st.lists(st.tuples(TOKENS, st.sampled_from([b"", b"x-a", b"close", b"X-B, accept", b"\xff", b"1"])), max_size=12)


@given(raw=FIELDS)
def test_what_passes_is_what_was_there_in_the_same_order(raw: list[Header]) -> None:
    for kept in (forwarded(*raw), delivered(*raw)):
        rest = iter(raw)
        assert all(pair in rest for pair in kept)


@given(raw=FIELDS)
def test_nothing_that_connection_names_passes(raw: list[Header]) -> None:
    named = {option.strip().lower() for name, value in raw if name == b"Connection" for option in value.split(b",")}

    for kept in (forwarded(*raw), delivered(*raw)):
        assert named.isdisjoint(name.lower() for name, _ in kept)


@given(raw=FIELDS)
def test_filtering_twice_is_filtering_once(raw: list[Header]) -> None:
    once = forwarded(*raw)

    assert forwarded(*once) == once


@pytest.mark.parametrize(
    "raw",
    [
        [],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"transfer-encoding", b" Chunked ")],
        [(b"Content-Length", b"0")],
        [(b"Expect", b"100-Continue")],
    ],
)
def test_plain_framing_is_accepted(raw: list[Header]) -> None:
    validate_framing((1, 1), noted(raw))


@pytest.mark.parametrize(
    ("version", "raw", "error"),
    [
        ((2, 0), [], UnsupportedVersion),
        ((1, 2), [], UnsupportedVersion),
        ((0, 9), [], UnsupportedVersion),
        ((1, 1), [(b"Transfer-Encoding", b",chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"gzip, chunked")], UnsupportedFraming),
        ((1, 1), [(b"Transfer-Encoding", b"chunked, gzip")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked, chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"identity")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"\x0bchunked\x0b")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"3"), (b"Content-Length", b"3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"+3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"3, 3")], BadRequest),
        ((1, 0), [(b"Transfer-Encoding", b"chunked")], BadRequest),
        ((1, 1), [(b"Expect", b"teapot")], ExpectationFailed),
    ],
)
def test_framing_that_can_be_read_in_two_ways_is_refused(
    version: tuple[int, int], raw: list[Header], error: type[ProxyError]
) -> None:
    """P25: what the HTTP parser in front lets through."""
    with pytest.raises(error):
        validate_framing(version, noted(raw))


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/chat/completions",
        b"/",
        b"/?",
        b"/v1/models?a=1&a=&b=%2B+c&d=%2e%2e/..//;\\",
        b"/v1/models/openai%2Fgpt-4o-mini",
        b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        b"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-v1%3A0/converse-stream",
        b"/upstream/openai/v1/files/a%2Fb;v=1//c?x=%zz",
        b"/.well-known/x",
        b"/a...b/..c/d..",
        b"/caf%C3%A9",
    ],
)
def test_target_passes_byte_for_byte(target: bytes) -> None:
    """P24."""
    path, query = validate_target(target)

    assert path + query == target
    assert query[:1] in (b"", b"?")


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"v1/models",
        b"*",
        b"http://evil.example/p?q=1",
        b"//evil.example/x",
        b"/\\evil.example/x",
        b"@evil.example/",
        b"/v1/x%2Fy/%2e%2e/z?a=1&a=&b=%2B+c",
        b"/v1/chat%2Fcompletions",
        b"/v1/../admin",
        b"/v1/.",
        b"/v1/%2E%2e/x",
        b"/v1/.%2e",
        b"/v1/gpt%2E4",
        b"/v1//models",
        b"/v1/models;x=1",
        b"/v1/models%5Cx",
        b"/v1/%zz",
        b"/v1/%4",
        b"/v1/x%00",
        b"/v1/mo dels",
        b"/v1/models#x",
        b"/v1/models\x00",
        b"/v1/models?\r\nHost: evil",
        b"/v1/models?a b",
        b"/v1/caf\xc3\xa9",
        b"/upstream/openai/v1/files/../organization",
        b"/upstream/openai/v1/files/%2e%2E/organization",
        b"/upstream/openai/v1/files/..%2forganization",
        b"/upstream/openai/v1/files%5c..%5Corganization",
        b"/upstream/openai/v1/files/..;/organization",
        b"/upstream/openai/v1/files\\x",
        b"/model/..%2F/converse",
    ],
)
def test_target_that_two_servers_might_read_in_two_ways_is_refused(target: bytes) -> None:
    """P24, P26: and the answer repeats nothing of it."""
    with pytest.raises(BadRequest) as caught:
        validate_target(target)

    assert "evil" not in caught.value.public


@pytest.mark.parametrize("target", [b"//evil.example/x", b"http://evil.example/", b"@evil.example/", b"*"])
def test_target_that_could_name_another_host_is_told_what_a_target_is(target: bytes) -> None:
    """P26: joined to an origin, it would be somebody else's."""
    with pytest.raises(BadRequest, match="must begin with one slash"):
        validate_target(target)


@given(target=st.text("/.%2eEfF5cC;?a\\", max_size=12).map(lambda text: b"/upstream/x/" + text.encode()))
def test_no_accepted_target_climbs_out_of_its_prefix(target: bytes) -> None:
    """Not even at a server that decodes first, resolves later, and drops path parameters."""
    try:
        path, _ = validate_target(target)
    except BadRequest:
        return

    decoded = path.lower().replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"/").replace(b"\\", b"/")
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in decoded.split(b"/")}


@pytest.mark.parametrize("value", [b"req-1", b"A.b_c-9", b"x" * 64])
def test_well_formed_request_id_is_kept(value: bytes) -> None:
    assert request_id_from(noted([CONTENT_TYPE, (b"X-Request-ID", value)])) == value.decode()


@pytest.mark.parametrize("values", [(), (b"",), (b"x" * 65,), (b"a b",), (b'a"b',), (b"\xe9",), (b"a\n",), (b"a", b"b")])
def test_any_other_request_id_is_ignored(values: tuple[bytes, ...]) -> None:
    assert request_id_from(noted([(b"x-request-id", value) for value in values])) is None


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", [b"198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"1.2.3.4", b"198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"198.51.100.1, 10.0.0.5, 10.0.0.6"], "198.51.100.1"),
        ("127.0.0.1", [b"10.0.0.5, 10.0.0.6"], "10.0.0.5"),
        ("127.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", [b"2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [b"1.2.3.4, unknown"], "127.0.0.1"),
        ("127.0.0.1", [b"1.2.3.4, nonsense\xe9, 10.0.0.6"], "10.0.0.6"),
        ("::ffff:127.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("::1", [b"fe80::1%evil text"], "fe80::1"),
        ("", [b"198.51.100.1"], ""),
        ("127.0.0.1", [b"1.2.3.4," + b"10.0.0.1," * 500 + b"10.0.0.2"], "10.0.0.1"),
    ],
)
def test_client_is_the_right_most_hop_that_is_not_trusted(peer: str, forwarded_for: list[bytes], expected: str) -> None:
    proxies = TrustedProxies([ip_network("127.0.0.1/32"), ip_network("::1/128"), ip_network("10.0.0.0/8")])
    raw = [(b"X-Forwarded-For", value) for value in forwarded_for]

    assert proxies.client_address(peer, noted(raw)) == expected


def test_many_peers_do_not_fill_the_memory() -> None:
    proxies = TrustedProxies([ip_network("127.0.0.1/32")])

    for number in range(3000):
        proxies.client_address(f"2001:db8::{number:x}", noted([(b"X-Forwarded-For", b"10.0.0.1")]))

    assert len(proxies._known) <= 1024


def test_made_up_header_names_do_not_fill_the_memory() -> None:
    outbound = Outbound()

    for number in range(3000):
        outbound.forwardable([(f"X-{number}".encode(), b"")])
        outbound.forwardable([(f"X-{number}".encode(), b""), (b"X" * 8000, b"")])

    assert 0 < len(outbound._sieve._patterns) <= 1024
    assert max(sum(map(len, names)) for names in outbound._sieve._patterns) < 100
