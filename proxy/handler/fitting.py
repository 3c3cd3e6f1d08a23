"""Decides by the head of an upstream's answer what its body is, who looks at it, and whether it fits what has been sent already."""

from __future__ import annotations

from typing import Final

from proxy.dialects.base import Answer, Blind, Framing, Observer
from proxy.errors import UpstreamMalformed, UpstreamUnexpected
from proxy.handler.call import Call
from proxy.translate import Back
from proxy.upstream import ResponseHead

JSON: Final = b"application/json"

_IDENTITY: Final = (b"identity", b"")
_EVENT_STREAMS: Final = (b"text/event-stream", b"application/vnd.amazon.eventstream")


def media_type_of(head: ResponseHead, method: bytes) -> bytes:
    """Return the type of a body that can be looked into, in lower case; nothing where there is none."""
    coding = head.fields.get(b"content-encoding")
    if (coding is not None and coding.strip().lower() not in _IDENTITY) or method == b"HEAD":
        return b""
    return head.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()


def observer_of(call: Call, status: int, media_type: bytes, back: Back | None) -> tuple[Observer, Framing]:
    """Return who looks at a body, and how it is framed; *back* translates it from another API, where it is of one.

    Raises UpstreamMalformed for what cannot be translated.
    """
    if (status != 200 and media_type in _EVENT_STREAMS) or (status >= 300 and back is None):
        return Blind(), Framing.OPAQUE
    dialect, view = call.dialect, call.view
    if back is None:
        return dialect.observed(view, media_type)
    if media_type in _EVENT_STREAMS:
        return dialect.observer(view), dialect.stream_framing
    if media_type == JSON and status < 300:
        return Answer(dialect), Framing.WHOLE
    raise UpstreamMalformed(f"status {status}, an answer of a type that cannot be translated")


def require_fitting(head: ResponseHead, framing: Framing, committed: Framing) -> None:
    """Raise UpstreamUnexpected for an answer that cannot go on in the response that is *committed* already."""
    if framing is not committed:
        media_type = head.fields.get(b"content-type", b"no type")[:80].decode("latin-1")
        raise UpstreamUnexpected(f"status {head.status}, {media_type}")
    if head.status >= 300:
        raise UpstreamUnexpected(f"status {head.status}")
