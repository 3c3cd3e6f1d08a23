"""Recognises whole chunks that are framed as we would frame them: they can go on as they came (RFC 9112 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SMALL: Final = range(1, 0x1000)  # bytes: chunks that are recognised at a glance, in the connection
SMALL_LINE: Final = len(b"fff\r\n")  # the longest size line of such a chunk
_LONGEST_SIZE: Final = 10  # the same of any chunk; what is longer takes the parser's way

TakeChunk = Callable[[bytes, int], None]  # a whole chunk as it is framed, and where its content begins


def content_of(data: bytes) -> bytes:
    """Return the content of the chunks that *data* consists of, if each reads as we would write it; else nothing."""
    contents: list[bytes] = []
    at = 0
    while at < len(data):
        begin = data.find(b"\r\n", at, at + _LONGEST_SIZE) + 2
        line = data[at:begin]
        try:
            size = int(line, 16)
        except ValueError:
            return b""
        end = begin + size
        if size <= 0 or line != b"%x\r\n" % size or data[end : end + 2] != b"\r\n":
            return b""
        contents.append(data[begin:end])
        at = end + 2
    return b"".join(contents)
