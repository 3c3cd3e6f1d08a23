"""Decides from the last three forwarded bytes whether a stream stands between two events.

WHATWG HTML 9.2.5: a line ends with CRLF, LF or CR, and a CRLF is one terminator even when a chunk cuts it; an event ends
with an empty line. A tail that ends in CR is never a boundary here: the LF that completes it may be still on its way.

For editors: this file must stay correct for every cut of every stream. `tests/unit/sse/test_relay_properties.py` puts each
classic mistake into it and must fail.
"""

from __future__ import annotations

from typing import Final

START: Final = b"\n\n"  # nothing forwarded yet counts as a boundary, so the tail begins as if an event had just ended
BOM: Final = b"\xef\xbb\xbf"

_EVENT_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r\n")


def advance(tail: bytes, data: bytes) -> bytes:
    """Return the last three bytes of *tail* followed by *data*."""
    return data[-3:] if len(data) > 2 else (tail + data)[-3:]


def between_events(tail: bytes) -> bool:
    """Tell whether a frame may be put after these last bytes of an event stream."""
    return tail.endswith(_EVENT_ENDS)


def between_lines(tail: bytes) -> bool:
    """Tell whether these last bytes of an NDJSON stream end a line."""
    return tail.endswith(b"\n")
