"""Stands between an upstream's body and the stream where the two speak different APIs; in the same call chain.

What comes out is the client's API, so the stream holds, watches and ends it as if an upstream had sent it that way.
"""

from __future__ import annotations

from typing import Final, Protocol

from proxy.dialects.base import Framing
from proxy.errors import ProxyError
from proxy.streaming.endings import CLEAN
from proxy.translate import Back, EventTranslator
from proxy.upstream import BodyEnd, Sink

WHOLE_LIMIT: Final = 32 * 1024 * 1024  # bytes of an answer that has to be whole to be translated


class Listener(Sink, Protocol):
    """A sink that also wants to know of bytes which mean nothing to it: the upstream lives."""

    def upstream_heard(self) -> None:
        """Take note of them."""


def translated(sink: Listener, back: Back, framing: Framing) -> tuple[Sink, EventTranslator | None]:
    """Return what to give an upstream's body to, and the translator that then has its usage, if it is one of events.

    *framing* is that of the answer which *sink* gets.
    """
    if framing is Framing.WHOLE:
        return TranslatedWhole(sink, back), None
    translator = back.events()
    return TranslatedEvents(sink, translator), translator


class TranslatedEvents:
    """Hands an event stream on, read by read."""

    __slots__ = ("_sink", "_translator")

    def __init__(self, sink: Listener, translator: EventTranslator) -> None:
        self._sink = sink
        self._translator = translator

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        out = self._translator.feed(data)
        if out:
            self._sink.upstream_data(out)
        else:
            self._sink.upstream_heard()

    def upstream_end(self, end: BodyEnd) -> None:
        rest = self._translator.end(clean=end in CLEAN)
        if rest:
            self._sink.upstream_data(rest)
        self._sink.upstream_end(BodyEnd.CUT if end in CLEAN and self._translator.unfinished else end)


class TranslatedWhole:
    """Hands a whole answer on once it is complete; one that cannot be translated ends as malformed."""

    __slots__ = ("_back", "_pieces", "_sink", "_size")

    def __init__(self, sink: Listener, back: Back) -> None:
        self._sink = sink
        self._back = back
        self._pieces: list[bytes] = []
        self._size = 0

    def upstream_data(self, data: bytes, framed: bytes = b"") -> None:
        self._size += len(data)
        if self._size <= WHOLE_LIMIT:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        self._sink.upstream_heard()

    def upstream_end(self, end: BodyEnd) -> None:
        if end in CLEAN:
            end = self._translate()
        self._sink.upstream_end(end)

    def _translate(self) -> BodyEnd:
        if self._size > WHOLE_LIMIT:
            return BodyEnd.MALFORMED
        try:
            self._sink.upstream_data(self._back.whole(b"".join(self._pieces)))
        except ProxyError:
            return BodyEnd.MALFORMED
        return BodyEnd.COMPLETE
