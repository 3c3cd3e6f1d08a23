"""Remembers what became of the latest test streams: whether their client has left, and when that was noticed here."""

from __future__ import annotations

from typing import Any, Final

REMEMBERED: Final = 1000  # streams; about 300 bytes each


class Departure:
    """One test stream. Times are seconds of the monotonic clock."""

    __slots__ = ("ended", "last_byte_at", "left_at")

    def __init__(self, now: float) -> None:
        self.last_byte_at = now
        self.left_at: float | None = None
        self.ended = False  # all of it was sent

    def view(self, now: float) -> dict[str, Any]:
        """Return what its owner is told. All durations are in milliseconds, so that no two clocks are compared."""
        if self.left_at is not None:
            state, at = "left", self.left_at
        else:
            state, at = ("ended" if self.ended else "live"), now
        return {"state": state, "silent_ms": _ms(at - self.last_byte_at), "ago_ms": _ms(now - at)}


class Departures:
    """The latest streams of one process, by owner and id."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._streams: dict[tuple[str, str], Departure] = {}

    def begin(self, owner: str, request_id: str, now: float) -> Departure:
        """Return the memory of a new stream; the oldest one is forgotten where there are too many."""
        key = (owner, request_id)
        self._streams.pop(key, None)
        if len(self._streams) >= self._remembered:
            del self._streams[next(iter(self._streams))]
        made = self._streams[key] = Departure(now)
        return made

    def view(self, owner: str, request_id: str, now: float) -> dict[str, Any] | None:
        """Return what became of the stream that *owner* had under this id; None where nothing is known of it."""
        found = self._streams.get((owner, request_id))
        return None if found is None else found.view(now)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
