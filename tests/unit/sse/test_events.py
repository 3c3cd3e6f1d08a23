from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.sse.events import HEAD, Event, Splitter, is_comment, parse
from tests.support.streams import BOM, Case, case_count, cases, random_cases
from tests.support.whatwg import events

ONE = b"data: one\n\n"
LARGE = b"data: " + b"x" * 100 + b"\n\n"

Cut = Callable[[bytes], list[bytes]]


def blocks_of(pieces: Sequence[bytes], splitter: Splitter | None = None) -> list[bytes]:
    splitter = splitter or Splitter()
    return [block for piece in pieces for block in splitter.feed(piece)]


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def dispatched(case: Case) -> list[tuple[str, str]]:
    found = (parse(block) for block in blocks_of(case.pieces))
    return [(event.name.decode() or "message", event.data.decode("utf-8", "replace")) for event in found if event]


def as_a_browser(case: Case) -> list[tuple[str, str]]:
    return [(event.type, event.data) for event in events(case.stream)]


class Watched(bytearray):
    """Counts the bytes of it that are searched."""

    looked_at = 0

    def find(self, mark: bytes, start: int) -> int:  # type: ignore[override]  # as it is used here
        at = super().find(mark, start)
        self.looked_at += (len(self) if at < 0 else at) - start
        return at

    def count(self, mark: bytes, start: int, end: int | None = None) -> int:  # type: ignore[override]  # as it is used here
        self.looked_at += (len(self) if end is None else end) - start
        return super().count(mark, start, end)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n"], ids=repr)
def test_each_byte_is_looked_at_a_few_times_however_many_events_come_together(end: bytes) -> None:
    """A proxy that is late reads hundreds at once; all other streams would wait for as many looks at all that is behind each."""
    splitter = Splitter()
    splitter.held = held = Watched(b"da")

    blocks = splitter.feed(b"ta: 1" + end + (b"data: 2" + end) * 500)

    assert len(blocks) == 501
    assert held.looked_at < 10 * 500 * len(b"data: 2" + end)


