"""Asks a server which version of HTTP it would speak to a browser: the doctor itself speaks HTTP/1.1 only."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

PROTOCOLS: Final = ("h2", "http/1.1")
WITHIN: Final = 10.0  # seconds for the handshake


async def offers_h2(url: str, tls: ssl.SSLContext) -> bool | None:
    """Tell whether the server of an https URL agrees to HTTP/2; None where it cannot be found out.

    *tls* is a context of its own for this, because the protocols to be offered are set on it.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return None
    tls.set_alpn_protocols(PROTOCOLS)
    try:
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=tls)
    except (OSError, TimeoutError):
        return None
    secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
    agreed = secured.selected_alpn_protocol()
    writer.transport.abort()  # nothing will be asked, so nothing is to be closed in order
    return agreed == "h2"
