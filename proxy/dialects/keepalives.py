"""The keepalive frames of design section 6, by style; which one fits is a matter of the client's parser.

A frame never begins with `: ping` (one popular editor plugin takes that for the end), is never a bare `:` (that crashed a
command-line agent), and never holds `id:`, `retry:` or an empty `data:` (those crash openai-python).
"""

from __future__ import annotations

from typing import Final

from proxy.sse.frames import SPACE, Keepalive
from proxy.sse.observer import Observer

__all__ = ["DEFAULT_TEXT", "PING", "SPACE", "Blank", "Comment", "Constant", "styled"]

DEFAULT_TEXT: Final = "keepalive"


class Constant(Keepalive):
    """The same bytes every time."""

    __slots__ = ("_frame",)

    def __init__(self, frame: bytes) -> None:
        self._frame = frame

    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        return self._frame


class Comment(Keepalive):
    """A comment and an empty line; without the empty line once an `id` was seen.

    After an `id`, openai-python and httpx-sse read every empty line as one more event, and fail on its empty data.
    """

    __slots__ = ("_empty_line", "_text", "_timed")

    def __init__(self, text: str = DEFAULT_TEXT, *, empty_line: bool = True) -> None:
        self._text = text
        self._timed = "{unix_ms}" in text
        self._empty_line = empty_line

    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        text = self._text.replace("{unix_ms}", str(int(wall * 1000))) if self._timed else self._text
        end = b"\n\n" if self._empty_line and not id_seen else b"\n"
        return b": " + text.encode() + end

    def with_text(self, text: str) -> Keepalive:
        return Comment(text, empty_line=self._empty_line)


class Blank(Keepalive):
    """One empty line: the only frame that Google's Python client bears. After an `id` a comment without one."""

    __slots__ = ("_after_id",)

    def __init__(self, text: str = DEFAULT_TEXT) -> None:
        self._after_id = Comment(text)

    def frame(self, observer: Observer | None, *, id_seen: bool, wall: float) -> bytes:
        return self._after_id.frame(observer, id_seen=id_seen, wall=wall) if id_seen else b"\n"

    def with_text(self, text: str) -> Keepalive:
        return Blank(text)


PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'


def styled(style: str, text: str, own: Keepalive | None) -> Keepalive | None:
    """Return the frame for a configured style; *own* is the dialect's, and None there means that nothing may be sent."""
    if own is None or style == "off":
        return None
    if style == "comment":
        return Comment(text)
    if style == "comment-lf":
        return Comment(text, empty_line=False)
    if style == "ping":
        return Constant(PING)
    if style == "blank":
        return Blank(text)
    return own.with_text(text)
