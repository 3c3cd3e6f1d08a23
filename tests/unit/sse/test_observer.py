from __future__ import annotations

import pytest

from proxy.sse.events import Splitter
from proxy.sse.observer import CONTENT, FAILED, NOTHING, PING, TERMINAL, Observer


class Words(Observer):
    """Knows two words."""

    def event(self, block: bytes) -> int:
        self.terminal = self.terminal or b"end" in block
        return TERMINAL if b"end" in block else CONTENT


def test_flags_can_be_told_apart() -> None:
    flags = (CONTENT, TERMINAL, FAILED, PING)

    assert NOTHING == 0
    assert sum(flags) == CONTENT | TERMINAL | FAILED | PING
    assert len(set(flags)) == 4


def test_a_chunk_shows_all_that_its_events_show() -> None:
    observer = Words()

    seen = [observer.feed(data) for data in (b"data: a", b"\n\ndata: end\n\n", b"data: b\n\n")]

    assert seen == [NOTHING, CONTENT | TERMINAL, CONTENT]


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_is_finished_with_its_last_event_however_the_connection_ends(clean: bool) -> None:
    observer = Words()
    before = observer.complete(clean=clean)

    observer.feed(b"data: end\n\n")

    assert not before
    assert observer.complete(clean=clean)


def test_an_answer_with_an_error_is_not_finished() -> None:
    observer = Words()
    observer.feed(b"data: end\n\n")

    observer.error = "overloaded"

    assert not observer.complete(clean=True)


def test_text_is_never_taken_for_garbled() -> None:
    observer = Words()

    observer.feed(b"\x00\xff no event\n\n")

    assert not observer.garbled


def test_an_observer_may_bring_its_own_way_of_cutting() -> None:
    splitter = Splitter(cap=10)

    assert Words(splitter).splitter is splitter
    assert Words().splitter is not Words().splitter
