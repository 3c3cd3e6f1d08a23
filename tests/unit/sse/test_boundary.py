from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse.boundary import START, advance, between_events, between_lines


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"data: x\n\n",
        b"data: x\r\n\r\n",
        b"data: x\r\r\n",
        b"data: x\n\r\n",
        b"\n",
        b": c\n\n",
        b"data: x\n\n\n",
        b"\r\n",
        b"data: x\r\n\n",
    ],
    ids=repr,
)
def test_a_frame_may_follow_an_empty_line(sent: bytes) -> None:
    assert between_events(advance(START, sent))


@pytest.mark.parametrize(
    "sent",
    [
        b"data: x",
        b"data: x\n",
        b"data: x\r\n",
        b"x\r\n",
        b"\n\nd",
        b"data: x\r",
        b"data: x\r\r",
        b"data: x\n\r",
        b"data: x\r\n\r",
        b"\xef\xbb\xbf",
    ],
    ids=repr,
)
def test_no_frame_may_follow_half_an_event_or_half_a_crlf(sent: bytes) -> None:
    assert not between_events(advance(START, sent))


@pytest.mark.parametrize(("sent", "may"), [(b"", True), (b"{}\n", True), (b"{}\r\n", True), (b"{}", False), (b"{}\r", False)])
def test_a_space_may_stand_between_lines_of_ndjson(sent: bytes, may: bool) -> None:
    assert between_lines(advance(START, sent)) is may


@given(st.lists(st.binary(max_size=5)))
def test_the_tail_is_the_last_three_bytes_however_they_came(pieces: list[bytes]) -> None:
    tail = START

    for piece in pieces:
        tail = advance(tail, piece)

    assert tail == (START + b"".join(pieces))[-3:]
