"""The wire to the backends: our own HTTP/1.1 client side, which hides nothing of how an answer ended."""

from proxy.upstream.backend import Backend, Outgoing, Rules
from proxy.upstream.bedrock import BedrockSigner
from proxy.upstream.dial import Addresses, Dialer, Network
from proxy.upstream.pool import BodyReader, OutboundRequest, Pool, UpstreamStream
from proxy.upstream.response import BodyEnd, ResponseHead, Sink

__all__ = [
    "Addresses",
    "Backend",
    "BedrockSigner",
    "BodyEnd",
    "BodyReader",
    "Dialer",
    "Network",
    "OutboundRequest",
    "Outgoing",
    "Pool",
    "ResponseHead",
    "Rules",
    "Sink",
    "UpstreamStream",
]
