"""Every request is read as RFC 9112 says, whatever its cuts; what could be read in two ways is refused."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.downstream import ClientConnection
from proxy.downstream.reader import FIELDS_LIMIT, FRAMING_LIMIT, HEAD_LIMIT, LINE_LIMIT, PIPELINE_LIMIT, RequestReader
from proxy.downstream.request import Unreadable
from proxy.errors import BadRequest, HeadersTooLarge, ProxyError
from tests.unit.downstream.reading import Read, cut, feed, read, whatever_the_fixture

START = b"POST /v1/x HTTP/1.1\r\nHost: p\r\n"
SIZED = START + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/y?a=%7e HTTP/1.1\r\nhost: p\r\n\r\n"
OFFER = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
TALK = SIZED + GET + SIZED.replace(b"hello", b"HELLO") + CHUNKED + b"2\r\nhi\r\n3;a=b\r\n yo\r\n0\r\nSum: 1\r\n\r\n" + SIZED + GET
BODIES = [b"hello", b"", b"HELLO", b"hi yo", b"hello", b""]
TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def reader(connection: ClientConnection) -> RequestReader:
    return RequestReader(connection)


def refusal(reader: RequestReader, *pieces: bytes) -> type[ProxyError] | None:
    """Return why the last of what was read is refused."""
    return read(feed(reader, *pieces))[-1].error


# Requests.


def test_request_is_read_as_it_stood_on_the_wire(reader: RequestReader) -> None:
    data = b"PUT /a%2F?b=%E9 HTTP/1.1\r\nhOST:p\r\nX-Two: \t\xff \t\r\nX:\r\nX: 2\r\nContent-Length: 2\r\n\r\nhi"

    (found,) = read(feed(reader, data))

    headers = ((b"hOST", b"p"), (b"X-Two", b"\xff"), (b"X", b""), (b"X", b"2"), (b"Content-Length", b"2"))
    assert found == Read("PUT", b"/a%2F?b=%E9", (1, 1), headers, True, b"hi", "whole", None)


@given(places=st.lists(st.integers(0, len(TALK)), max_size=8))
@whatever_the_fixture
def test_requests_are_the_same_however_their_bytes_are_cut(connection: ClientConnection, places: list[int]) -> None:
    whole = read(feed(RequestReader(connection), TALK))

    found = read(feed(RequestReader(connection), *cut(TALK, places)))

    assert found == whole
    assert [request.body for request in whole] == BODIES


def test_requests_are_the_same_byte_by_byte(connection: ClientConnection) -> None:
    whole = read(feed(RequestReader(connection), TALK))

    found = read(feed(RequestReader(connection), *[bytes([byte]) for byte in TALK]))

    assert found == whole


def test_body_that_came_with_its_head_is_there_at_once_and_not_copied_together(reader: RequestReader) -> None:
    (request,) = feed(reader, SIZED)

    assert (request.whole, request.has_body) == (b"hello", True)


def test_body_is_handed_over_as_it_comes(reader: RequestReader) -> None:
    (request,) = feed(reader, SIZED[:-5])
    before = request.has_body, request.whole, request.content.ended

    reader.feed(b"he")
    first = request.content.read_nowait()
    reader.feed(b"llo")

    assert before == (True, None, False)
    assert (first, request.content.read_nowait(), request.content.ended) == (b"he", b"llo", True)


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n" * 1000])
def test_empty_lines_before_a_request_are_skipped(reader: RequestReader, data: bytes) -> None:
    """RFC 9112 2.2."""
    assert [request.target for request in feed(reader, data + GET)] == [b"/v1/y?a=%7e"]


@pytest.mark.parametrize(
    ("start", "version", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: p\r\n", (1, 1), True),
        (b"GET / HTTP/1.1\r\nHost: p\r\nConnection: CLOSE, x\r\n", (1, 1), False),
        (b"GET / HTTP/1.0\r\n", (1, 0), False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", (1, 0), True),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive, x\r\nX: close\r\n", (1, 0), True),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive,\t Close\r\n", (1, 0), False),
        (b"GET / HTTP/1.0\r\nconnection: close\r\nConnection: Keep-Alive\r\n", (1, 0), False),
        (b"GET / HTTP/2.0\r\n", (2, 0), False),
        (b"GET / HTTP/0.9\r\n", (0, 9), False),
    ],
)
def test_version_and_the_fate_of_the_connection_are_told(
    reader: RequestReader, start: bytes, version: tuple[int, int], kept: bool
) -> None:
    (request,) = feed(reader, start + b"\r\n")

    assert (request.version, request.keep_alive) == (version, kept)


def test_nothing_is_read_behind_a_request_that_ends_its_connection(reader: RequestReader) -> None:
    found = read(feed(reader, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), GET, GET))

    assert [request.error for request in found] == [None, BadRequest]


def test_trailers_belong_to_nothing(reader: RequestReader) -> None:
    """A parser that keeps them has them ready as the next request's first header."""
    found = read(feed(reader, CHUNKED + b"0\r\nAuthorization: a\r\nX: b\r\n\r\n" + GET))

    assert [request.headers for request in found] == [((b"Host", b"p"), (b"Transfer-Encoding", b"chunked")), ((b"host", b"p"),)]


