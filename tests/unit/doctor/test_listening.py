"""Streams until their end, and those that have none."""

from __future__ import annotations

import pytest

from proxy.doctor import reading
from proxy.doctor.arrivals import End, Seen
from proxy.doctor.listening import Patience, listen
from tests.unit.doctor.serving import DONE, HEAD, answering, tick

SOON = Patience(silence=0.05, whole=5.0)


async def heard(*said: bytes, stay: bool = False, patience: Patience = SOON, expected: int | None = 2) -> Seen:
    """Listen to a server that says these bytes, and then closes or stays."""
    async with answering(*said, stay=stay) as answer:
        return await listen(answer, patience, expected=expected)


async def test_stream_is_heard_to_its_end() -> None:
    seen = await heard(HEAD + b"\r\n", b": k\n\n" + tick(1), tick(2, 500.0) + DONE)

    assert (seen.end, seen.complete, seen.expected, seen.keepalives) == (End.DONE, True, 2, 1)
    assert [arrival.sent for arrival in seen.arrivals] == [0.0, 0.5]
    assert seen.told["http"] == "1.1"
    assert sum(piece.size for piece in seen.pieces) == len(b": k\n\n" + tick(1) + tick(2, 500.0) + DONE)


@pytest.mark.parametrize(
    ("said", "stay", "end"),
    [
        (HEAD + b"\r\n" + tick(1), False, End.CLEAN),
        (HEAD + b"Content-Length: 999\r\n\r\n" + tick(1), False, End.BROKEN),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + tick(1), False, End.BROKEN),
        (HEAD + b"\r\n" + tick(1), True, End.SILENT),
    ],
)
async def test_other_ends_have_their_words(said: bytes, stay: bool, end: End) -> None:
    assert (await heard(said, stay=stay)).end is end


async def test_stream_that_never_ends_is_left_in_time() -> None:
    seen = await heard(HEAD + b"\r\n" + tick(1), stay=True, patience=Patience(silence=5, whole=0.05))

    assert seen.end is End.ENDLESS
    assert len(seen.arrivals) == 1


async def test_answer_of_which_nothing_comes_is_silent_however_it_is_waited_for() -> None:
    assert (await heard(HEAD + b"\r\n", stay=True, patience=Patience(silence=5, whole=0.05))).end is End.SILENT


async def test_stream_that_is_too_large_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 100)
    patience = Patience(silence=1.0, whole=60.0)  # who goes on listening hears silence

    assert (await heard(HEAD + b"\r\n" + b"x" * 200, stay=True, patience=patience)).end is End.ENDLESS


async def test_events_that_cannot_be_read_are_not_expected() -> None:
    seen = await heard(HEAD + b"Content-Encoding: br\r\n\r\n\x8b")

    assert (seen.expected, seen.encoding) == (None, "br")


async def test_lines_are_read_as_lines() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson; charset=utf-8\r\n\r\n"

    seen = await heard(head + b'{"n":1,"elapsed_ms":0}\n{"n":2,"elapsed_ms":1}\n{"done":true}\n')

    assert (seen.complete, len(seen.arrivals)) == (True, 2)
