"""The one tree of failures: each class carries the answer, each instance the detail.

    ProxyError 500
    ├── RequestError 400          the client's own doing: the request cannot be served as it is
    │       BadRequest 400              Untranslatable 400          Denied 400 (Unauthenticated 401, Forbidden 403)
    │       NotFound 404                ModelNotFound 404           ApiNotServed 404            MethodNotAllowed 405
    │       BodyTimeout 408             HeadersTimeout 408          BodyTooLarge 413            UnsupportedMedia 415
    │       ExpectationFailed 417       HeadersTooLarge 431         UnsupportedFraming 501      UnsupportedVersion 505
    ├── LimitError 503            a limit of this proxy is reached
    │       TooManyStreams 503          TooManyStreamsOfSubject 429 BodiesFull 503              TooManyTickets 429
    ├── Draining 503              this process is about to stop; Drained 503: it has stopped a live stream, told in-band
    ├── Expired 504, ClientStalled 408, Stopped 409   ends of a live stream, told in the same ways
    ├── InternalError 500         a fault of our own
    └── UpstreamError 502         the backend's doing, or the way to it
            UpstreamBusy 503            UpstreamDnsFailed 502       UpstreamConnectFailed 502   UpstreamTlsFailed 502
            UpstreamClosed 502          UpstreamReset 502           UpstreamMalformed 502       UpstreamTimeout 504
            UpstreamStalled 504         UpstreamTruncated 502       UpstreamErrorEvent 502      UpstreamUnexpected 502
            UpstreamCredentials 502     UpstreamWayRefused 502      UpstreamRefused 502 (for the client: the upstream's own)

A class says which status and stable code the client sees, whose fault it was, which outcome word the exchange gets,
and whether another attempt may follow. `detail` is for the operator's log; `public` is for the client and never holds a
secret, a byte that a peer sent, or an upstream's address.
"""

from __future__ import annotations

from proxy.errors.base import Kind, ProxyError, Retry
from proxy.errors.client import (
    ApiNotServed,
    BadRequest,
    BodyTimeout,
    BodyTooLarge,
    Denied,
    ExpectationFailed,
    Forbidden,
    HeadersTimeout,
    HeadersTooLarge,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    RequestError,
    Unauthenticated,
    UnsupportedFraming,
    UnsupportedMedia,
    UnsupportedVersion,
    Untranslatable,
)
from proxy.errors.own import (
    BodiesFull,
    ClientStalled,
    Drained,
    Draining,
    Expired,
    InternalError,
    LimitError,
    Stopped,
    TooManyStreams,
    TooManyStreamsOfSubject,
    TooManyTickets,
)
from proxy.errors.upstream import (
    UpstreamBusy,
    UpstreamClosed,
    UpstreamConnectFailed,
    UpstreamCredentials,
    UpstreamDnsFailed,
    UpstreamError,
    UpstreamErrorEvent,
    UpstreamMalformed,
    UpstreamRefused,
    UpstreamReset,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamTruncated,
    UpstreamUnexpected,
    UpstreamWayRefused,
)

__all__ = [
    "ApiNotServed",
    "BadRequest",
    "BodiesFull",
    "BodyTimeout",
    "BodyTooLarge",
    "ClientStalled",
    "Denied",
    "Drained",
    "Draining",
    "ExpectationFailed",
    "Expired",
    "Forbidden",
    "HeadersTimeout",
    "HeadersTooLarge",
    "InternalError",
    "Kind",
    "LimitError",
    "MethodNotAllowed",
    "ModelNotFound",
    "NotFound",
    "ProxyError",
    "RequestError",
    "Retry",
    "Stopped",
    "TooManyStreams",
    "TooManyStreamsOfSubject",
    "TooManyTickets",
    "Unauthenticated",
    "UnsupportedFraming",
    "UnsupportedMedia",
    "UnsupportedVersion",
    "Untranslatable",
    "UpstreamBusy",
    "UpstreamClosed",
    "UpstreamConnectFailed",
    "UpstreamCredentials",
    "UpstreamDnsFailed",
    "UpstreamError",
    "UpstreamErrorEvent",
    "UpstreamMalformed",
    "UpstreamRefused",
    "UpstreamReset",
    "UpstreamStalled",
    "UpstreamTimeout",
    "UpstreamTlsFailed",
    "UpstreamTruncated",
    "UpstreamUnexpected",
    "UpstreamWayRefused",
]