# An offer to switch protocols.


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"TLS/1.0"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"", b""),
        (b"Content-Length: 0\r\n", b""),
        (b"Content-Length: 5\r\n", b"hello"),
        (b"content-length:5\r\n", b"hello"),
        (b"Transfer-Encoding: Chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX: 1\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_protocol_that_is_offered_is_not_taken(
    reader: RequestReader, upgrade: bytes, framing: bytes, body: bytes, size: int
) -> None:
    offer = START + OFFER.replace(b"websocket", upgrade) + framing + b"\r\n" + body
    talk = offer + GET + offer + SIZED

    found = read(feed(reader, *cut(talk, range(0, len(talk), size))))

    expected = b"hello" if body else b""
    assert [(request.body, request.end, request.error) for request in found] == [
        (expected, "whole", None),
        (b"", "whole", None),
        (expected, "whole", None),
        (b"hello", "whole", None),
    ]
    assert {request.keep_alive for request in found} == {True}


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n"])
def test_offer_whose_end_could_be_read_in_two_ways_is_refused(reader: RequestReader, framing: bytes) -> None:
    assert refusal(reader, START + OFFER + framing + b"\r\nhello") is BadRequest


def test_broken_body_of_an_offer_is_told(reader: RequestReader) -> None:
    requests = feed(reader, START + OFFER + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n", GET)

    assert [request.end for request in read(requests)] == ["broken"]


@pytest.mark.parametrize("target", [b"p:443", b"/v1/x"])
def test_tunnel_is_refused_and_nothing_behind_it_is_read(reader: RequestReader, target: bytes) -> None:
    """RFC 9110 9.3.6. A tunnel's bytes look like requests to whoever goes on reading."""
    found = read(feed(reader, b"CONNECT %b HTTP/1.1\r\nHost: p\r\n\r\n" % target + GET))

    assert [request.error for request in found] == [BadRequest]


# Limits.


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: p\r\n\r\n" % (b"a" * (LINE_LIMIT - 1)), None),
        (b"GET /%b HTTP/1.1\r\nHost: p\r\n\r\n" % (b"a" * LINE_LIMIT), HeadersTooLarge),
        (START + b"X: %b\r\n\r\n" % (b"a" * (LINE_LIMIT - 1)), None),
        (START + b"X: %b\r\n\r\n" % (b"a" * LINE_LIMIT), HeadersTooLarge),
        (START + b"X: a%b\r\n\r\n" % (b" " * LINE_LIMIT), HeadersTooLarge),
        (START + b"%b: a\r\n\r\n" % (b"X" * LINE_LIMIT), HeadersTooLarge),
        (START + b"X: a\r\n" * (FIELDS_LIMIT - 1) + b"\r\n", None),
        (START + b"X: a\r\n" * FIELDS_LIMIT + b"\r\n", BadRequest),
    ],
    ids=["target", "longer target", "header", "longer header", "spaces", "longer name", "headers", "more headers"],
)
@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_head_has_limits(reader: RequestReader, data: bytes, error: type[ProxyError] | None, size: int) -> None:
    assert refusal(reader, *cut(data, range(0, len(data), size))) is error


@pytest.mark.parametrize(
    ("trailers", "end"),
    [
        (b"X: a\r\n" * FIELDS_LIMIT, "whole"),
        (b"X: a\r\n" * (FIELDS_LIMIT + 1), "broken"),
        (b"X: %b\r\n" % (b"a" * LINE_LIMIT), "broken"),
    ],
    ids=["trailers", "more trailers", "longer trailer"],
)
def test_trailers_have_limits(reader: RequestReader, trailers: bytes, end: str) -> None:
    (request,) = feed(reader, CHUNKED)

    feed(reader, b"0\r\n%b\r\n" % trailers)

    assert [found.end for found in read([request])] == [end]


