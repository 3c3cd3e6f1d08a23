"""Joins two translators that meet in one API, where nobody translates from the one end to the other directly."""

from __future__ import annotations

from dataclasses import replace

from proxy.dialects.body import read_object
from proxy.errors import BadRequest
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
        # half a surrogate pair is in it as the client wrote it
        values = read_object(middle.body).values
        try:
            asked = self._far.request(replace(source, values=values))
        except BadRequest as error:
            raise self._as_asked(error) from error
        back = ChainedBack(middle.back, asked.back)
        return Translated(path=asked.path, query=asked.query, headers=asked.headers, body=asked.body, back=back)

    def _as_asked(self, error: BadRequest) -> BadRequest:
        """Return *error* with the name under which the client knows the parameter."""
        name = self._near.names.get(error.param or "")
        if name is None:
            return error
        return type(error)(error.public.replace(f"'{error.param}'", f"'{name}'"), detail=error.detail, param=name)


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
