from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, UpstreamMalformed
from proxy.headers import Header, Inbound, Outbound, header_lines, stream_headers

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
        b"Date",
        b"server",
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
def test_lines_are_those_of_the_headers_that_pass(raw: list[Header]) -> None:
    """Also where names and values hold what means something in a template."""
    raw = [(name.replace(b"X-", b"X%"), value + b"%b%%") for name, value in raw] + raw

    assert Outbound().lines(raw) == header_lines(forwarded(*raw))
    assert Inbound().lines(raw) == header_lines(delivered(*raw))


def test_lines_of_no_header_are_none() -> None:
    assert header_lines([]) == b""
    assert header_lines([(b"A", b"1"), (b"B", b"")]) == b"A: 1\r\nB: \r\n"


def test_lines_never_hold_a_cookie_that_carries_the_token() -> None:
    outbound = Outbound(transparent=True, token_cookie=b"token")

    assert (
        outbound.lines([(b"Cookie", b"a=1; token=secret"), CONTENT_TYPE]) == b"Cookie: a=1\r\nContent-Type: application/json\r\n"
    )


@pytest.mark.parametrize("bad", [(b"X-A", b"1\r\nX-B: 2"), (b"X A", b"1"), (b"", b"1")])
def test_malformed_header_makes_no_line(bad: Header) -> None:
    with pytest.raises(BadRequest):
        Outbound().lines([CONTENT_TYPE, bad])
    with pytest.raises(UpstreamMalformed):
        Inbound().lines([CONTENT_TYPE, bad])


@given(raw=FIELDS)
def test_filtering_twice_is_filtering_once(raw: list[Header]) -> None:
    once = forwarded(*raw)

    assert forwarded(*once) == once


def test_made_up_header_names_do_not_fill_the_memory() -> None:
    outbound = Outbound()

    for number in range(3000):
        outbound.forwardable([(f"X-{number}".encode(), b"")])
        outbound.forwardable([(f"X-{number}".encode(), b""), (b"X" * 8000, b"")])

    assert 0 < len(outbound._sieve._patterns) <= 1024
    assert max(sum(map(len, names)) for names in outbound._sieve._patterns) < 100
