"""Every response is read as RFC 9112 says, whatever its cuts; what could be read in two ways is refused."""

from __future__ import annotations

import httptools
import pytest

from proxy.upstream.response import FIELDS_LIMIT, ResponseHead, ResponseReader, malformed

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
OPEN = OK + b"\r\nhi"
PLAIN_HEAD = ResponseHead(200, ((b"Content-Length", b"2"),), {b"content-length": b"2"})
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"

cuts = pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])


def feed(reader: ResponseReader, data: bytes, size: int = 1000) -> bytes:
    """Feed *data* in pieces of *size* bytes and return the body among them."""
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    body = b"".join(reader.body)
    reader.body.clear()
    return body


def refusal(data: bytes) -> str:
    """Return why *data* cannot be read."""
    with pytest.raises(httptools.HttpParserError) as caught:
        ResponseReader().feed(data)
    return malformed(caught.value).detail


# Bodies.


@cuts
@pytest.mark.parametrize(
    ("data", "body"),
    [
        pytest.param(LENGTH, b"hi", id="length"),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", b"", id="length 0"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", b"hi yo", id="chunked"),
        pytest.param(CHUNKED + b"0\r\n\r\n", b"", id="no chunk"),
        pytest.param(CHUNKED + b"00002;a=b;c\r\nhi\r\n0;last\r\n\r\n", b"hi", id="chunk extensions"),
        pytest.param(OK + b"transfer-encoding: \tChunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi", id="chunked, written otherwise"),
        pytest.param(OK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi", b"hi", id="an upgrade on offer"),
        pytest.param(NO_CONTENT, b"", id="204"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", id="204 with a length"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", id="304 with a length"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b"", id="304 with a coding"),
        pytest.param(b"HTTP/1.1 999\r\nContent-Length: 2\r\n\r\nhi", b"hi", id="an odd status without a phrase"),
    ],
)
def test_framed_body_is_read_to_its_end_and_keeps_the_connection(data: bytes, body: bytes, size: int) -> None:
    reader = ResponseReader()

    found = feed(reader, data, size)

    assert (found, reader.complete, reader.keep_alive, reader.close_delimited) == (body, True, True, False)


@cuts
def test_body_without_length_is_never_complete(size: int) -> None:
    reader = ResponseReader()

    found = feed(reader, OPEN, size)

    assert (found, reader.complete, reader.close_delimited) == (b"hi", False, True)


@pytest.mark.parametrize("missing", [1, 2, 5, 7])
def test_body_is_not_complete_before_its_last_byte(missing: int) -> None:
    whole = CHUNKED + b"2\r\nhi\r\n0\r\nSum: 1\r\n\r\n"
    reader = ResponseReader()

    feed(reader, whole[:-missing])

    assert not reader.complete


def test_answer_to_a_head_is_over_at_its_head() -> None:
    reader = ResponseReader()
    reader.begin(expects_head=True)

    with pytest.raises(httptools.HttpParserError):
        reader.feed(LENGTH)

    assert reader.head == PLAIN_HEAD
    assert (reader.complete, reader.keep_alive, reader.close_delimited, reader.body) == (True, False, False, [])


@pytest.mark.parametrize("fields", [b"", b"Transfer-Encoding: gzip, chunked\r\n"], ids=["no length", "a coding"])
def test_framing_of_an_answer_to_a_head_does_not_matter(fields: bytes) -> None:
    reader = ResponseReader()
    reader.begin(expects_head=True)

    with pytest.raises(httptools.HttpParserError):
        reader.feed(OK + fields + b"\r\n")

    assert (reader.complete, reader.close_delimited) == (True, False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", id="close"),
        pytest.param(OK + b"Connection: X-A, Close\r\nContent-Length: 2\r\n\r\nhi", id="close among others"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", id="1.0"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", id="1.0 that would keep it"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            id="1.0 in chunks",
        ),
    ],
)
def test_connection_that_is_to_be_closed_is_not_kept(data: bytes) -> None:
    reader = ResponseReader()

    body = feed(reader, data)

    assert (body, reader.complete, reader.keep_alive) == (b"hi", True, False)


