from __future__ import annotations

from proxy.dialects.keepalives import Constant
from proxy.sse.frames import SPACE, Framing


def test_frames_without_a_comment_do_not_care_for_its_text() -> None:
    frames = Constant(b"\n")

    assert frames.with_text("beat") is frames


def test_white_space_is_no_line_end() -> None:
    """Ollama's client fails on a blank line of NDJSON; one space before the next line harms nobody."""
    assert SPACE.isspace()
    assert not SPACE.strip(b" ")


def test_every_body_is_framed_in_one_of_five_ways() -> None:
    assert {framing.value for framing in Framing} == {"events", "frames", "lines", "whole", "opaque"}


def test_text_and_binary_streams_are_made_of_events() -> None:
    assert [framing for framing in Framing if framing.of_events] == [Framing.EVENTS, Framing.FRAMES]
