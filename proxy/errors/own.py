"""What the proxy itself ends or refuses: its limits, its shutdown, the ages of streams, and its own faults."""

from __future__ import annotations

from proxy.errors.base import Kind, ProxyError
from proxy.exchange import Outcome


class LimitError(ProxyError):
    status = 503
    code = "overloaded"
    kind = Kind.OVERLOADED
    outcome = Outcome.REJECTED_LIMIT
    public = "The proxy is at its limit, try again soon."


class TooManyStreams(LimitError):
    code = "too_many_streams"


class TooManyStreamsOfSubject(LimitError):
    status = 429
    code = "too_many_streams_of_subject"
    kind = Kind.RATE_LIMIT
    public = "Too many requests at once for these credentials."


class TooManyTickets(LimitError):
    status = 429
    code = "too_many_tickets"
    kind = Kind.RATE_LIMIT
    public = "Too many tickets are waiting to be used."


class BodiesFull(LimitError):
    code = "bodies_full"


class Draining(ProxyError):
    """This process is about to stop."""

    status = 503
    code = "draining"
    kind = Kind.OVERLOADED
    outcome = Outcome.REJECTED_DRAINING
    public = "The proxy is restarting, try again."


class Drained(Draining):
    """A live stream was still there at the shutdown deadline."""

    code = "drained"
    outcome = Outcome.DRAINED
    public = "The proxy was restarted before the answer was complete."


class Expired(ProxyError):
    """The stream is older than `limits.stream_age`."""

    status = 504
    code = "expired"
    kind = Kind.TIMEOUT
    outcome = Outcome.EXPIRED
    public = "The answer took longer than this proxy allows."


class ClientStalled(ProxyError):
    """The client has read nothing for `limits.write_stall`."""

    status = 408
    code = "client_stalled"
    kind = Kind.TIMEOUT
    outcome = Outcome.CLIENT_STALLED
    public = "The client stopped reading."


class Stopped(ProxyError):
    """The caller itself has asked for the end of its stream, on another connection."""

    status = 409
    code = "stopped"
    kind = Kind.INVALID_REQUEST
    outcome = Outcome.CLIENT_GONE
    public = "The answer was stopped on request."


class InternalError(ProxyError):
    """A fault of our own; the cause is in the log."""
