from __future__ import annotations

from ipaddress import ip_network

import pytest

from proxy.headers import TrustedProxies, noted


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", [b"198.51.100.1"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"1.2.3.4", b"198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"198.51.100.1, 10.0.0.5, 10.0.0.6"], "198.51.100.1"),
        ("127.0.0.1", [b"10.0.0.5, 10.0.0.6"], "10.0.0.5"),
        ("127.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", [b"2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [b"1.2.3.4, unknown"], "127.0.0.1"),
        ("127.0.0.1", [b"1.2.3.4, nonsense\xe9, 10.0.0.6"], "10.0.0.6"),
        ("::ffff:127.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("::1", [b"fe80::1%evil text"], "fe80::1"),
        ("", [b"198.51.100.1"], ""),
        ("127.0.0.1", [b"1.2.3.4," + b"10.0.0.1," * 500 + b"10.0.0.2"], "10.0.0.1"),
    ],
)
def test_client_is_the_right_most_hop_that_is_not_trusted(peer: str, forwarded_for: list[bytes], expected: str) -> None:
    proxies = TrustedProxies([ip_network("127.0.0.1/32"), ip_network("::1/128"), ip_network("10.0.0.0/8")])
    raw = [(b"X-Forwarded-For", value) for value in forwarded_for]

    assert proxies.client_address(peer, noted(raw)) == expected


def test_many_peers_do_not_fill_the_memory() -> None:
    proxies = TrustedProxies([ip_network("127.0.0.1/32")])

    for number in range(3000):
        proxies.client_address(f"2001:db8::{number:x}", noted([(b"X-Forwarded-For", b"10.0.0.1")]))

    assert len(proxies._known) <= 1024
