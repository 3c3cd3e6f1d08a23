"""Recognises a chunk that differs from one already read in nothing but the text that the model wrote.

A stream's chunks repeat everything around their text: id, time, model, closing brackets. One that was read and found to be
content is remembered as what stands around its text; the next one need only be compared with that, and is never parsed.
What fits is as good as read: the same JSON but for one string, and that is not empty.
"""

from __future__ import annotations

import re
from typing import Final

# Keys whose string is a piece of an answer. JSON escapes quotes inside strings: no model can write one of these itself.
_HOLE: Final = re.compile(rb'"(content|reasoning_content|reasoning|text|refusal|arguments)": ?"(?!")')
# The inside of a JSON string that is not empty, and its closing quote.
_TEXT: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))++"')
# Gemini counts its tokens in every chunk: an object of numbers and of lists of flat objects.
_COUNTS: Final = re.compile(rb'"usageMetadata": ?\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}')
_NUMBER: Final = re.compile(rb"[0-9]+")
_PADDING: Final = b'"obfuscation":"'  # OpenAI adds random letters, so that a chunk's size does not tell its text's


class Shape:
    """What stands around a chunk's text, and around its padding if it has one. `key` is the text's own."""

    __slots__ = ("_after", "_at", "_before", "_behind", "_second", "key")

    def __init__(self, key: bytes, before: bytes, after: bytes) -> None:
        self.key = key
        self._before = before
        self._at = len(before)
        self._after = after
        self._second = self._at + 1  # where the text's second byte stands, or the quote that ends it
        self._behind = b'"%b\r\n' % after if _ends(after) else b""  # what is behind the text of a chunk in its framing

    @classmethod
    def of(cls, chunk: bytes) -> Shape | None:
        """Return the shape of *chunk*, a whole event block; None when it holds no text that could be told apart."""
        hole = _HOLE.search(chunk)
        text = _TEXT.match(chunk, hole.end()) if hole else None
        if hole is None or text is None:
            return None
        before = chunk[: hole.end()]
        counts = _COUNTS.search(chunk, text.end())
        if counts is not None:
            return CountedShape(hole[1], before, chunk[text.end() : counts.start()], counts[0], chunk[counts.end() :])
        after, key, rest = chunk[text.end() :].partition(_PADDING)
        padding = _TEXT.match(rest) if key else None
        if padding is None:
            return cls(hole[1], before, after + key + rest)
        return PaddedShape(hole[1], before, after + key, rest[padding.end() :])

    def fits(self, chunk: bytes) -> bool:
        """Tell whether *chunk* has this shape, that is, whether only its text differs."""
        if not chunk.startswith(self._before):
            return False
        text = _TEXT.match(chunk, self._at)
        if text is None:
            return False
        return chunk[text.end() :] == self._after

    def fits_framed(self, framed: bytes, begin: int) -> bool:
        """Tell it of a whole chunk in its framing, whose content begins at *begin*; where the text is escaped, perhaps wrongly not.

        The hot path. That a text holds a raw control character, and so is no JSON, goes unseen here. Never told of a chunk that
        ends in CR, which may be half of a line's end.
        """
        if not framed.startswith(self._before, begin):
            return False
        quote = framed.find(b'"', begin + self._second)  # the text's own end, unless one in it is escaped
        return framed[quote:] == self._behind

    def fit_all(self, chunks: bytes) -> bool:
        """Tell whether *chunks*, which came together, all have this shape."""
        at = 0
        while at < len(chunks):
            end = chunks.find(b"\n\n", at) + 2
            if end < 2 or not self.fits(chunks[at:end]):
                return False
            at = end
        return at > 0

    def text(self, chunk: bytes) -> bytes | None:
        """Return the text of a chunk that has this shape, with its JSON escapes as they stand; None if it has another."""
        if not self.fits(chunk):
            return None
        return chunk[self._at : _TEXT.match(chunk, self._at).end() - 1]  # type: ignore[union-attr]  # it fits


class PaddedShape(Shape):
    """A shape with padding behind the text: any string, too."""

    __slots__ = ("_end",)

    def __init__(self, key: bytes, before: bytes, between: bytes, end: bytes) -> None:
        super().__init__(key, before, between)
        self._end = end

    def fits(self, chunk: bytes) -> bool:
        if not chunk.startswith(self._before):
            return False
        text = _TEXT.match(chunk, self._at)
        if text is None or not chunk.startswith(self._after, text.end()):
            return False
        padding = _TEXT.match(chunk, text.end() + len(self._after))
        return padding is not None and chunk[padding.end() :] == self._end

    def fits_framed(self, framed: bytes, begin: int) -> bool:
        return _ends(self._end) and self.fits(framed[begin:-2])


class CountedShape(Shape):
    """A shape of which the numbers in one place vary, too. What they say has to be read from the last chunk that fits.

    Text and numbers are matched by one expression; it is made once a second chunk goes on behind its text as the first did, for
    something that is new in every chunk may stand there.
    """

    __slots__ = ("_counts", "_last", "_varying")

    def __init__(self, key: bytes, before: bytes, after: bytes, counts: bytes, end: bytes) -> None:
        super().__init__(key, before, after)
        self._counts = counts
        self._last = end
        self._varying: re.Pattern[bytes] | None = None

    def fits(self, chunk: bytes) -> bool:
        if not chunk.startswith(self._before):
            return False
        if self._varying is None and not self._repeats(chunk):
            return False
        varying = self._varying.match(chunk, self._at)  # type: ignore[union-attr]  # it repeats
        return varying is not None and chunk[varying.end() :] == self._last

    def fits_framed(self, framed: bytes, begin: int) -> bool:
        return _ends(self._last) and self.fits(framed[begin:-2])

    def _repeats(self, chunk: bytes) -> bool:
        text = _TEXT.match(chunk, self._at)
        if text is None or not chunk.startswith(self._after, text.end()):
            return False
        numbers = _NUMBER.sub(rb"[0-9]++", re.escape(self._counts))
        self._varying = re.compile(_TEXT.pattern + re.escape(self._after) + numbers)  # kept by `re` for the next stream
        return True


def _ends(lines: bytes) -> bool:
    """Tell whether the last of *lines* is whole for certain: behind a CR the LF may be still on its way."""
    return lines.endswith(b"\n")
