from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.eventstream import CAP, MAX_HEADERS, Frame, FrameSplitter, MalformedFrame, decode, encode

# Published vectors of the format: an empty message, and one with a header of one signed byte.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
BYTE_HEADER = bytes.fromhex("00000017 00000007 29860158 04 62797465 02 ff c2f869dc")

EVENT = encode({":event-type": "contentBlockDelta", ":message-type": "event"}, b'{"delta":{"text":"Hi"}}')

names = st.text(min_size=1, max_size=40)
headers = st.dictionaries(names, st.text(max_size=200), max_size=5)
frames = st.builds(Frame, headers, st.binary(max_size=300))


def framed(packed: bytes, payload: bytes = b"", *, headers_length: int | None = None) -> bytes:
    """Return a frame with good sums around headers that may be anything."""
    length = len(packed) if headers_length is None else headers_length
    lengths = struct.pack("!II", 16 + len(packed) + len(payload), length)
    body = lengths + struct.pack("!I", zlib.crc32(lengths)) + packed + payload
    return body + struct.pack("!I", zlib.crc32(body))


def prelude(total: int, headers_length: int = 0) -> bytes:
    lengths = struct.pack("!II", total, headers_length)
    return lengths + struct.pack("!I", zlib.crc32(lengths))


def as_botocore(stream: bytes) -> list[Frame]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return [Frame(message.headers, message.payload) for message in buffer]


