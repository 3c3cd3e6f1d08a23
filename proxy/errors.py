"""The one tree of failures: each class carries the answer, each instance the detail.

    ProxyError 500
    ├── RequestError 400          the client's own doing: the request cannot be served as it is
    │       BadRequest 400              Untranslatable 400          Denied 400 (Unauthenticated 401, Forbidden 403)
    │       NotFound 404                ModelNotFound 404           MethodNotAllowed 405        BodyTimeout 408
    │       HeadersTimeout 408          BodyTooLarge 413            UnsupportedMedia 415        ExpectationFailed 417
    │       HeadersTooLarge 431         UnsupportedFraming 501      UnsupportedVersion 505
    ├── LimitError 503            a limit of this proxy is reached
    │       TooManyStreams 503          TooManyStreamsOfSubject 429 BodiesFull 503
    ├── Draining 503              this process is about to stop; Drained 503: it has stopped a live stream, told in-band
    ├── Expired 504, ClientStalled 408   ends of a live stream, told in the same ways
    ├── InternalError 500         a fault of our own
    └── UpstreamError 502         the backend's doing, or the way to it
            NoUpstream 503              UpstreamBusy 503            UpstreamDnsFailed 502       UpstreamConnectFailed 502
            UpstreamTlsFailed 502       UpstreamClosed 502          UpstreamReset 502           UpstreamMalformed 502
            UpstreamTimeout 504         UpstreamStalled 504         UpstreamTruncated 502       UpstreamErrorEvent 502
            UpstreamUnexpected 502      UpstreamCredentials 502     UpstreamRefused 502 (for the client: the upstream's own)

A class says which status and stable code the client sees, whose fault it was, which outcome word the exchange gets,
and whether another attempt may follow. `detail` is for the operator's log; `public` is for the client and never holds a
secret, a byte that a peer sent, or an upstream's address.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from proxy.exchange import Outcome


class Retry(enum.Enum):
    """Whether another attempt may follow a failure."""

    NEVER = "never"
    SAFE = "safe"  # no byte of the request reached the upstream
    UNTIL_FIRST_EVENT = "until_first_event"  # the upstream may have started work


class Kind(enum.Enum):
    """What sort of error this is; each dialect has its own word for it."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"


class ProxyError(Exception):
    """A failure with an agreed answer. Raise a subclass, never this."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[Kind] = Kind.SERVER
    outcome: ClassVar[Outcome] = Outcome.PROXY_ERROR
    retry: ClassVar[Retry] = Retry.NEVER
    public: str = "The proxy failed to handle this request."

    def __init__(self, detail: str = "", *, public: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail or public or self.public)
        self.detail = detail or public or self.public
        self.retry_after = retry_after
        if public is not None:
            self.public = public


class RequestError(ProxyError):
    status = 400
    code = "invalid_request"
    kind = Kind.INVALID_REQUEST
    outcome = Outcome.REJECTED_REQUEST
    public = "The request is invalid."


class BadRequest(RequestError):
    """The request is malformed; `public` says what and how to mend it. `param` names the field."""

    def __init__(self, public: str, *, detail: str = "", param: str | None = None) -> None:
        super().__init__(detail, public=public)
        self.param = param


class Untranslatable(BadRequest):
    """A target of another API cannot honour `param`; one that comes after it may."""

    code = "unsupported_parameter"
    retry = Retry.SAFE


class Denied(RequestError):
    """A caller who may not do this; `reason` goes to the log and the metric only."""

    outcome = Outcome.REJECTED_AUTH

    def __init__(self, reason: str, detail: str = "", *, public: str | None = None) -> None:
        super().__init__(detail or reason, public=public)
        self.reason = reason


class Unauthenticated(Denied):
    """No valid credential. The answer is uniform."""

    status = 401
    code = "invalid_credentials"
    kind = Kind.AUTHENTICATION
    public = "Missing or invalid credentials."


class Forbidden(Denied):
    status = 403
    code = "forbidden"
    kind = Kind.PERMISSION
    public = "These credentials do not allow this request."


class NotFound(RequestError):
    status = 404
    code = "not_found"
    kind = Kind.NOT_FOUND
    public = "There is nothing at this path."


class ModelNotFound(NotFound):
    code = "model_not_found"
    public = "This model does not exist here."


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"
    public = "This path does not serve this method."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(public=f"This path serves {', '.join(allowed)} only.")
        self.allowed = allowed


class BodyTimeout(RequestError):
    status = 408
    code = "body_timeout"
    kind = Kind.TIMEOUT
    outcome = Outcome.REJECTED_LIMIT
    public = "The request body did not arrive in time."


class HeadersTimeout(RequestError):
    status = 408
    code = "header_timeout"
    kind = Kind.TIMEOUT
    outcome = Outcome.REJECTED_LIMIT
    public = "The request head did not arrive in time."


class BodyTooLarge(RequestError):
    status = 413
    code = "body_too_large"
    kind = Kind.TOO_LARGE
    outcome = Outcome.REJECTED_LIMIT
    public = "The request body is larger than this proxy accepts."


class UnsupportedMedia(RequestError):
    status = 415
    code = "unsupported_media"
    public = "The request body must be JSON without a content encoding."


class ExpectationFailed(RequestError):
    status = 417
    code = "expectation_failed"
    public = "The only expectation served is 100-continue."


class HeadersTooLarge(RequestError):
    status = 431
    code = "headers_too_large"
    kind = Kind.TOO_LARGE
    outcome = Outcome.REJECTED_LIMIT
    public = "The request head is larger than this proxy accepts."


class UnsupportedFraming(RequestError):
    status = 501
    code = "unsupported_framing"
    public = "This transfer encoding is not supported."


class UnsupportedVersion(RequestError):
    status = 505
    code = "unsupported_version"
    public = "Only HTTP/1.0 and HTTP/1.1 are spoken here."


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


class InternalError(ProxyError):
    """A fault of our own; the cause is in the log."""


class UpstreamError(ProxyError):
    status = 502
    code = "upstream_error"
    outcome = Outcome.UPSTREAM_UNREACHABLE
    retry = Retry.UNTIL_FIRST_EVENT
    public = "The model's backend failed."


class NoUpstream(UpstreamError):
    status = 503
    code = "no_upstream"
    kind = Kind.OVERLOADED
    retry = Retry.NEVER
    public = "No backend for this model is available at the moment."


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
