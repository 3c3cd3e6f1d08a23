"""What a browser and what openai-python make of an event stream: the two oracles that injected frames are judged by.

`EventStreamParser` follows WHATWG HTML 9.2.5 and 9.2.6 as plainly as possible. `OpenAiDecoder` differs from it where the
SDK does: it keeps a BOM, and a blank line dispatches whenever an id, an event name or a retry is known, data or not.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Event:
    """A dispatched event."""

    type: str
    data: str
    last_event_id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A change of the reconnection time."""

    milliseconds: int


Item = Event | Retry


class Interpreter:
    """WHATWG HTML 9.2.6: what each line means, one after the other."""

    def __init__(self) -> None:
        self.last_event_id = ""  # what a reconnect would send
        self._data = ""
        self._type = ""
        self._id = ""

    def line(self, line: str) -> Item | None:
        """Take one line without its end; return what it dispatches or changes."""
        if line == "":
            return self._dispatch()
        if line.startswith(":"):
            return None
        name, _, value = line.partition(":")
        return self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> Retry | None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            return Retry(int(value))
        return None

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        data, kind = self._data, self._type
        self._data = self._type = ""
        if data == "":
            return None
        return Event(kind or "message", data.removesuffix("\n"), self.last_event_id)


class LineSplitter:
    """Cuts text into lines at CR, LF and CRLF, one character at a time; an unfinished last line never comes out."""

    def __init__(self) -> None:
        self._line: list[str] = []
        self._after_cr = False

    def feed(self, text: str) -> Iterator[str]:
        """Yield the lines that *text* completes."""
        for character in text:
            second_half = character == "\n" and self._after_cr
            self._after_cr = character == "\r"
            if second_half:
                continue
            if character in "\r\n":
                line = "".join(self._line)
                self._line.clear()
                yield line
            else:
                self._line.append(character)


class EventStreamParser:
    """A WHATWG event-stream parser, fed bytes in any cuts. There is no end to tell it: what is unfinished is discarded."""

    def __init__(self) -> None:
        self._interpreter = Interpreter()
        self._lines = LineSplitter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True

    @property
    def last_event_id(self) -> str:
        """What a reconnect would send as Last-Event-ID."""
        return self._interpreter.last_event_id

    def feed(self, data: bytes) -> list[Item]:
        """Return what *data* dispatches and changes, in order."""
        text = self._decoder.decode(data)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix(BOM)
        return [item for line in self._lines.feed(text) if (item := self._interpreter.line(line)) is not None]


def parse(stream: bytes) -> list[Item]:
    """Parse a whole stream.

    Written apart from `EventStreamParser`, so that each of the two is a check on the other.
    """
    text = stream.decode("utf-8", "replace").removeprefix(BOM)
    *lines, _unfinished = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    interpreter = Interpreter()
    return [item for line in lines if (item := interpreter.line(line)) is not None]


def events(stream: bytes) -> list[Event]:
    """Parse a whole stream and return its events only."""
    return [item for item in parse(stream) if isinstance(item, Event)]


@dataclass(frozen=True, slots=True)
class OpenAiEvent:
    """What openai-python's decoder hands on; its client parses every `data` as JSON, so that an empty one crashes it."""

    event: str | None
    data: str
    id: str | None
    retry: int | None


class OpenAiDecoder:
    """The decoder of openai-python 1 to 3, fed bytes in any cuts."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._event: str | None = None
        self._data: list[str] = []
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[OpenAiEvent]:
        """Return what *data* completes; raises UnicodeDecodeError on bytes that are not UTF-8."""
        lines = self._lines.feed(self._decoder.decode(data))
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> OpenAiEvent | None:
        if line == "":
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry":
            self._retry = _integer(value, self._retry)
        return None

    def _dispatch(self) -> OpenAiEvent | None:
        if not (self._event or self._data or self._id or self._retry is not None):
            return None
        event = OpenAiEvent(self._event or None, "\n".join(self._data), self._id, self._retry)
        self._event, self._data, self._retry = None, [], None  # the id stays, and with it the trap
        return event


def openai_events(pieces: Iterable[bytes]) -> list[OpenAiEvent]:
    """Decode a whole stream in the given cuts."""
    decoder = OpenAiDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def _integer(text: str, otherwise: int | None) -> int | None:
    """Read an integer as Python does, which is laxer than the standard."""
    try:
        return int(text)
    except ValueError:
        return otherwise
