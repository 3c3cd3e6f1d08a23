"""A stream gets a translated body as if an upstream had sent it that way: in the same call, and to the same end."""

from __future__ import annotations

import pytest

from proxy.errors import UpstreamMalformed
from proxy.sse.frames import Framing
from proxy.streaming import translation
from proxy.streaming.translation import translated
from proxy.translate import Back, EventTranslator
from proxy.upstream import BodyEnd


class Upper(EventTranslator):
    """Upper case, but for spaces: of those nothing comes out."""

    def feed(self, data: bytes) -> bytes:
        return data.upper().strip()

    def end(self, *, clean: bool) -> bytes:
        return b"." if clean else b""


class Louder(Back):
    def events(self) -> EventTranslator:
        return Upper()

    def whole(self, body: bytes) -> bytes:
        if body == b"bad":
            raise UpstreamMalformed("bad")
        return body.upper()

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body


class Ear:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        self.told.append(data)

    def upstream_heard(self) -> None:
        self.told.append("heard")

    def upstream_end(self, end: BodyEnd) -> None:
        self.told.append(end)


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_events_come_out_in_the_call_that_brings_them(ear: Ear) -> None:
    sink, translator = translated(ear, Louder(), Framing.EVENTS)

    sink.upstream_data(b"a")

    assert ear.told == [b"A"]
    assert isinstance(translator, Upper)


def test_bytes_that_mean_nothing_are_heard_of(ear: Ear) -> None:
    sink, _ = translated(ear, Louder(), Framing.EVENTS)

    sink.upstream_data(b" ")

    assert ear.told == ["heard"]


@pytest.mark.parametrize("end", list(BodyEnd))
def test_what_is_left_to_say_comes_before_the_end(ear: Ear, end: BodyEnd) -> None:
    sink, _ = translated(ear, Louder(), Framing.EVENTS)

    sink.upstream_end(end)

    clean = end in (BodyEnd.COMPLETE, BodyEnd.CLOSED)
    assert ear.told == ([b".", end] if clean else [end])


class Unfinished(Upper):
    """Waits for a last event for ever."""

    unfinished = True


class Forgiving(Louder):
    def events(self) -> EventTranslator:
        return Unfinished()


@pytest.mark.parametrize("end", list(BodyEnd))
def test_a_good_end_without_the_upstreams_own_last_event_is_a_cut(ear: Ear, end: BodyEnd) -> None:
    sink, _ = translated(ear, Forgiving(), Framing.EVENTS)

    sink.upstream_end(end)

    assert ear.told[-1] is (BodyEnd.CUT if end in (BodyEnd.COMPLETE, BodyEnd.CLOSED) else end)


def test_a_whole_answer_comes_out_in_one_piece_at_its_end(ear: Ear) -> None:
    sink, translator = translated(ear, Louder(), Framing.WHOLE)

    sink.upstream_data(b"a")
    sink.upstream_data(b"b")
    sink.upstream_end(BodyEnd.CLOSED)

    assert ear.told == ["heard", "heard", b"AB", BodyEnd.COMPLETE]
    assert translator is None


@pytest.mark.parametrize("end", [BodyEnd.CUT, BodyEnd.RESET, BodyEnd.MALFORMED, BodyEnd.FAULT])
def test_an_answer_that_was_cut_is_not_translated(ear: Ear, end: BodyEnd) -> None:
    sink, _ = translated(ear, Louder(), Framing.WHOLE)

    sink.upstream_data(b"a")
    sink.upstream_end(end)

    assert ear.told == ["heard", end]


def test_an_answer_that_cannot_be_understood_is_malformed(ear: Ear) -> None:
    sink, _ = translated(ear, Louder(), Framing.WHOLE)

    sink.upstream_data(b"bad")
    sink.upstream_end(BodyEnd.COMPLETE)

    assert ear.told == ["heard", BodyEnd.MALFORMED]


def test_an_answer_beyond_the_limit_is_forgotten_and_malformed(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "WHOLE_LIMIT", 3)
    sink, _ = translated(ear, Louder(), Framing.WHOLE)

    for _ in range(4):
        sink.upstream_data(b"a")
    sink.upstream_end(BodyEnd.COMPLETE)

    assert ear.told == ["heard"] * 4 + [BodyEnd.MALFORMED]