def cut(stream: bytes, places: Sequence[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return (stream[start:end] for start, end in pairwise(edges))


def feed(splitter: FrameSplitter, pieces: Iterable[bytes], got: list[bytes]) -> None:
    for piece in pieces:
        got += splitter.feed(piece)


@given(frames)
def test_botocore_reads_what_is_written(frame: Frame) -> None:
    assert as_botocore(encode(*frame)) == [frame]


@given(frames)
def test_what_is_written_can_be_read(frame: Frame) -> None:
    assert decode(encode(*frame)) == frame


@pytest.mark.parametrize("frame", [EMPTY, BYTE_HEADER, EVENT], ids=["empty", "byte header", "event"])
def test_published_and_own_frames_mean_to_botocore_what_they_mean_here(frame: bytes) -> None:
    (theirs,) = as_botocore(frame)

    ours = decode(frame)

    assert ours.payload == theirs.payload
    assert ours.headers == {name: value for name, value in theirs.headers.items() if isinstance(value, str)}


def test_an_empty_frame_is_written_as_published() -> None:
    assert encode({}, b"") == EMPTY


@given(frames, st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_damaged_byte_is_refused_wherever_it_is(frame: Frame, place: int, change: int) -> None:
    damaged = bytearray(encode(*frame))
    damaged[place % len(damaged)] ^= change

    with pytest.raises(MalformedFrame):
        decode(bytes(damaged))


@given(st.lists(frames, max_size=5), st.lists(st.integers(min_value=0), max_size=8))
def test_frames_come_out_whole_however_the_stream_is_cut(sent: list[Frame], places: list[int]) -> None:
    stream = b"".join(encode(*frame) for frame in sent)
    splitter = FrameSplitter()

    got = [raw for piece in cut(stream, places) for raw in splitter.feed(piece)]

    assert b"".join(got) == stream
    assert [decode(raw) for raw in got] == sent == as_botocore(stream)
    assert not splitter.held


def test_a_frame_is_held_until_its_last_byte() -> None:
    splitter = FrameSplitter()

    assert list(splitter.feed(EVENT[:-1])) == []
    assert splitter.held == EVENT[:-1]
    assert list(splitter.feed(EVENT[-1:])) == [EVENT]


def test_a_chunk_that_is_one_frame_passes_without_a_copy() -> None:
    (frame,) = FrameSplitter().feed(EVENT)

    assert frame is EVENT


@pytest.mark.parametrize("piece", [1, 7, len(EVENT), 2 * len(EVENT) + 12, 1000])
def test_the_good_frames_before_bad_bytes_come_out_for_every_cut(piece: int) -> None:
    stream = EVENT + EVENT + b"\0" * 12 + EVENT
    splitter = FrameSplitter()
    got: list[bytes] = []

    with pytest.raises(MalformedFrame):
        feed(splitter, [stream[start : start + piece] for start in [*range(0, len(stream), piece), len(stream)]], got)

    assert got == [EVENT, EVENT]


@pytest.mark.parametrize("bad", [b"\0" * 12, EVENT[:8] + b"\0" * (len(EVENT) - 8)], ids=["a prelude", "a whole frame"])
def test_a_stream_that_was_refused_stays_refused(bad: bytes) -> None:
    splitter = FrameSplitter()

    for data in (bad, EVENT):
        with pytest.raises(MalformedFrame):
            splitter.feed(data)


@pytest.mark.parametrize(
    "lengths",
    [
        prelude(16 + CAP + 1),
        prelude(15),
        prelude(20, 5),
        prelude(16 + MAX_HEADERS + 1, MAX_HEADERS + 1),
    ],
    ids=["payload over the cap", "shorter than a frame", "headers beyond the end", "too many headers"],
)
def test_impossible_lengths_are_refused_before_anything_is_held_for_them(lengths: bytes) -> None:
    with pytest.raises(MalformedFrame):
        FrameSplitter().feed(lengths)


def test_the_largest_allowed_lengths_are_waited_for() -> None:
    splitter = FrameSplitter()

    assert list(splitter.feed(prelude(16 + MAX_HEADERS + CAP, MAX_HEADERS))) == []


def test_the_cap_holds_for_a_frame_that_comes_in_one_piece() -> None:
    splitter = FrameSplitter(cap=10)

    assert list(splitter.feed(encode({}, b"x" * 10)))
    with pytest.raises(MalformedFrame):
        splitter.feed(encode({}, b"x" * 11))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (0, b""),
        (1, b""),
        (2, b"\xff"),
        (3, b"\0\1"),
        (4, b"\0\0\0\1"),
        (5, b"\0" * 8),
        (6, b"\0\3abc"),
        (8, b"\0" * 8),
        (9, b"\1" * 16),
    ],
)
def test_a_header_of_any_other_type_is_stepped_over(kind: int, value: bytes) -> None:
    frame = framed(b"\1a" + bytes([kind]) + value + b"\1b\7\0\4text", b"payload")
    ((theirs, _),) = as_botocore(frame)
    assert set(theirs) == {"a", "b"}

    assert decode(frame) == Frame({"b": "text"}, b"payload")


@pytest.mark.parametrize(
    "packed",
    [
        b"\1a\7\0\1x\1a\7\0\1y",
        b"\1a\0\1a\1",
        b"\1a\7\0\5x",
        b"\1a\7\0",
        b"\1a\5\0",
        b"\1a",
        b"\5a",
        b"\1a\x0a",
        b"\1\xff\7\0\1x",
        b"\1a\7\0\1\xff",
    ],
)
def test_headers_that_cannot_be_read_are_refused(packed: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode(framed(packed))


@pytest.mark.parametrize("frame", [b"", EVENT[:11], EVENT[:-1], EVENT + b"\0", EVENT + EVENT])
def test_only_one_whole_frame_is_decoded(frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode(frame)


def test_botocore_refuses_a_header_twice_too() -> None:
    with pytest.raises(ParserError):
        as_botocore(framed(b"\1a\7\0\1x\1a\7\0\1y"))


def test_headers_that_are_remembered_cannot_be_changed_for_the_next_frame() -> None:
    with pytest.raises(TypeError):
        decode(EVENT).headers[":event-type"] = "another"  # type: ignore[index]

    assert decode(EVENT).headers[":event-type"] == "contentBlockDelta"
