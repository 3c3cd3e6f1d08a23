"""The backend's doing, or that of the way to it."""

from __future__ import annotations

from proxy.errors.base import Kind, ProxyError, Retry
from proxy.exchange import Outcome


class UpstreamError(ProxyError):
    status = 502
    code = "upstream_error"
    outcome = Outcome.UPSTREAM_UNREACHABLE
    retry = Retry.UNTIL_FIRST_EVENT
    public = "The model's backend failed."


class UpstreamBusy(UpstreamError):
    """All `max_connections` of the upstream are in use."""

    status = 503
    code = "upstream_busy"
    kind = Kind.OVERLOADED
    retry = Retry.SAFE
    public = "The model's backend has no free connection."


class UpstreamDnsFailed(UpstreamError):
    code = "upstream_dns_failed"
    retry = Retry.SAFE
    public = "The model's backend could not be found."


class UpstreamConnectFailed(UpstreamError):
    """The upstream refused us or never answered the dial."""

    code = "upstream_connect_failed"
    retry = Retry.SAFE
    public = "The model's backend could not be reached."


class UpstreamWayRefused(UpstreamConnectFailed):
    """The forward proxy refused a request that it had been sent already; of a body that is sent once nothing is left by then."""

    retry = Retry.UNTIL_FIRST_EVENT


class UpstreamTlsFailed(UpstreamError):
    code = "upstream_tls_failed"
    retry = Retry.SAFE
    public = "No secure connection to the model's backend could be made."


class UpstreamClosed(UpstreamError):
    """The upstream ended the connection (FIN) before a complete response head."""

    code = "upstream_closed"
    outcome = Outcome.UPSTREAM_TRUNCATED
    public = "The model's backend closed the connection without an answer."


class UpstreamReset(UpstreamError):
    """The connection was reset (RST), or broke in another hard way."""

    code = "upstream_reset"
    outcome = Outcome.UPSTREAM_RESET
    public = "The connection to the model's backend was reset."


class UpstreamMalformed(UpstreamError):
    """The upstream's bytes are not HTTP, or exceed our limits for a response head."""

    code = "upstream_malformed"
    outcome = Outcome.UPSTREAM_RESET
    public = "The model's backend sent an answer that could not be understood."


class UpstreamTimeout(UpstreamError):
    """No first content within the deadline."""

    status = 504
    code = "upstream_timeout"
    kind = Kind.TIMEOUT
    outcome = Outcome.UPSTREAM_TIMEOUT
    public = "The model's backend did not answer in time."


class UpstreamStalled(UpstreamError):
    """Content had begun and then stopped coming."""

    status = 504
    code = "upstream_stalled"
    kind = Kind.TIMEOUT
    outcome = Outcome.UPSTREAM_STALLED
    public = "The model's backend stopped sending."


class UpstreamTruncated(UpstreamError):
    """The stream ended without its terminal event, or the body without its last byte."""

    code = "upstream_truncated"
    outcome = Outcome.UPSTREAM_TRUNCATED
    public = "The model's backend ended the answer before it was complete."


class UpstreamErrorEvent(UpstreamError):
    """A 200 whose stream says that it failed. `public` is for people, the event itself was the upstream's."""

    code = "upstream_error_event"
    kind = Kind.OVERLOADED
    outcome = Outcome.IN_BAND_ERROR
    public = "The model's backend reported an error."


class UpstreamUnexpected(UpstreamError):
    """After an early commit the upstream answered with something that cannot be put into the event stream."""

    retry = Retry.NEVER
    code = "upstream_unexpected"
    outcome = Outcome.UPSTREAM_ERROR
    public = "The model's backend answered with something other than an event stream."


class UpstreamCredentials(UpstreamError):
    """The upstream refused *our* credential; its words stay in our log."""

    code = "upstream_credentials"
    outcome = Outcome.UPSTREAM_ERROR
    public = "The model's backend refused the proxy's own credentials."


class UpstreamRefused(UpstreamError):
    """The upstream answered with an error status, of which provider (`reason`) and settings (`retryable`) think so."""

    code = "upstream_refused"
    outcome = Outcome.UPSTREAM_ERROR

    def __init__(self, upstream_status: int, reason: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(f"status {upstream_status} ({reason})", retry_after=retry_after)
        self.upstream_status = upstream_status
        self.reason = reason
        self.retryable = retryable
