"""Whole chunks pass by the parser; nobody can tell by the body, its end, or what the client is sent."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.response import BodyEnd
from tests.support.http1 import chunk, last_chunk
from tests.support.transports import RecordingTransport
from tests.unit.upstream.support import GET, OK, Taker

HEAD = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIKE_A_CHUNK = b"f6\r\n" * 61 + b"f6"  # its own size and what follows it look the same from any fourth byte on


def content(framed: bytes) -> bytes:
    """Return what is in these chunks, which must be written in the shortest way."""
    contents = []
    while framed:
        line, _, rest = framed.partition(b"\r\n")
        size = int(line, 16)
        assert line == b"%x" % size
        assert rest[size : size + 2] == b"\r\n"
        contents.append(rest[:size])
        framed = rest[size + 2 :]
    return b"".join(contents)


class Framed(Taker):
    """Keeps for each read what it came framed in, too."""

    def __init__(self) -> None:
        super().__init__()
        self.framed: list[bytes] = []

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        super().upstream_data(data)
        self.framed.append(framed)


def opened(taker: Taker) -> UpstreamConnection:
    """Return a connection whose answer's head is in, with *taker* attached to its body."""
    connection = UpstreamConnection(asyncio.get_running_loop(), lambda _: None)
    RecordingTransport(connection).connect()
    connection.send(GET, b"")
    connection.data_received(HEAD)
    connection.attach(taker)
    return connection


def taken(*reads: bytes) -> Framed:
    """Return what a sink gets of a body that arrives in these *reads*, behind its head."""

    async def take() -> Framed:
        connection = opened(taker := Framed())
        for data in reads:
            if connection.open:
                connection.data_received(data)
        connection.abort()
        return taker

    return asyncio.run(take())


def test_chunk_behind_a_whole_one_comes_with_its_framing() -> None:
    taker = taken(chunk(b"one"), chunk(b"two"), chunk(b"x" * 300), last_chunk())

    assert taker.pieces == [b"one", b"two", b"x" * 300]
    assert taker.framed == [b"", chunk(b"two"), chunk(b"x" * 300)]
    assert taker.end is BodyEnd.COMPLETE


def test_chunks_of_one_read_come_together_with_their_framing() -> None:
    late = chunk(b"two") + chunk(b"3\r\nabc\r\n") + chunk(b"x" * 5000)

    taker = taken(chunk(b"one"), late, last_chunk())

    assert taker.pieces == [b"one", b"two3\r\nabc\r\n" + b"x" * 5000]
    assert taker.framed == [b"", late]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"3\r\ntw", id="a part"),
        pytest.param(b"3\r\ntwo\r\n3\r\ntw", id="a chunk and a part"),
        pytest.param(b"3\r\ntwo\r\n0003\r\ntwo\r\n", id="a chunk and one with zeros before its size"),
        pytest.param(b"3\r\ntwo\r\n0\r\n\r\n", id="a chunk and the last one"),
        pytest.param(b"03\r\ntwo\r\n", id="a size with a zero before it"),
        pytest.param(b"A\r\n0123456789\r\n", id="a size in capitals"),
        pytest.param(b"3;x=y\r\ntwo\r\n", id="an extension"),
        pytest.param(b"3\r\ntwo\r\n3", id="the next one's size"),
        pytest.param(b"3\r\ntwo\r\n3\r\n", id="the next one's size line"),
    ],
)
def test_what_we_would_write_otherwise_comes_without(other: bytes) -> None:
    taker = taken(chunk(b"one"), other)

    assert taker.framed == [b"", b""]


@pytest.mark.parametrize(
    ("reads", "body"),
    [
        pytest.param((b"3\r\none\r\n1", b"2\r\nab\r\n", b"x" * 14 + b"\r\n"), b"oneab\r\n" + b"x" * 14, id="a size that was cut"),
        pytest.param((b"3\r\none\r\n5\r\n", b"2\r\nab\r\n"), b"one2\r\nab", id="content that reads like a chunk"),
        pytest.param((b"3\r\none\r\n6;x\r\n", b"1\r\na\r\n\r\n"), b"one1\r\na\r\n", id="the same behind an extension"),
        pytest.param(
            (chunk(b"one"), b"6\r\n", b"1\r\na\r\n", b"\r\n"), b"one1\r\na\r\n", id="the same behind a chunk that passed whole"
        ),
        pytest.param(
            (chunk(b"one"), chunk(b"two"), b"9\r\nabc", b"1\r\na\r\n", b"\r\n"), b"onetwoabc1\r\na\r\n", id="the same in parts"
        ),
        pytest.param((b"3\r\none", b"\r\n", chunk(b"two")), b"onetwo", id="a line end of its own"),
        pytest.param(
            (b"3\r\none\r\n%x\r\n" % len(LIKE_A_CHUNK), LIKE_A_CHUNK + b"\r\nf6\r\n", LIKE_A_CHUNK + b"\r\n"),
            b"one" + LIKE_A_CHUNK * 2,
            id="content that reads like chunks for ever",
        ),
    ],
)
def test_parser_decides_where_a_chunk_begins(reads: tuple[bytes, ...], body: bytes) -> None:
    taker = taken(*reads, last_chunk())

    assert (taker.body, taker.end) == (body, BodyEnd.COMPLETE)