def test_an_observer_sees_the_events_that_a_browser_dispatches() -> None:
    for case in random_cases(case_count() // 2, seed=11):
        assert dispatched(case) == as_a_browser(case), case


@given(cases())
@settings(max_examples=200, deadline=None)
def test_no_smaller_stream_is_read_differently(case: Case) -> None:
    assert dispatched(case) == as_a_browser(case)


@given(cases())
@settings(max_examples=50, deadline=None)
def test_blocks_and_what_is_held_are_the_whole_stream(case: Case) -> None:
    splitter = Splitter()

    blocks = blocks_of(case.pieces, splitter)

    held = bytes(splitter.held)
    assert b"".join(blocks) + held in (case.stream, case.stream.removeprefix(BOM))


@pytest.mark.parametrize("chunk", [ONE, b"data: one\r\n\r\n", b"event: e\ndata: one\n\n", b": c\n\n"], ids=repr)
def test_a_chunk_that_is_one_event_passes_without_a_copy(chunk: bytes) -> None:
    splitter = Splitter()
    splitter.feed(ONE)

    (block,) = splitter.feed(chunk)

    assert block is chunk
    assert not splitter.held


@pytest.mark.parametrize(
    ("stream", "blocks"),
    [
        (ONE + b"data: two\n\n", [ONE, b"data: two\n\n"]),
        (b"data: a\r\rdata: b\r\n\r\n", [b"data: a\r\r", b"data: b\r\n\r\n"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"]),
        (b"data: a\n\n\n\ndata: b\n\n", [b"data: a\n\n", b"\n\n", b"data: b\n\n"]),
        (b"data: a\r\ndata: b\n\n", [b"data: a\r\ndata: b\n\n"]),
        (b"data: a\n\r\ndata: b\n\n", [b"data: a\n\r\n", b"data: b\n\n"]),
        (b"data: a\n\ndata: b", [b"data: a\n\n"]),
        (b"", []),
    ],
)
def test_events_are_cut_at_their_empty_lines(stream: bytes, blocks: list[bytes]) -> None:
    assert blocks_of([stream]) == blocks


def test_an_event_is_out_as_soon_as_its_empty_line_has_begun() -> None:
    """The LF of a last CRLF may be late; nothing but that CRLF can come."""
    splitter = Splitter()

    blocks = blocks_of([b"data: a\r\n", b"\r"], splitter)

    assert blocks == [b"data: a\r\n\r"]
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"\ndata: b\r\n\r\n"]


@pytest.mark.parametrize("cut", [whole, bytewise])
def test_only_the_first_of_two_marks_is_taken_away(cut: Cut) -> None:
    stream = BOM + ONE + BOM + ONE

    assert blocks_of(cut(stream)) == [ONE, BOM + ONE]


def test_a_large_event_is_cut_off_counted_and_its_end_found() -> None:
    splitter = Splitter(cap=2 * HEAD)
    large = b"data: " + b"x" * 5 * HEAD + b"\n\n"

    blocks = blocks_of(bytewise(ONE + large + LARGE), splitter)

    assert blocks == [ONE, large[:HEAD], LARGE]
    assert splitter.lost == 1


def test_a_large_event_that_comes_in_one_piece_is_whole() -> None:
    """It was never held, so it takes no memory that the chunk did not take already."""
    splitter = Splitter(cap=len(ONE))

    assert blocks_of([LARGE, ONE + LARGE], splitter) == [LARGE, ONE, LARGE]
    assert splitter.lost == 0


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"], ids=repr)
def test_the_end_of_a_large_event_is_found_wherever_it_is_cut(end: bytes) -> None:
    stream = b"data: " + b"x" * (3 * HEAD) + end

    for cut in range(len(stream) - len(end) - 2, len(stream)):
        splitter = Splitter(cap=HEAD + 100)
        blocks = blocks_of([stream[:cut], stream[cut:], b"data: after\n\n"], splitter)

        assert [block[:HEAD].strip() for block in blocks] == [stream[:HEAD], b"data: after"], cut
        assert splitter.lost == (blocks[0] == stream[:HEAD])


def test_every_large_event_counts_once() -> None:
    splitter = Splitter(cap=HEAD)
    piece = b"x" * 1000

    blocks_of([b"data: ", *[piece] * 20, b"\n\n", ONE, b"data: ", *[piece] * 20, b"\n\n"], splitter)

    assert splitter.lost == 2


def test_memory_stays_within_the_cap_and_a_chunk() -> None:
    splitter = Splitter(cap=HEAD)

    for _ in range(1000):
        splitter.feed(b"x" * 1000)
        assert len(splitter.held) <= HEAD + 1000


@pytest.mark.parametrize("size", [100, HEAD, 3 * HEAD])
def test_an_event_within_the_cap_is_whole(size: int) -> None:
    block = b"data: " + b"x" * size + b"\n\n"
    splitter = Splitter(cap=len(block))

    assert blocks_of(bytewise(block), splitter) == [block]
    assert splitter.lost == 0


def test_an_event_after_a_large_one_is_whole() -> None:
    block = b"data: " + b"y" * 2 * HEAD + b"\n\n"
    splitter = Splitter(cap=3 * HEAD)

    blocks = blocks_of([b"data: " + b"x" * 4 * HEAD, b"\n\n", block[:100], block[100:]], splitter)

    assert blocks[1:] == [block]
    assert splitter.lost == 1


@pytest.mark.parametrize(
    "stream",
    [b"id: 7\ndata: a\n\n", b"data: a\nid: 7\n\n", b"data: a\rid\r\r", b"data: a\r\nid:\r\n\r\n", b"data: a\r\n\r\nid: 7\r\n\r\n", b"\rid: 7\r\r", BOM + b"id: 7\n\n", b"data: a\n\nid: 7\n\n", b"data: a\nid: 7\n\ndata: b\n\n"],
    ids=repr,
)  # fmt: skip
def test_an_id_is_noted_however_it_is_cut(stream: bytes) -> None:
    for cut in range(len(stream) + 1):
        splitter = Splitter()
        blocks_of([stream[:cut], stream[cut:]], splitter)

        assert splitter.id_seen, cut


@pytest.mark.parametrize(
    "stream",
    [b'data: {"id":"a"}\n\n', b"data: id: 7\n\n", b": id\n\n", b"event: id\ndata: 1\n\n", b"xid: 7\n\n", b"id: 7\n"],
    ids=repr,
)
def test_what_is_no_finished_id_field_is_not_noted(stream: bytes) -> None:
    splitter = Splitter()

    blocks_of([stream], splitter)

    assert not splitter.id_seen


@pytest.mark.parametrize("line", [b"\nid: 7", b"\rid: 7", b"\r\nid: 7"], ids=repr)
def test_an_id_in_the_lost_part_of_a_large_event_is_noted(line: bytes) -> None:
    stream = b"data: " + b"x" * (3 * HEAD) + line + b"\n" * 2

    for cut in range(len(stream) - 12, len(stream)):
        splitter = Splitter(cap=HEAD)
        blocks_of([stream[:cut], stream[cut:]], splitter)

        assert splitter.id_seen, cut


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b"data: a\n\n", Event(b"", b"a")),
        (b"data:a\n\n", Event(b"", b"a")),
        (b"data:  a\n\n", Event(b"", b" a")),
        (b"data\n\n", Event(b"", b"")),
        (b"data: a\ndata: b\n\n", Event(b"", b"a\nb")),
        (b"event: e\r\ndata: a\r\n\r\n", Event(b"e", b"a")),
        (b"data: a\revent: e\r\r", Event(b"e", b"a")),
        (b"event: e\nevent: f\ndata: a\n\n", Event(b"f", b"a")),
        (b": c\ndata: a\nid: 1\nretry: 2\n\n", Event(b"", b"a")),
        (b"data: a\r\n\n", Event(b"", b"a")),
        (b"data: a: b\n\n", Event(b"", b"a: b")),
        (b"data: cut off", Event(b"", b"cut off")),
        (b"event: e\n\n", None),
        (b": c\n\n", None),
        (b"Data: a\n\n", None),
        (b" data: a\n\n", None),
        (b"\n\n", None),
    ],
)
def test_a_block_reads_as_its_event(block: bytes, event: Event | None) -> None:
    assert parse(block) == event


@pytest.mark.parametrize(("block", "comment"), [(b": c\n\n", True), (b":\r\r", True), (b"\n\n", True), (b": c\n:d\n\n", True), (b"id\n\n", False), (b": c\ndata: a\n\n", False)])  # fmt: skip
def test_a_comment_holds_no_field(block: bytes, comment: bool) -> None:
    assert is_comment(block) is comment


@given(st.binary(max_size=40))
def test_no_bytes_are_too_strange_to_be_read(stream: bytes) -> None:
    for block in blocks_of(bytewise(stream)):
        parse(block)
        is_comment(block)
