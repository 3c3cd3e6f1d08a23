"""Cuts one JSON array that arrives in pieces into the objects in it, within a cap; the client's bytes never pass through here."""

from __future__ import annotations

import re
from typing import Final

CAP: Final = 1024 * 1024

_MARK: Final = re.compile(rb'["{}\[\]]')  # outside of strings nothing else decides where an element ends
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OPENS: Final = b"{["


class Elements:
    """Reads one JSON text: an array of objects, or a single object, which counts as an array of one.

    Of an element larger than *cap* nothing comes out; `lost` counts it.
    """

    __slots__ = ("_cap", "_depth", "_escaped", "_held", "_in_array", "_in_string", "_skipping", "closed", "lost")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._held = bytearray()  # of an unfinished element
        self._depth = 0  # of brackets inside an element; 0: between two
        self._in_array = self._in_string = self._escaped = self._skipping = False
        self.closed = False  # the last bracket has come
        self.lost = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the elements that *data* completes."""
        elements: list[bytes] = []
        start = at = 0
        while (at := self._next_mark(data, at)) < len(data):
            mark = data[at]
            if self._depth == 0:
                start = at
            at += 1
            if self._step(mark):
                self._keep(data[start:at])
                elements += self._taken()
        if self._depth:
            self._keep(data[start:])
        return elements

    def _next_mark(self, data: bytes, at: int) -> int:
        """Return where the next bracket outside of a string stands; the end of *data* if there is none."""
        while True:
            if self._in_string:
                at = self._end_of_string(data, at)
            found = _MARK.search(data, at) if not self._in_string else None
            if found is None:
                return len(data)
            if found[0] != b'"':
                return found.start()
            self._in_string = True
            at = found.end()

    def _end_of_string(self, data: bytes, at: int) -> int:
        """Return where the string in which *at* stands has ended, or the end of *data*."""
        if self._escaped and at < len(data):
            self._escaped = False
            at += 1
        found = _IN_STRING.match(data, at)
        at = len(data) if found is None else found.end()
        if at < len(data):
            self._escaped = data[at : at + 1] == b"\\"  # the last byte: what it escapes is still to come
            self._in_string = self._escaped
            at += 1
        return at

    def _step(self, mark: int) -> bool:
        """Take one bracket; tell whether it completes an element."""
        if mark in _OPENS:
            if self._depth == 0 and mark == ord("[") and not self._in_array:
                self._in_array = True
            else:
                self._depth += 1
            return False
        if self._depth == 0:
            self.closed = True
            return False
        self._depth -= 1
        if self._depth == 0 and not self._in_array:
            self.closed = True
        return self._depth == 0

    def _keep(self, data: bytes) -> None:
        if self._skipping:
            return
        self._held += data
        if len(self._held) > self._cap:
            self._skipping = True
            self.lost += 1
            self._held.clear()

    def _taken(self) -> list[bytes]:
        element = [] if self._skipping else [bytes(self._held)]
        self._held.clear()
        self._skipping = False
        return element