@pytest.mark.parametrize(
    "bad", [b"3\r\ntwo!!", b"x\r\none\r\n", b"-3\r\ntwo\r\n", b"0x3\r\ntwo\r\n", b"\r\n3\r\ntwo\r\n", b"3\ntwo\n"]
)
def test_framing_that_breaks_later_is_malformed_all_the_same(bad: bytes) -> None:
    taker = taken(chunk(b"one"), chunk(b"one"), bad)

    assert taker.end is BodyEnd.MALFORMED


async def test_sink_that_gives_the_exchange_up_gets_nothing_more() -> None:
    class Leaving(Framed):
        def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
            super().upstream_data(data, framed)
            if framed:
                connection.abort()

    connection = opened(taker := Leaving())
    for text in (b"one", b"two", b"three"):
        connection.data_received(chunk(text))

    assert taker.pieces == [b"one", b"two"]


# What goes on as it is framed.


class Passing(Taker):
    """Takes whole small chunks itself, from its first read on."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: UpstreamConnection | None = None
        self.passed: list[tuple[bytes, bytes]] = []  # each chunk's framing up to its content, and the content

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        super().upstream_data(data)
        if self.connection is not None:
            self.connection.pass_chunks(self.take)

    def take(self, framed: bytes, begin: int) -> None:
        assert framed.endswith(b"\r\n")
        self.passed.append((framed[:begin], framed[begin:-2]))


async def test_small_chunks_go_to_whoever_wants_them_framed() -> None:
    connection = opened(taker := Passing())
    taker.connection = connection
    large, small = b"x" * 0x1000, b"x" * 0xFFF

    for data in (chunk(b"one"), chunk(b"two"), chunk(large), chunk(small), chunk(b"a") + chunk(b"b"), last_chunk()):
        connection.data_received(data)

    assert taker.pieces == [b"one", large, b"ab"]
    assert taker.passed == [(b"3\r\n", b"two"), (b"fff\r\n", small)]
    assert taker.end is BodyEnd.COMPLETE


@pytest.mark.parametrize("size", [0x1005, 0x10005])
async def test_part_of_a_large_chunk_is_no_small_one(size: int) -> None:
    """Even where the size of what has come, taken for a chunk without the beginning of its size line, is the size that it names."""
    connection = opened(taker := Passing())
    taker.connection = connection
    connection.data_received(chunk(b"one"))
    line = b"%x\r\n" % size
    part = line + b"x" * (size + 3 - len(line) - 2) + b"\r\n"

    connection.data_received(part)

    assert taker.passed == []
    assert taker.body == b"one" + part.removeprefix(line)
    connection.abort()


async def test_next_exchange_gives_its_chunks_to_its_own_sink() -> None:
    connection = opened(first := Passing())
    first.connection = connection
    for data in (chunk(b"one"), chunk(b"two"), last_chunk()):
        connection.data_received(data)
    connection.pass_chunks(first.take)  # too late
    connection.to_idle(0.0)
    connection.send(GET, b"")
    connection.data_received(HEAD)
    connection.attach(second := Taker())

    for data in (chunk(b"three"), chunk(b"four")):
        connection.data_received(data)

    assert [content for _, content in first.passed] == [b"two"]
    assert second.pieces == [b"three", b"four"]
    connection.abort()


async def test_fault_of_whoever_takes_chunks_ends_the_exchange_and_nothing_else() -> None:
    class Failing(Passing):
        def take(self, framed: bytes, begin: int) -> None:
            raise ZeroDivisionError

    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    connection = opened(taker := Failing())
    taker.connection = connection

    for data in (chunk(b"one"), chunk(b"two")):
        connection.data_received(data)

    assert taker.end is BodyEnd.FAULT
    assert [type(each["exception"]) for each in complaints] == [ZeroDivisionError]


sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b"%x"])
contents = st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"2\r\nab\r\n", b"a\r\n", b"\r\n", LIKE_A_CHUNK]))


@st.composite
def reads(draw: st.DrawFn) -> list[bytes]:
    """A body in reads: cut mostly between chunks, and now and then with a byte that does not belong there."""
    pieces = [draw(sizes) % len(content) + b"\r\n" + content + b"\r\n" for content in draw(st.lists(contents, max_size=8))]
    pieces.append(last_chunk())
    whole = b"".join(pieces)
    ends = {sum(map(len, pieces[: count + 1])) for count in range(len(pieces)) if draw(st.integers(0, 4))}
    marks = sorted(ends | set(draw(st.lists(st.integers(0, len(whole)), max_size=3))))
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(whole) - 1))
        whole = whole[:at] + draw(st.sampled_from([b"\r", b"\n", b"0", b"f", b"!"])) + whole[at + 1 :]
    cuts = [0, *marks, len(whole)]
    return [whole[start:end] for start, end in pairwise(cuts) if start < end]


@settings(max_examples=2000)  # what goes wrong here goes wrong seldom
@given(reads())
def test_every_body_comes_out_as_it_does_byte_by_byte(reads: list[bytes]) -> None:
    taker = taken(*reads)
    single = taken(*(bytes([byte]) for byte in b"".join(reads)))

    assert (taker.body, taker.end) == (single.body, single.end)
    for piece, framed in zip(taker.pieces, taker.framed, strict=True):
        assert framed == b"" or content(framed) == piece
