"""Remembers who spoke last on one connection: a credential that is repeated there is not checked again with each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.auth.credential import PLACES, Headers
from proxy.auth.principal import Principal

_COOKIE: Final = b"cookie"
_PLACES: Final = frozenset({*PLACES, _COOKIE})  # where a credential may stand
RECALL_FOR: Final = 5.0  # seconds; added to the time for which a good token is remembered


class Caller:
    """The memory of one connection, and of no other. It holds the last good credential as it stood in the headers.

    What is remembered is true for one *verdict*, the authenticator of one configuration, and never beyond a token's `exp`.
    A request with a cookie is neither remembered nor recognised: a cookie is good from some pages only, and connections of a server
    in front carry the requests of many.
    """

    __slots__ = ("_elsewhere", "_place", "_principal", "_said", "_since", "_until", "_verdict")

    def __init__(self) -> None:
        self._verdict: object = None
        self._place = b""  # the header in which it stood; empty where anonymous use is allowed and there was none
        self._elsewhere = _PLACES  # where nothing may stand
        self._said: Sequence[bytes] | None = None
        self._principal: Principal | None = None
        self._since = self._until = 0.0

    def recall(self, verdict: object, head: Headers, now: float) -> Principal | None:
        """Return who sends *head*, if it presents exactly what was good a moment ago. *now* is seconds since the epoch."""
        if self._verdict is not verdict or not self._since <= now < self._until:
            return None
        return self._principal if head.get(self._place) == self._said and self._elsewhere.isdisjoint(head) else None

    def note(self, verdict: object, head: Headers, principal: Principal, now: float) -> None:
        """Remember that *head*, and nothing besides its headers, was found to speak for *principal*."""
        used = _PLACES.intersection(head)
        if _COOKIE in used or len(used) > 1:
            return
        self._place = next(iter(used), b"")
        self._elsewhere, self._said = _PLACES - used, head.get(self._place)
        self._verdict, self._principal = verdict, principal
        self._since, self._until = now, now + RECALL_FOR
        if principal.expires_at is not None:
            self._until = min(self._until, principal.expires_at)
