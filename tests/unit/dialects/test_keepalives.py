from __future__ import annotations

import pytest

from proxy.dialects import CHAT, COMPLETIONS, PLAIN, RESPONSES
from proxy.dialects.base import Dialect, Keepalive
from proxy.dialects.keepalives import PING, SPACE, Blank, Comment, Constant, styled
from proxy.dialects.responses import ResponsesObserver
from tests.support.whatwg import events, parse
from tests.unit.dialects.recordings import CREATED

WALL = 1_700_000_000.25
STYLES = ("auto", "comment", "comment-lf", "ping", "blank")


def frame(keepalive: Keepalive | None, *, id_seen: bool = False, wall: float = WALL) -> bytes:
    assert keepalive is not None
    return keepalive.frame(None, id_seen=id_seen, wall=wall)


@pytest.mark.parametrize(
    ("style", "before_id", "after_id"),
    [
        ("auto", b": keepalive\n\n", b": keepalive\n"),
        ("comment", b": keepalive\n\n", b": keepalive\n"),
        ("comment-lf", b": keepalive\n", b": keepalive\n"),
        ("ping", b'event: ping\ndata: {"type": "ping"}\n\n', b'event: ping\ndata: {"type": "ping"}\n\n'),
        ("blank", b"\n", b": keepalive\n"),
    ],
)
@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS, RESPONSES, PLAIN], ids=lambda dialect: dialect.name)
def test_each_style_has_its_frame(dialect: Dialect, style: str, before_id: bytes, after_id: bytes) -> None:
    keepalive = styled(style, "keepalive", dialect.keepalive())

    assert frame(keepalive) == before_id
    assert frame(keepalive, id_seen=True) == after_id


@pytest.mark.parametrize("style", ["comment", "comment-lf", "ping", "blank"])
def test_a_chosen_style_outranks_the_dialect_s_own_event(style: str) -> None:
    observer = ResponsesObserver()
    observer.feed(CREATED)

    chosen = styled(style, "keepalive", RESPONSES.keepalive())

    assert chosen is not None
    assert chosen.frame(observer, id_seen=False, wall=WALL) == frame(chosen)


@pytest.mark.parametrize("style", [*STYLES, "off"])
def test_where_a_dialect_allows_nothing_no_style_does(style: str) -> None:
    assert styled(style, "keepalive", None) is None


def test_off_is_nothing() -> None:
    assert styled("off", "keepalive", Comment()) is None


@pytest.mark.parametrize(
    ("style", "expected"),
    [("auto", b": I live\n\n"), ("comment", b": I live\n\n"), ("comment-lf", b": I live\n"), ("blank", b"\n")],
)
def test_the_text_is_the_configured_one(style: str, expected: bytes) -> None:
    for own in (Comment(), RESPONSES.keepalive()):
        assert frame(styled(style, "I live", own)) == expected


def test_the_text_stands_also_where_only_an_id_makes_it_a_comment() -> None:
    assert frame(styled("blank", "I live", Comment()), id_seen=True) == b": I live\n"
    assert frame(Blank().with_text("I live"), id_seen=True) == b": I live\n"


def test_a_comment_keeps_its_form_with_another_text() -> None:
    assert frame(Comment("a", empty_line=False).with_text("b")) == b": b\n"
    assert frame(Comment("a").with_text("b")) == b": b\n\n"


@pytest.mark.parametrize(
    ("wall", "text"), [(0.0, b": beat 0 0\n\n"), (1_700_000_000.25, b": beat 1700000000250 1700000000250\n\n")]
)
def test_the_time_of_day_stands_in_milliseconds(wall: float, text: bytes) -> None:
    assert frame(styled("auto", "beat {unix_ms} {unix_ms}", Comment()), wall=wall) == text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("id_seen", [True, False])
def test_a_frame_dispatches_nothing_but_a_ping(style: str, id_seen: bool) -> None:
    sent = frame(styled(style, "keepalive", Comment()), id_seen=id_seen)

    assert [event.type for event in events(b"data: a\n\n" + sent + b"data: b\n\n")] == [
        "message",
        *["ping"] * (style == "ping"),
        "message",
    ]
    assert all(not line.startswith((b"id", b"retry", b": ping", b":ping")) and line != b":" for line in sent.split(b"\n"))


def test_a_constant_is_the_same_every_time() -> None:
    keepalive = Constant(SPACE)

    assert frame(keepalive) == frame(keepalive, id_seen=True, wall=0.0) == b" "
    assert parse(PING) == events(PING)
