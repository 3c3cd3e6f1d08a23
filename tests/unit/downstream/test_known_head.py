"""A head that is recognised is read as the parser would read it; what is only nearly the same is the parser's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.downstream import ClientConnection
from proxy.downstream.known_head import KnownHead, known_head
from proxy.downstream.reader import RequestReader
from tests.unit.downstream.reading import cut, feed, read, whatever_the_fixture

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: p\r\nX-Content-Length: 5\r\ncontent-LENGTH: \t5 \r\nX: 5\r\n\r\n"
SIZED = HEAD + b"hello"
GET = b"GET /v1/y HTTP/1.1\r\nHost: p\r\n\r\n"


def known(connection: ClientConnection, data: bytes = SIZED) -> KnownHead | None:
    """Return what is known after one request."""
    (request,) = feed(RequestReader(connection), data)
    return known_head(data, request)


def test_same_head_is_the_same_request(connection: ClientConnection) -> None:
    (first,) = feed(RequestReader(connection), SIZED)
    head = known_head(SIZED, first)
    assert head is not None

    again = head.again(HEAD + b"HELLO", connection)

    assert again is not None
    assert (again.method, again.target, again.version, again.keep_alive) == ("POST", b"/v1/x", (1, 1), True)
    assert again.raw_headers is first.raw_headers, "who compares heads is done at once"
    assert (again.whole, head.body_at, head.body_end) == (b"HELLO", len(HEAD), len(SIZED))


@pytest.mark.parametrize("body", [b"", b"a", b"hello there", b"x" * 5000])
def test_only_the_length_of_the_body_may_be_another(connection: ClientConnection, body: bytes) -> None:
    head = known(connection)
    assert head is not None

    again = head.again(HEAD.replace(b"\t5", b"\t%d" % len(body)) + body + GET, connection)

    assert again is not None
    assert again.raw_headers[1:] == (
        (b"X-Content-Length", b"5"),
        (b"content-LENGTH", b"%d" % len(body)),
        (b"X", b"5"),
    )
    assert again.whole == body


def test_body_that_is_still_to_come_is_not_whole(connection: ClientConnection) -> None:
    head = known(connection)
    assert head is not None

    again = head.again(SIZED[:-1], connection)

    assert again is not None
    assert (again.whole, head.body_end) == (None, len(SIZED))


@pytest.mark.parametrize(
    "data",
    [
        SIZED.replace(b"POST", b"post"),
        SIZED.replace(b"/v1/x", b"/v1/z"),
        SIZED.replace(b"Host", b"host"),
        SIZED.replace(b"X: 5", b"X: 6"),
        SIZED.replace(b"\t5 ", b"\t5"),
        SIZED.replace(b"\t5", b"\t5,5"),
        SIZED.replace(b"\t5", b"\t+5"),
        SIZED.replace(b"\t5", b"\t"),
        SIZED.replace(b"\t5", b"\t\xb2"),
        SIZED.replace(b"\t5", b"\t" + b"9" * 16),
        SIZED.replace(b"X: 5\r\n", b"X: 5\r\nY: 5\r\n"),
        b"\r\n" + SIZED,
        HEAD[:-1],
        HEAD[:20],
        b"",
    ],
)
def test_anything_else_is_not_recognised(connection: ClientConnection, data: bytes) -> None:
    head = known(connection)
    assert head is not None

    assert head.again(data, connection) is None


@pytest.mark.parametrize(
    "data",
    [
        GET,
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SIZED.replace(b"X: 5", b"Connection: close"),
        SIZED.replace(b"X: 5", b"X: %b" % (b"a" * 8192)),
    ],
    ids=["without a length", "HTTP/1.0", "the last of its connection", "long"],
)
def test_head_of_another_kind_is_not_remembered(connection: ClientConnection, data: bytes) -> None:
    assert known(connection, data) is None


# In the reader.


@given(
    places=st.lists(st.integers(0, len(SIZED) - 1), max_size=3),
    texts=st.lists(st.binary(max_size=2), min_size=3, max_size=3),
    drop=st.booleans(),
)
@example(places=[], texts=[b"", b"", b""], drop=False)
@whatever_the_fixture
def test_head_that_was_read_before_changes_nothing_in_what_is_read_next(
    connection: ClientConnection, places: list[int], texts: list[bytes], drop: bool
) -> None:
    data = bytearray(SIZED)
    for place, text in zip(sorted(places, reverse=True), texts, strict=False):
        data[place : place + drop] = text
    reader = RequestReader(connection)
    feed(reader, SIZED, SIZED)

    found = read(feed(reader, bytes(data), GET))

    assert found == read(feed(RequestReader(connection), bytes(data), GET))


@pytest.mark.parametrize(
    "length", [b"0", b"1", b"05", b"11", b"12", b"+5", b"", b"5 ", b"5,5", b"0x5", b"5\r\nY: 1", b"9" * 15, b"9" * 16, b"9" * 30]
)
@pytest.mark.parametrize("size", [1, 60, 90, 1000])
def test_length_in_a_known_head_is_read_like_any_other(connection: ClientConnection, length: bytes, size: int) -> None:
    data = HEAD.replace(b"\t5", b"\t" + length) + b"hello there" + GET
    reader = RequestReader(connection)
    feed(reader, SIZED, SIZED, SIZED)

    found = read(feed(reader, *cut(data, range(0, len(data), size))))

    assert found == read(feed(RequestReader(connection), *cut(data, range(0, len(data), size))))


@pytest.mark.parametrize(
    "between", [GET, GET[:-1], b"\r", HEAD + b"hell", HEAD.replace(b"X: 5", b"Connection: close") + b"hello"]
)
def test_head_is_recognised_only_where_a_message_begins(connection: ClientConnection, between: bytes) -> None:
    reader = RequestReader(connection)
    feed(reader, SIZED, SIZED, SIZED)

    found = read(feed(reader, between, SIZED, GET))

    assert found == read(feed(RequestReader(connection), between, SIZED, GET))


def test_two_heads_of_one_read_are_not_mixed_up(connection: ClientConnection) -> None:
    other = SIZED.replace(b"/v1/x", b"/v1/z")

    found = read(feed(RequestReader(connection), SIZED, SIZED + other, SIZED, other, other + SIZED, other, SIZED))

    assert [request.target[-1:] for request in found] == [b"x", b"x", b"z", b"x", b"z", b"z", b"x", b"z", b"x"]


def test_offer_to_switch_protocols_is_read_the_same_each_time(connection: ClientConnection) -> None:
    offer = SIZED.replace(b"X: 5", b"Connection: upgrade\r\nUpgrade: h2c")

    found = read(feed(RequestReader(connection), offer, offer, offer, GET))

    assert [(request.body, request.target) for request in found] == [*[(b"hello", b"/v1/x")] * 3, (b"", b"/v1/y")]


def test_head_is_remembered_when_a_connection_sends_a_second_one(connection: ClientConnection) -> None:
    first, second, third = feed(RequestReader(connection), SIZED, SIZED, SIZED)

    assert third.raw_headers is second.raw_headers
    assert second.raw_headers is not first.raw_headers
