"""Which bytes of a message head may pass the proxy, in which direction, and what the proxy itself reads in it."""

from proxy.headers.heads import Heads
from proxy.headers.requests import (
    Noted,
    noted,
    request_id_from,
    validate_fields,
    validate_framing,
    validate_media,
    validate_target,
)
from proxy.headers.sieve import CREDENTIALS, Header, Inbound, Outbound, ResponseHead, header_lines, stream_headers
from proxy.headers.trusted import TrustedProxies

__all__ = [
    "CREDENTIALS",
    "Header",
    "Heads",
    "Inbound",
    "Noted",
    "Outbound",
    "ResponseHead",
    "TrustedProxies",
    "header_lines",
    "noted",
    "request_id_from",
    "stream_headers",
    "validate_fields",
    "validate_framing",
    "validate_media",
    "validate_target",
]
