"""Bytes of a body as arrivals."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from proxy.doctor import reading
from proxy.doctor.arrivals import Arrival
from proxy.doctor.reading import Reader

TICK = b'event: tick\nid: 1\ndata: {"n":1,"of":2,"elapsed_ms":250.0,"http":"1.1"}\n\n'
DONE = b"event: done\ndata: {}\n\n"


def test_event_of_ours_says_when_it_was_sent() -> None:
    reader = Reader()

    reader.feed(TICK[:20], at=1.0)
    reader.feed(TICK[20:] + TICK, at=2.0)

    assert reader.arrivals == [Arrival(2.0, 0.25)] * 2
    assert reader.told["http"] == "1.1"
    assert not reader.done


def test_comments_are_counted_and_are_no_events() -> None:
    reader = Reader()

    reader.feed(b": keepalive\n\n: keepalive\n\n" + TICK, at=1.0)

    assert (reader.keepalives, len(reader.arrivals)) == (2, 1)


@pytest.mark.parametrize(
    "last",
    [
        DONE,
        b"data: [DONE]\n\n",
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b"event: response.completed\ndata: {}\n\n",
    ],
)
def test_last_event_of_any_api_is_known(last: bytes) -> None:
    reader = Reader()

    reader.feed(b"data: {}\n\n" + last, at=1.0)

    assert reader.done
    assert reader.arrivals == [Arrival(1.0)]


@pytest.mark.parametrize(
    "data", [b"data: hello\n\n", b"data: [1]\n\n", b'data: {"elapsed_ms": 5}\n\n', b'data: {"n": 1, "elapsed_ms": "5"}\n\n']
)
def test_foreign_event_says_nothing_of_its_time(data: bytes) -> None:
    reader = Reader()

    reader.feed(data, at=3.0)

    assert reader.arrivals == [Arrival(3.0)]


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(TICK + DONE)), ("deflate", zlib.compress(TICK + DONE))],
    ids=["gzip", "deflate"],  # gzip writes the time down
)
def test_compressed_events_are_read(coding: str, packed: bytes) -> None:
    reader = Reader(coding)

    reader.feed(packed[:5], at=1.0)
    reader.feed(packed[5:], at=2.0)

    assert reader.arrivals == [Arrival(2.0, 0.25)]
    assert reader.done


@pytest.mark.parametrize("lines", [False, True])
def test_little_that_stands_for_much_is_read_in_small_parts_and_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, *, lines: bool
) -> None:
    """64 KiB of gzip may be 64 MiB."""
    monkeypatch.setattr(reading, "LARGEST", 32 << 20)
    bomb = gzip.compress(b"a" * (96 << 20))
    reader = Reader("gzip", lines=lines)

    tracemalloc.start()
    reader.feed(bomb, at=1.0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reader.full
    assert reader.size < (32 << 20) + reading.AT_ONCE
    assert most < 48 << 20


def test_nothing_waits_behind_a_full_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bytes of what came may stand for more than a part holds, wherever it was cut."""
    monkeypatch.setattr(reading, "AT_ONCE", 8)
    packed = gzip.compress(b"data: " + b"x" * 400 + b"\n\n")

    for cut in range(1, len(packed)):
        reader = Reader("gzip")
        reader.feed(packed[:cut], at=1.0)
        assert reader.size == len(zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(packed[:cut]))


def test_what_is_not_compressed_as_it_says_is_an_error() -> None:
    with pytest.raises(ValueError, match="the body is not gzip"):
        Reader("gzip").feed(TICK, at=1.0)


def test_of_an_encoding_that_cannot_be_read_each_piece_counts() -> None:
    reader = Reader("br")

    reader.feed(b"\x8b\x00", at=1.0)
    reader.feed(b"\x8b\x00", at=2.0)

    assert not reader.readable
    assert reader.arrivals == [Arrival(1.0), Arrival(2.0)]


@pytest.mark.parametrize("lines", [False, True])
def test_largest_test_event_is_read_whole(*, lines: bool) -> None:
    reader = Reader(lines=lines)
    event = b'{"n":1,"elapsed_ms":250.0,"pad":"%b"}' % (b"x" * (1 << 20))

    reader.feed(event[:99] if lines else b"data: " + event[:99], at=1.0)
    reader.feed(event[99:] + b"\n\n", at=1.0)

    assert reader.arrivals == [Arrival(1.0, 0.25)]


def test_lines_of_json_are_events_too() -> None:
    reader = Reader(lines=True)

    reader.feed(b'{"n":1,"elapsed_ms":250.0}\n {"n":2,', at=1.0)
    reader.feed(b" ", at=2.0)
    reader.feed(b'"elapsed_ms":500.0}\n\n', at=3.0)
    assert not reader.done
    reader.feed(b'{"done":true}\n', at=4.0)

    assert reader.arrivals == [Arrival(1.0, 0.25), Arrival(3.0, 0.5)]
    assert (reader.done, reader.keepalives, reader.told["n"]) == (True, 1, 1)


def test_line_that_is_not_the_end_is_an_event_whatever_it_says() -> None:
    reader = Reader(lines=True)

    reader.feed(b'{"done":false,"message":{}}\nnonsense\n', at=1.0)

    assert reader.arrivals == [Arrival(1.0)] * 2
    assert not reader.done
