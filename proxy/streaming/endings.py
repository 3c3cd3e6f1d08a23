"""Decides what the end of an upstream's body means: a finished answer, or which failure."""

from __future__ import annotations

from typing import Final

from proxy.errors import InternalError, ProxyError, UpstreamErrorEvent, UpstreamMalformed, UpstreamReset, UpstreamTruncated
from proxy.sse.observer import Observer
from proxy.upstream import BodyEnd

CLEAN: Final = (BodyEnd.COMPLETE, BodyEnd.CLOSED)  # as far as the framing can tell


def failure_of(observer: Observer, end: BodyEnd) -> ProxyError | None:
    """Return why an answer that ends with *end* is not finished; None if it is."""
    if end is BodyEnd.FAULT:
        return broken(end)
    if observer.complete(clean=end in CLEAN):
        return None
    return told(observer) or broken(end)


def told(observer: Observer) -> ProxyError | None:
    """Return the failure that the bytes of a stream tell of, whatever its connection does; None: they tell of none."""
    if observer.garbled:
        return UpstreamMalformed("the stream holds bytes that are no event")
    return None if observer.error is None else UpstreamErrorEvent(f"told in the stream: {observer.error}")


def broken(end: BodyEnd) -> ProxyError:
    """Return the failure of an answer that had not come to its last event."""
    if end is BodyEnd.FAULT:
        return InternalError("a byte of the upstream's could not be processed")
    if end is BodyEnd.RESET:
        return UpstreamReset("reset in the body")
    if end is BodyEnd.MALFORMED:
        return UpstreamMalformed("the body's framing is broken")
    return UpstreamTruncated("ended without its last event" if end in CLEAN else "closed before the announced end")
