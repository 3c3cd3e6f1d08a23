"""What only the socket under a connection knows, or can do."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from typing import Final

_NO_LINGER: Final = struct.pack("ii", 1, 0)


def closed_in_order(transport: asyncio.Transport) -> bool:
    """Tell a TLS peer's close_notify from a bare FIN, which anybody on the way can send (RFC 9112 9.8)."""
    tls = transport.get_extra_info("ssl_object")
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLError:
        return False


def drop(transport: asyncio.Transport, *, reset: bool) -> None:
    """Close it. With *reset* by a RST: a FIN would wait behind what the peer has not read, and some servers work on after one."""
    if reset and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
