"""Heads and bodies come apart exactly, in every cut, and what is not HTTP/1 is told."""

from __future__ import annotations

import pytest

from tests.support.http1 import (
    BadMessage,
    ChunkedBody,
    LengthBody,
    OpenBody,
    chunk,
    last_chunk,
    parse_head,
    request_body,
    response_body,
)


def test_head_keeps_bytes_and_order() -> None:
    raw = b"GET /a%2Fb HTTP/1.1\r\nx-A: 1\r\nHost:  h \r\nX-a: \xe9\r\n\r\n"

    head = parse_head(raw)

    assert head.raw == raw
    assert head.start == b"GET /a%2Fb HTTP/1.1"
    assert head.headers == ((b"x-A", b"1"), (b"Host", b"h"), (b"X-a", b"\xe9"))
    assert head.header_values("x-a") == ["1", "\xe9"]
    assert head.header("missing") is None


def test_asking_for_the_only_value_of_two_fails() -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\n\r\n")

    with pytest.raises(AssertionError, match="2 times"):
        head.header("A")


@pytest.mark.parametrize("line", [b"no colon", b" folded: x", b"A : x", b": x"])
def test_line_that_is_no_field_is_a_bad_message(line: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_head(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunked_body_comes_apart_in_every_cut(size: int) -> None:
    wire = chunk(b"hello") + b"00A;x=y\r\n0123456789\r\n" + last_chunk([("Sum", "1")]) + b"NEXT"
    body = ChunkedBody()

    data = b"".join(body.feed(wire[start : start + size]) for start in range(0, len(wire), size))

    assert data == b"hello0123456789"
    assert body.complete
    assert body.chunks == [5, 10]
    assert body.trailers == [(b"Sum", b"1")]
    assert body.rest == b"NEXT"


def test_chunked_body_is_incomplete_without_its_very_last_byte() -> None:
    body = ChunkedBody()

    body.feed((chunk(b"a") + last_chunk())[:-1])

    assert not body.complete


@pytest.mark.parametrize(
    "wire",
    [b"x\r\n", b"0x1\r\na\r\n", b"1\na\r\n", b"1\r\nab\r\n", b"\r\n", b"-1\r\n", b"1\r\na\r\nzz\r\n", b"1\r\na\n", b"0\r\n\n"],
)
def test_bad_chunk_is_a_bad_message(wire: bytes) -> None:
    with pytest.raises(BadMessage):
        ChunkedBody().feed(wire)


def test_length_body_ends_by_count() -> None:
    body = LengthBody(3)

    before = body.feed(b"ab"), body.complete
    after = body.feed(b"cNEXT"), body.complete

    assert before == (b"ab", False)
    assert after == (b"c", True)
    assert body.rest == b"NEXT"


@pytest.mark.parametrize(
    ("headers", "status", "method", "kind"),
    [
        (b"Transfer-Encoding: chunked\r\n", 200, "GET", ChunkedBody),
        (b"Content-Length: 3\r\n", 200, "GET", LengthBody),
        (b"", 200, "GET", OpenBody),
        (b"Transfer-Encoding: chunked\r\n", 200, "HEAD", LengthBody),
        (b"Content-Length: 3\r\n", 304, "GET", LengthBody),
        (b"", 204, "GET", LengthBody),
    ],
)
def test_framing_of_a_response_follows_the_rules(headers: bytes, status: int, method: str, kind: type) -> None:
    body = response_body(parse_head(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"), status, method)

    assert isinstance(body, kind)
    assert body.complete == (method == "HEAD" or status in (204, 304))


@pytest.mark.parametrize("headers", [b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"Transfer-Encoding: gzip\r\n"])
def test_ambiguous_framing_of_a_response_is_a_bad_message(headers: bytes) -> None:
    with pytest.raises(BadMessage):
        response_body(parse_head(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"), 200, "GET")


def test_request_without_framing_has_no_body() -> None:
    assert request_body(parse_head(b"POST / HTTP/1.1\r\n\r\n")).complete
