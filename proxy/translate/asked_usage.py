"""Asks a chat upstream for its usage although the client did not, and takes out of its stream again what came of that.

OpenAI answers `include_usage` with one more chunk, without choices, and with `"usage": null` in all others. Without both
the client's bytes are those that it would have had. The API is the client's own: everything else passes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.dialects.openai import read_json
from proxy.dialects.usage import read_usage
from proxy.sse.events import CAP, ends, parse
from proxy.translate.base import Back, EventTranslator

_NULL: Final = re.compile(rb',\s*"usage"\s*:\s*null')
_CLOSING: Final = re.compile(rb"\}\s*\Z")
_OPTIONS: Final = re.compile(rb'"stream_options"\s*:\s*\{\s*')
_ASKED: Final = b'"include_usage":true'


def with_usage_asked(body: bytes, values: Mapping[str, Any]) -> bytes | None:
    """Return *body*, a JSON object with these members, with one wish more; None where the client has its own say in it."""
    options = values.get("stream_options")
    if options is None and "stream_options" not in values and values:
        return _CLOSING.sub(b',"stream_options":{%b}}' % _ASKED, body)
    if not isinstance(options, dict) or "include_usage" in options or body.count(b'"stream_options"') != 1:
        return None
    comma = b"," if options else b""
    return _OPTIONS.sub(lambda found: found[0] + _ASKED + comma, body, count=1)


class AskedUsage(Back):
    """The way back: the client's own API, but for the usage."""

    __slots__ = ()
    same_api = True

    def events(self) -> EventTranslator:
        return UsageTaken()

    def whole(self, body: bytes) -> bytes:
        return body

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body


class UsageTaken(EventTranslator):
    """Takes usage out of a stream, event by event. An event larger than the cap passes as it is, up to its end."""

    __slots__ = ("_held", "_passing", "_scanned")

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._scanned = 0
        self._passing = False  # in the middle of an event that is too large to look at

    def feed(self, data: bytes) -> bytes:
        if not self._held and b'"usage"' not in data and data.endswith(b"\n\n"):
            return data
        held = self._held
        held += data
        out: list[bytes] = []
        start = 0
        for end in ends(held, self._scanned):
            out.append(self._event(bytes(held[start:end])))
            start = end
        del held[:start]
        self._scanned = max(len(held) - 3, 0)
        if len(held) > CAP or (held and self._passing):
            out.append(self._pass_on())
        return b"".join(out)

    def end(self, *, clean: bool) -> bytes:
        return bytes(self._held)  # half an event: the end is not ours to mend

    def _event(self, block: bytes) -> bytes:
        if self._passing:
            self._passing = False
            return block
        if b'"usage"' not in block:
            return block
        shorter = _NULL.sub(b"", block, count=1)
        return b"" if len(shorter) == len(block) and self._says_usage_only(block) else shorter

    def _says_usage_only(self, block: bytes) -> bool:
        event = parse(block)
        chunk = read_json(event.data) if event is not None else None
        usage = None if chunk is None else read_usage(chunk.get("usage"))
        if chunk is None or usage is None:
            return False
        self.usage = usage
        return chunk.get("choices") == []

    def _pass_on(self) -> bytes:
        """Let go of what is held, but for the bytes in which the event's end may begin."""
        self._passing = True
        keep = 3
        out = bytes(self._held[:-keep])
        del self._held[:-keep]
        self._scanned = 0
        return out
