"""Writes, cuts and reads the frames of `application/vnd.amazon.eventstream`, checking both sums of each.

A frame: length of all and of the headers (uint32, big-endian), CRC-32 of these eight bytes; headers; payload; CRC-32 of
everything before it. botocore reads this too, but keeps no raw frame, which is what is passed on, and cannot write one.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

CAP: Final = 24 * 1024**2  # bytes of payload, as the AWS SDKs allow
MAX_HEADERS: Final = 128 * 1024  # bytes of headers; the same

_SHORT: Final = 256  # bytes of headers that are remembered: those of a service's own events are the same each time

_PRELUDE: Final = struct.Struct("!III")
_LENGTHS: Final = struct.Struct("!II")
_SUM: Final = struct.Struct("!I")
_TEXT_HEAD: Final = struct.Struct("!BH")
_AROUND: Final = _PRELUDE.size + _SUM.size  # what a frame has besides headers and payload

_BYTES: Final = 6
_TEXT: Final = 7
_FIXED: Final = {
    0: 0,
    1: 0,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    8: 8,
    9: 16,
}  # bytes of a value by its type: true, false, integers, time, uuid


class MalformedFrame(ValueError):
    """Bytes that are no frame, or one that was damaged or is larger than allowed; the rest of that stream cannot be read."""


class Frame(NamedTuple):
    """One message: its text headers (`:message-type`, `:event-type`, …) and its payload."""

    headers: Mapping[str, str]
    payload: bytes


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one frame. UTF-8 names have 255 bytes at most and values 65,535."""
    packed = b"".join(_packed(name.encode(), value.encode()) for name, value in headers.items())
    lengths = _LENGTHS.pack(_AROUND + len(packed) + len(payload), len(packed))
    unsummed = b"".join((lengths, _SUM.pack(zlib.crc32(lengths)), packed, payload))
    return unsummed + _SUM.pack(zlib.crc32(unsummed))


def decode(frame: bytes) -> Frame:
    """Read one whole frame, as `FrameSplitter.feed` returns it. Headers that are no text are checked and left out.

    Raises MalformedFrame.
    """
    if len(frame) < _AROUND or _length(frame, CAP) != len(frame):
        raise MalformedFrame("the frame does not have the length that it tells")
    body_end = len(frame) - _SUM.size
    if _SUM.unpack_from(frame, body_end)[0] != zlib.crc32(memoryview(frame)[:body_end]):
        raise MalformedFrame("the frame's checksum is wrong")
    headers_end = _PRELUDE.size + _LENGTHS.unpack_from(frame)[1]
    packed = frame[_PRELUDE.size : headers_end]
    headers = _remembered_headers(packed) if len(packed) <= _SHORT else _read_headers(packed)
    return Frame(headers, frame[headers_end:body_end])


class FrameSplitter:
    """Cuts a stream into whole raw frames. It checks the sum of each prelude; `decode` checks the rest.

    Memory is bounded by *cap*, the bytes that a frame's payload may have: a prelude that tells more is refused when it arrives.
    """

    __slots__ = ("_cap", "held")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self.held = bytearray()  # of an unfinished frame; empty: the next byte begins one

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the frames that *data* completes; the common case, one whole frame, costs no copy.

        Raises MalformedFrame when what comes next is no frame, then and at each later call. Good frames before it in the
        same *data* come out first, however the stream was cut.
        """
        if not self.held and len(data) >= _AROUND and _length(data, self._cap) == len(data):
            return (data,)
        self.held += data
        return self._collect()

    def _collect(self) -> list[bytes]:
        held = self.held
        frames: list[bytes] = []
        start = 0
        while len(held) - start >= _PRELUDE.size:
            length = _length(held, self._cap, start)
            if not length and not frames:
                raise MalformedFrame("a frame's prelude is damaged, or tells lengths that are not allowed")
            if not length or len(held) < start + length:
                break
            frames.append(bytes(held[start : start + length]))
            start += length
        del held[:start]
        return frames


def _length(data: bytes | bytearray, cap: int, start: int = 0) -> int:
    """Return the length of the frame whose prelude begins at *start*; 0: it is none, or larger than allowed."""
    total, headers, told = _PRELUDE.unpack_from(data, start)
    if told != zlib.crc32(data[start : start + _LENGTHS.size]):
        return 0
    if headers > MAX_HEADERS or not 0 <= total - headers - _AROUND <= cap:
        return 0
    return int(total)


def _packed(name: bytes, value: bytes) -> bytes:
    return b"%c%b%b%b" % (len(name), name, _TEXT_HEAD.pack(_TEXT, len(value)), value)


@functools.lru_cache(maxsize=128)
def _remembered_headers(data: bytes) -> Mapping[str, str]:
    return MappingProxyType(_read_headers(data))


def _read_headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    seen: set[bytes] = set()
    try:
        for name, kind, value in _split_headers(data):
            if name in seen:
                raise MalformedFrame("a frame has one header twice")
            seen.add(name)
            text = name.decode()
            if kind == _TEXT:
                headers[text] = value.decode()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as exc:
        raise MalformedFrame("a frame's headers cannot be read") from exc
    return headers


def _split_headers(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Return each header as name, type and value. Raises IndexError, KeyError or struct.error where it is none."""
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        kind = data[name_end]
        start = name_end + 1
        if kind in (_BYTES, _TEXT):
            length = struct.unpack_from("!H", data, start)[0]
            start += 2
        else:
            length = _FIXED[kind]
        if start + length > len(data):
            raise IndexError(start)
        yield data[at + 1 : name_end], kind, data[start : start + length]
        at = start + length
