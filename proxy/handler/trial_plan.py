"""What a test stream is asked to be: how many events of which size, and how much silence where, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from proxy.errors import BadRequest

MOST_EVENTS: Final = 1000
LONGEST_INTERVAL: Final = 60.0  # seconds between two events
LONGEST_SILENCE: Final = 600.0  # seconds before the first event, or in the pause
LONGEST: Final = 3600.0  # seconds for the whole stream
LARGEST_EVENT: Final = 1 << 20  # bytes of padding
LARGEST: Final = 16 << 20  # bytes of padding in the whole stream
FORMATS: Final = ("sse", "ndjson")
SWITCH: Final = ("on", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """The events and silences of one test stream. Durations are in seconds."""

    count: int = 10
    interval: float = 1.0
    size: int = 0  # bytes of padding in each event
    before: float = 0.0  # silence between the head and the first event
    pause_at: int = 1  # the event behind which the pause comes
    pause: float = 0.0
    keepalive: bool = False  # the proxy's own frames in silences
    format: str = "sse"

    def due(self, number: int, first: int = 1) -> float:
        """Return when event *number* is to be sent, in seconds after the head, in a stream that begins with *first*."""
        paused = self.pause if first <= self.pause_at < number else 0.0
        return self.before + (number - first) * self.interval + paused


def plan_of(query: bytes) -> TrialPlan:
    """Return what *query*, with or without its question mark, asks for. Raises BadRequest, which names the field."""
    given = dict(parse_qsl(query.removeprefix(b"?").decode("latin-1"), keep_blank_values=True))
    plan = TrialPlan(
        count=_whole(given, "count", 10, 1, MOST_EVENTS),
        interval=_seconds(given, "interval", 1.0, LONGEST_INTERVAL),
        size=_whole(given, "size", 0, 0, LARGEST_EVENT),
        before=_seconds(given, "before", 0.0, LONGEST_SILENCE),
        pause_at=_whole(given, "pause_at", 1, 1, MOST_EVENTS),
        pause=_seconds(given, "pause", 0.0, LONGEST_SILENCE),
        keepalive=_word(given, "keepalive", "off", SWITCH) == "on",
        format=_word(given, "format", "sse", FORMATS),
    )
    if plan.before + plan.pause + plan.count * plan.interval > LONGEST:
        raise BadRequest("count times interval, with before and pause, must be an hour at most.", param="count")
    if plan.count * plan.size > LARGEST:
        raise BadRequest(f"size times count must be {LARGEST} bytes at most.", param="size")
    return plan


def _whole(given: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    try:
        value = int(given.get(name, default))
    except ValueError as exc:
        raise BadRequest(f"{name} must be a whole number.", param=name) from exc
    if not least <= value <= most:
        raise BadRequest(f"{name} must be {least} to {most}.", param=name)
    return value


def _seconds(given: dict[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError as exc:
        raise BadRequest(f"{name} must be a number of seconds.", param=name) from exc
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be 0 to {most:g} seconds.", param=name)
    return value


def _word(given: dict[str, str], name: str, default: str, words: tuple[str, ...]) -> str:
    value = given.get(name, default)
    if value not in words:
        raise BadRequest(f"{name} must be one of {', '.join(words)}.", param=name)
    return value
