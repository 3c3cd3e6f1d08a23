"""What a process asks of its operating system: a listening socket, room for open files, and word of its signals."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

from proxy.settings import Address

SEND_BUFFER: Final = 128 * 1024  # of each client's socket: what the kernel may keep for one that does not read
FILES_RESERVED: Final = 100


@contextlib.contextmanager
def signals(stop: Callable[[int], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call *stop* with the number of a SIGTERM or SIGINT and *reload* at a SIGHUP, for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def listen_shared(address: Address, count: int) -> list[socket.socket]:
    """Return *count* bound sockets of one port, over which the kernel spreads connections. Raises OSError like `listen`."""
    with listen(address) as probe:  # held meanwhile: the others alone would share the port with any program that shares it too
        host, port = probe.getsockname()[:2]
        with contextlib.ExitStack() as failed:
            listeners = [failed.enter_context(listen(Address(host, port), shared=True)) for _ in range(count)]
            failed.pop_all()
            return listeners


def listen(address: Address, *, setting: str = "listen", shared: bool = False) -> socket.socket:
    """Return a bound socket, for a *shared* port if all of its sockets are.

    Raises OSError whose text names the address, and the *setting* that chooses another.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # inherited by every accepted socket
        listener.bind((address.host, address.port))
    except OSError as exc:
        listener.close()
        variable = f"LLM_PROXY_{setting.upper().replace('.', '__')}"
        where = url(address.host, address.port)
        raise OSError(exc.errno, f"{where}: {exc.strerror}; {setting} or {variable} chooses another address") from exc
    return listener


def url(host: str, port: int) -> str:
    """Return an address as people paste it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def affordable_streams() -> int:
    """Return how many streams the open-file limit allows, after raising it as far as it goes: two sockets each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, (soft - FILES_RESERVED) // 2)
