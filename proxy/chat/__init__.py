"""Configured chat endpoints: one message in, simple events out, over the same street as every other request."""

from proxy.chat.endpoint import ChatEndpointDialect, endpoints, translators

__all__ = ["ChatEndpointDialect", "endpoints", "translators"]
