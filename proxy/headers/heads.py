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

    *lines* are those in which the head was passed on by *passed_by*; both belong to the head that was last recalled.
    """

    __slots__ = ("_at", "_head", "_raw", "_version", "lines", "passed_by")

    def __init__(self) -> None:
        self._raw: tuple[Header, ...] = ()
        self._version: Version = (0, 0)
        self._head: Noted = {}
        self._at = 0  # where the length of the body stands; behind the last header if there is none
        self.passed_by: object = None
        self.lines = b""

    def recall(self, raw: tuple[Header, ...], version: Version) -> Noted | None:
        """Return what *raw* says to the proxy, if it is the head of the request before with a body of whatever length."""
        known, at = self._raw, self._at
        if len(raw) != len(known) or raw[:at] != known[:at] or raw[at + 1 :] != known[at + 1 :] or version != self._version:
            return None
        if at == len(raw) or raw[at] == known[at]:
            return self._head
        name, length = raw[at]
        return {**self._head, _LENGTH: (length,)} if name == known[at][0] and length.isdigit() else None

    def note(self, raw: tuple[Header, ...], version: Version, head: Noted) -> None:
        """Remember *raw*, of which *head* is what it says to the proxy."""
        if not _SINGULAR.isdisjoint(head):
            return
        self._raw, self._version, self._head = raw, version, head
        self._at = next((index for index, (name, _) in enumerate(raw) if name.lower() == _LENGTH), len(raw))
        self.passed_by, self.lines = None, b""
