"""Remembers the last head on one connection: a client sends the same one all day, but for the length of its body."""

from __future__ import annotations

from typing import Final

from proxy.headers.requests import Noted
from proxy.headers.sieve import Header

_LENGTH: Final = b"content-length"
_SINGULAR: Final = frozenset({b"transfer-encoding", b"expect", b"x-request-id"})  # heads that are worth a look each time

Version = tuple[int, int]


class Heads:
    """The memory of one connection, and of no other. Only heads whose framing was found good are told to it.

    It begins with the second head: many connections carry one request only, and to remember costs as much as to read.
    *lines* are those in which the head was passed on by *passed_by*; both belong to the head that was last recalled.
    """

    __slots__ = ("_asked", "_at", "_head", "_length", "_raw", "_recalled", "_said", "_version", "lines", "passed_by")

    def __init__(self) -> None:
        self._asked = False  # a head was told
        self._raw: list[Header] = []
        self._version: Version = (0, 0)
        self._head: Noted = {}
        self._at: int | None = None  # where the length of the body stands
        self._length: Header = (b"", b"")
        self._recalled: tuple[Header, ...] | None = None  # what was asked about last: whoever reads heads may know it again too
        self._said: Noted = {}
        self.passed_by: object = None
        self.lines = b""

    def recall(self, raw: tuple[Header, ...], version: Version) -> Noted | None:
        """Return what *raw* says to the proxy, if it is the head of the request before with a body of whatever length."""
        known, at = self._raw, self._at
        if raw is self._recalled and version == self._version:
            return self._said
        if len(raw) != len(known) or version != self._version:
            return None
        if at is not None:
            known[at] = raw[at]  # looked at below, so that one comparison tells about all the others
        if known != [*raw]:
            return None
        said = self._head
        if at is not None and raw[at] != self._length:
            name, length = raw[at]
            if name != self._length[0] or not length.isdigit():
                return None
            said = {**said, _LENGTH: (length,)}
        self._recalled, self._said = raw, said
        return said

    def note(self, raw: tuple[Header, ...], version: Version, head: Noted) -> None:
        """Remember *raw*, of which *head* is what it says to the proxy."""
        first, self._asked = not self._asked, True
        if first or not _SINGULAR.isdisjoint(head):
            return
        self._raw, self._version, self._head = [*raw], version, head
        self._at = next((index for index, (name, _) in enumerate(raw) if name.lower() == _LENGTH), None)
        if self._at is not None:
            self._length = raw[self._at]
        self._recalled = None
        self.passed_by, self.lines = None, b""
