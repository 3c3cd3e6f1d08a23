"""Answers as the doctor sees them, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.doctor.arrivals import Arrival, End, Seen
from proxy.doctor.hop import Hop
from proxy.doctor.verdicts import judge

OURS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "x-request-id": "r1",
    "server": "llm-stream-proxy",
}
PROMPT: Final = [(0.0, 0.01), (0.5, 0.51), (1.0, 1.01), (1.5, 1.51)]
HELD: Final = [(sent, 1.6) for sent, _ in PROMPT]


def seen(times: Iterable[tuple[float, float]] = PROMPT, *, end: End = End.DONE, **changes: Any) -> Seen:
    """Return an answer whose events were sent and came at these times; all of them, unless `expected` says otherwise."""
    arrivals = tuple(Arrival(at, sent) for sent, at in times)
    last = arrivals[-1].at if arrivals else 0.0
    facts: dict[str, Any] = {
        "status": 200,
        "version": "1.1",
        "headers": OURS,
        "headers_at": 0.005,
        "ended_at": last,
        "end": end,
        "arrivals": arrivals,
        "expected": len(arrivals),
        "told": {"n": 1, "http": "1.1"},
    }
    return Seen(**{**facts, **changes})


def hop(url: str = "http://a", times: Iterable[tuple[float, float]] = PROMPT, **changes: Any) -> Hop:
    """Return a hop through which a stream came so."""
    it = seen(times, **changes)
    return Hop(url, judge(it), it)


def through(server: str, **more: str) -> Mapping[str, str]:
    """Return the headers behind a server of this name."""
    return {**OURS, "server": server, **more}
