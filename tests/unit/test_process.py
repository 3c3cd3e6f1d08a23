"""What a process asks of its operating system."""

from __future__ import annotations

import resource
import socket
import sys

import pytest

from proxy import process
from proxy.process import FILES_RESERVED, SEND_BUFFER, affordable_streams, listen, listen_shared
from proxy.settings import Address
from tests.support.limits import Limits

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("soft", "hard", "fixed", "streams"),
    [
        (1024, 4096, False, (4096 - FILES_RESERVED) // 2),
        (1024, 4096, True, (1024 - FILES_RESERVED) // 2),
        (1024, resource.RLIM_INFINITY, False, sys.maxsize),
        (64, 64, False, 1),
    ],
    ids=["raised", "not raised", "no limit", "hardly any"],
)
def test_as_many_streams_are_affordable_as_there_are_pairs_of_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, fixed: bool, streams: int
) -> None:
    limits = Limits(soft, hard, fixed=fixed)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)

    assert affordable_streams() == streams


async def test_a_client_s_socket_keeps_no_more_than_it_may() -> None:
    listener = listen(Address(HOST, 0))
    try:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            kept = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            accepted.close()
    finally:
        listener.close()

    assert kept <= 2 * SEND_BUFFER, "Linux doubles what is asked for, and grows what is not asked for"


@pytest.mark.parametrize(("host", "port", "url"), [("127.0.0.1", 80, "http://127.0.0.1:80"), ("::1", 8080, "http://[::1]:8080")])
def test_an_address_is_shown_as_a_url(host: str, port: int, url: str) -> None:
    assert process.url(host, port) == url


def test_sockets_that_share_a_port_each_get_their_part_of_the_connections() -> None:
    listeners = listen_shared(Address(HOST, 0), 2)
    (port,) = {listener.getsockname()[1] for listener in listeners}
    for listener in listeners:
        listener.listen(300)
        listener.settimeout(0)
    clients = [socket.create_connection((HOST, port)) for _ in range(200)]

    accepted = [_accept_all(listener) for listener in listeners]

    assert sum(map(len, accepted)) == 200
    assert min(map(len, accepted)) > 50
    for each in [*listeners, *clients, *accepted[0], *accepted[1]]:
        each.close()


def test_a_port_that_somebody_else_shares_is_taken_all_the_same() -> None:
    """Two supervisors on one port would each get a part of the other's requests."""
    others = listen_shared(Address(HOST, 0), 2)
    for other in others:
        other.listen()
    port = others[0].getsockname()[1]

    with pytest.raises(OSError, match=f"http://{HOST}:{port}: Address already in use"):
        listen_shared(Address(HOST, port), 2)

    for other in others:
        other.close()


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    accepted = []
    while True:
        try:
            accepted.append(listener.accept()[0])
        except BlockingIOError:
            return accepted
