"""Joins two translators that meet in one API, where nobody translates from the one end to the other directly."""

from __future__ import annotations

from proxy.dialects.body import read_object
from proxy.translate.base import Back, EventTranslator, Source, Translated, Translator


class Chain(Translator):
    """Translates by way of an API that *near*, the client's half, leads to and *far* comes from."""

    def __init__(self, near: Translator, far: Translator) -> None:
        self._near = near
        self._far = far
        self.source = near.source
        self.target = far.target

    def __repr__(self) -> str:
        return f"<Chain {self.source} → {self._near.target} → {self.target}>"

    def request(self, source: Source) -> Translated:
        middle = self._near.request(source)
        asked = self._far.request(
            Source(
                values=read_object(middle.body).values,  # half a surrogate pair is in it as the client wrote it
                model=source.model,
                stream=source.stream,
                request_id=source.request_id,
                now=source.now,
                drop_params=source.drop_params,
                cost=source.cost,
            )
        )
        back = ChainedBack(middle.back, asked.back)
        return Translated(path=asked.path, query=asked.query, headers=asked.headers, body=asked.body, back=back)


class ChainedBack(Back):
    """The way back over both halves."""

    __slots__ = ("_far", "_near")

    def __init__(self, near: Back, far: Back) -> None:
        self._near = near
        self._far = far

    def events(self) -> EventTranslator:
        return ChainedEvents(self._near.events(), self._far.events())

    def whole(self, body: bytes) -> bytes:
        return self._near.whole(self._far.whole(body))

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return self._near.error(*self._far.error(status, body))


class ChainedEvents(EventTranslator):
    """Both halves in one call."""

    __slots__ = ("_far", "_near")

    def __init__(self, near: EventTranslator, far: EventTranslator) -> None:
        super().__init__()
        self._near = near
        self._far = far

    def feed(self, data: bytes) -> bytes:
        middle = self._far.feed(data)
        self.usage = self._far.usage
        return self._near.feed(middle) if middle else b""

    def end(self, *, clean: bool) -> bytes:
        middle = self._far.end(clean=clean)
        self.usage = self._far.usage
        last = self._near.feed(middle) if middle else b""
        return last + self._near.end(clean=clean and not self.unfinished)

    @property
    def unfinished(self) -> bool:
        return self._far.unfinished
