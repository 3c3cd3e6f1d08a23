"""Decides whose word about a client's address is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from proxy.headers.requests import Noted

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS: Final = 32
_MOST_KNOWN: Final = 1024  # peers choose their addresses: what is remembered of them is bounded


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}  # the same few proxies ask all the time

    def client_address(self, peer: str, head: Noted) -> str:
        """Return the right-most hop that is no trusted proxy, or the last one that can be read; *peer* if it is none."""
        claimed = head.get(b"x-forwarded-for")
        if claimed is None or not self._trusts_peer(peer):
            return peer
        address = peer
        for hop in reversed(b",".join(claimed).rsplit(b",", _MOST_HOPS)):
            read = _address(hop)
            if read is None:
                break
            address = str(read)
            if not self._trusts(read):
                break
        return address

    def _trusts_peer(self, peer: str) -> bool:
        known = self._known.get(peer)
        if known is None:
            read = _address(peer.encode("latin-1", "replace"))
            known = read is not None and self._trusts(read)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[peer] = known
        return known

    def _trusts(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _address(hop: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, without its port or zone; an IPv4 address inside an IPv6 one is an IPv4 address."""
    text = hop.strip().partition(b"%")[0].decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