# Heads.


@cuts
def test_head_has_names_and_values_as_they_came_in_order_and_no_trailers(size: int) -> None:
    reader = ResponseReader()
    fields = b"X-B: 1\r\nx-b:   two words\t \r\nEmpty:\r\nLatin: \xe9\r\n"

    feed(reader, OK + fields + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-B: 3\r\nSum: 4\r\n\r\n", size)

    assert reader.head is not None
    names = (b"X-B", b"x-b", b"Empty", b"Latin", b"Transfer-Encoding")
    assert reader.head.headers == tuple(zip(names, (b"1", b"two words", b"", b"\xe9", b"chunked"), strict=True))
    assert reader.head.fields == {b"x-b": b"two words", b"empty": b"", b"latin": b"\xe9", b"transfer-encoding": b"chunked"}


@cuts
@pytest.mark.parametrize("interim", [(100,), (103,), (100, 102, 103, 103), (104,), (199,)])
def test_interim_responses_leave_nothing_in_the_final_head(interim: tuple[int, ...], size: int) -> None:
    reader = ResponseReader()
    before = b"".join(b"HTTP/1.1 %d Soon\r\nLink: </a>\r\n\r\n" % status for status in interim)

    feed(reader, before, size)
    assert (reader.head, reader.complete) == (None, False)
    body = feed(reader, LENGTH, size)

    assert reader.head == PLAIN_HEAD
    assert (body, reader.complete, reader.keep_alive) == (b"hi", True, True)


def test_size_of_a_head_is_that_of_its_fields_on_the_wire() -> None:
    fields = b"A: 1\r\nLong-Name: long value\r\n"
    reader = ResponseReader()

    feed(reader, OK + fields + b"\r\n")

    assert reader.head is not None
    assert reader.head.size == len(fields)


@pytest.mark.parametrize(("count", "readable"), [(FIELDS_LIMIT, True), (FIELDS_LIMIT + 1, False)])
def test_number_of_fields_is_limited(count: int, readable: bool) -> None:
    data = OK + b"A: 1\r\n" * count + b"\r\n"

    if readable:
        feed(ResponseReader(), data)
    else:
        assert refusal(data) == "too many header fields in the response"


# One after another.


def test_parser_serves_one_exchange_after_another_whatever_their_framing() -> None:
    """It is made once per connection."""
    reader = ResponseReader()
    chunked = CHUNKED + b"2\r\nhi\r\n0\r\nSum: 1\r\nSum: 2\r\n\r\n"
    interim = b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"
    found = []

    for data in (LENGTH, chunked, LENGTH, NO_CONTENT, interim + chunked, b"HTTP/1.1 304 Not Modified\r\n\r\n", chunked, LENGTH):
        reader.begin(expects_head=False)
        body = feed(reader, data)
        assert reader.head is not None
        found.append((reader.head.status, len(reader.head.headers), body, reader.complete, reader.keep_alive))

    hi = (200, 1, b"hi", True, True)
    assert found == [hi, hi, hi, (204, 0, b"", True, True), hi, (304, 0, b"", True, True), hi, hi]


@pytest.mark.parametrize("answer", [LENGTH, NO_CONTENT, CHUNKED + b"0\r\n\r\n"], ids=["length", "204", "chunked"])
@pytest.mark.parametrize("behind", [LENGTH, b"H", b"x"], ids=["a second response", "the start of one", "garbage"])
def test_bytes_behind_an_answer_are_an_error_and_the_answer_stands(answer: bytes, behind: bytes) -> None:
    reader = ResponseReader()

    with pytest.raises(httptools.HttpParserError):
        reader.feed(answer + behind)

    assert reader.complete
    assert reader.body in ([b"hi"], [])
    assert reader.head is not None
    assert reader.head.status in (200, 204)


def test_second_answer_is_called_so() -> None:
    assert refusal(LENGTH + LENGTH) == "a second response to one request"


# What is refused.


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "Expected HTTP/"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "status"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "status"),
        (b"HTTP/3.7 200 OK\r\n\r\n", "version"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "status 99"),
        (b"HTTP/1.1 000 OK\r\n\r\n", "status 0"),
        (OK + b"Name : 1\r\n\r\n", "header"),
        (OK + b"Na\x00me: 1\r\n\r\n", "header"),
        (OK + b"Name: a\x00b\r\n\r\n", "header"),
        (OK + b"Name: a\rb\r\n\r\n", ""),
        (OK + b"Name: a\r\n folded\r\n\r\n", "whitespace"),
        (b"HTTP/1.1 200 OK\nName: 1\n\n", "CR"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
    ],
)
def test_head_that_is_not_http_is_refused(head: bytes, why: str) -> None:
    assert why in refusal(head)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", id="both"),
        pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", id="both, the other way round"),
        pytest.param(b"Content-Length: 2\r\nContent-Length: 2\r\n", id="length twice"),
        pytest.param(b"Content-Length: 2\r\nContent-Length: 3\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 2, 2\r\n", id="a list of lengths"),
        pytest.param(b"Content-Length: -2\r\n", id="negative length"),
        pytest.param(b"Content-Length: +2\r\n", id="signed length"),
        pytest.param(b"Content-Length: 0x2\r\n", id="hexadecimal length"),
        pytest.param(b"Content-Length: \r\n", id="empty length"),
        pytest.param(b"Content-Length: 99999999999999999999\r\n", id="absurd length"),
        pytest.param(b"Transfer-Encoding: gzip\r\n", id="not chunked"),
        pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", id="coded before it was chunked"),
        pytest.param(b"Transfer-Encoding: chunked, gzip\r\n", id="coded after it was chunked"),
        pytest.param(b"Transfer-Encoding: chunked, chunked\r\n", id="chunked twice"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", id="chunked in two fields"),
        pytest.param(b"Transfer-Encoding: ,chunked\r\n", id="an empty coding"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="almost chunked"),
        pytest.param(b"Transfer-Encoding: \r\n", id="no coding"),
    ],
)
def test_length_that_could_be_read_in_two_ways_is_refused(fields: bytes) -> None:
    reader = ResponseReader()

    with pytest.raises(httptools.HttpParserError):
        reader.feed(OK + fields + b"\r\n2\r\nhi\r\n0\r\n\r\n")

    assert reader.head is None