def test_line_that_never_ends_is_refused(reader: RequestReader) -> None:
    """The parser puts it together by itself, and tells of it when it is complete."""
    pieces = [b"a" * 1000] * (HEAD_LIMIT // 1000)

    early = feed(reader, START + b"X: ", *pieces[:-1])

    assert early == []
    assert refusal(reader, *pieces) is HeadersTooLarge


def test_empty_lines_that_never_end_are_refused(reader: RequestReader) -> None:
    assert refusal(reader, *[b"\r\n" * 1000] * (HEAD_LIMIT // 2000 + 1)) is HeadersTooLarge


@pytest.mark.parametrize("separately", [True, False], ids=["in a read of its own", "in one read with it"])
def test_empty_line_behind_each_request_is_borne_on_a_connection_of_any_age(reader: RequestReader, separately: bool) -> None:
    """RFC 9112 2.2. The heads of these are recognised, and the parser sees the empty lines alone."""
    pieces = [SIZED, b"\r\n"] if separately else [SIZED + b"\r\n"]

    requests = [reader.feed(piece) for _ in range(HEAD_LIMIT // 2 + 3) for piece in pieces]

    assert not any(isinstance(request, Unreadable) for found in requests for request in found)


@pytest.mark.parametrize("framing", [b"5;a=%b", b"5\r\nhello\r\n0;a=%b"], ids=["before", "behind"])
def test_bytes_around_a_body_are_bounded(reader: RequestReader, framing: bytes) -> None:
    (request,) = feed(reader, CHUNKED)

    feed(reader, framing % b"", *[b"a" * 1000] * (FRAMING_LIMIT // 1000 + 2))

    assert [found.end for found in read([request])] == ["broken"]


def test_body_may_be_large(reader: RequestReader) -> None:
    (request,) = feed(reader, CHUNKED)
    count = 2 * FRAMING_LIMIT // 1000

    feed(reader, *[b"3e8\r\n", bytes(1000), b"\r\n"] * count, b"0\r\n\r\n")

    assert [(len(found.body), found.end) for found in read([request])] == [(1000 * count, "whole")]


def test_large_head_is_not_counted_with_what_is_around_its_body(reader: RequestReader) -> None:
    large = CHUNKED[:-2] + b"X: %b\r\n" % (b"a" * 10_000) * (FRAMING_LIMIT // 10_000 + 1) + b"\r\n"
    requests = feed(reader, *cut(large, range(0, len(large), 1000)))

    feed(reader, b"5\r\n", b"hello\r\n", b"0\r\n\r\n")

    assert [(found.body, found.end) for found in read(requests)] == [(b"hello", "whole")]


def test_flood_of_requests_in_one_read_is_read_no_further_than_the_line_may_be_long(reader: RequestReader) -> None:
    requests = feed(reader, GET * 10_000)

    assert len(requests) == PIPELINE_LIMIT + 1
    assert read(requests)[-1].error is BadRequest


# What cannot be read.


def test_only_characters_of_tokens_are_read_in_a_name(connection: ClientConnection) -> None:
    """RFC 9110 5.6.2. A colon ends the name."""
    accepted = bytes(byte for byte in range(256) if refusal(RequestReader(connection), START + b"X%cY: 1\r\n\r\n" % byte) is None)

    assert sorted(accepted) == sorted(TOKEN + b":")


def test_no_control_character_is_read_in_a_value(connection: ClientConnection) -> None:
    """RFC 9110 5.5."""
    accepted = {byte for byte in range(256) if refusal(RequestReader(connection), START + b"X: a%cb\r\n\r\n" % byte) is None}

    assert accepted == {0x09, *range(0x20, 0x7F), *range(0x80, 0x100)}


def test_only_printable_ascii_is_read_in_a_target(connection: ClientConnection) -> None:
    head = b"GET /a%cb HTTP/1.1\r\nHost: p\r\n\r\n"

    accepted = {byte for byte in range(256) if refusal(RequestReader(connection), head % byte) is None}

    assert accepted == set(range(0x21, 0x7F))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        START + b"Host: p\r\n\r\n",
        START + b"Content-Type: a/b\r\ncontent-type: a/b\r\n\r\n",
        START + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        START + b"Sec-WebSocket-Key1: a\r\n\r\n",
        START + b"X: a\r\n b\r\n\r\n",
        START + b"X : a\r\n\r\n",
        START.replace(b"\r\n", b"\n") + b"\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_head_that_is_none_is_refused_and_nothing_behind_it_is_read(reader: RequestReader, head: bytes) -> None:
    found = read(feed(reader, GET + head + GET, GET))

    assert [request.error for request in found] == [None, BadRequest]
    assert found[1] == Read("UNKNOWN", b"/", (1, 0), (), False, b"", "whole", BadRequest)


@pytest.mark.parametrize(
    "broken", [b"zz\r\n", b"5\r\nhelloX\r\n", b"-1\r\n", b"0\r\nHost: q\r\n\r\n", b"0\r\nContent-Length: 3\r\n\r\n"]
)
def test_body_that_breaks_is_told_to_whoever_has_its_request(reader: RequestReader, broken: bytes) -> None:
    requests = feed(reader, CHUNKED + b"2\r\nhi\r\n", broken, GET)

    assert [request.end for request in read(requests)] == ["broken"]


def test_request_whose_body_is_broken_from_the_first_is_handed_to_nobody(reader: RequestReader) -> None:
    found = read(feed(reader, GET + CHUNKED + b"2\r\nhi\r\nzz\r\n"))

    assert [request.error for request in found] == [None, BadRequest]


def test_reader_that_is_closed_needs_no_garbage_collector(connection: ClientConnection) -> None:
    reader = RequestReader(connection)
    feed(reader, SIZED, GET)
    alone, before = object(), sys.getrefcount(reader)

    reader.close()

    assert before > sys.getrefcount(reader) == sys.getrefcount(alone)


def test_reader_that_is_closed_reads_nothing(reader: RequestReader) -> None:
    reader.close()
    reader.close()

    assert reader.feed(GET) == ()