@pytest.mark.parametrize(
    "broken",
    [
        b"zz\r\n", b"-1\r\nh\r\n", b"0x1\r\nh\r\n", b"1 1\r\nh\r\n", b"\r\n", b"1\nh\n", b"1\r\nhi\r\n", b"1\r\nh\n1\r\nh\r\n",
        b"fffffffffffffffff\r\n", b"0\r\nNo field\r\n\r\n", b"0\r\nName: a\nB: 1\r\n\r\n", b"1;a\x00b\r\nh\r\n",
    ],
)  # fmt: skip
def test_broken_chunk_is_an_error_behind_what_was_good(broken: bytes) -> None:
    reader = ResponseReader()

    with pytest.raises(httptools.HttpParserError) as caught:
        reader.feed(CHUNKED + b"2\r\nhi\r\n" + broken)

    assert reader.head is not None
    assert not reader.complete
    assert reader.body[0] == b"hi"
    assert malformed(caught.value).detail.startswith("not HTTP/1.1: ")


@pytest.mark.parametrize("status", [104, 199])
def test_body_of_an_interim_response_is_not_taken_for_the_final_one(status: int) -> None:
    assert "interim" in refusal(b"HTTP/1.1 %d Soon\r\nContent-Length: 5\r\n\r\nhello" % status + LENGTH)


def test_refusal_holds_no_byte_of_the_peers() -> None:
    said = refusal(OK + b"X-Secret: s3cr3t\x00tail\r\n\r\n") + refusal(b"s3cr3t\r\n\r\n") + refusal(CHUNKED + b"s3cr3t\r\n")

    assert "s3cr3t" not in said
