"""Names become addresses and addresses connections, within one deadline; what fails on the way is told in its own words."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pytest

from proxy.errors import UpstreamConnectFailed, UpstreamDnsFailed, UpstreamError, UpstreamTlsFailed
from proxy.settings import ForwardProxy
from proxy.tasks import Tasks
from proxy.upstream import Addresses, Dialer, dial
from proxy.upstream.connection import UpstreamConnection
from tests.support.certificates import Authority
from tests.support.upstream import HOST, Close, Drip, Fin, Hang, Rst, Upstream, closed_port, silent_port, verbatim
from tests.support.upstream import ForwardProxy as WayOut
from tests.support.wire import WITHIN
from tests.unit.upstream.support import GET, TWO, dialer, until_lost

NAME: Final = "backend.test"
LONG_AGO: Final = 0.0  # a time to live under which every answer is too old


class Resolver:
    """The system's resolver as a script: each look-up takes the next answer, the last one stays."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answers: list[Any] = []
        self.hangs: threading.Event | None = None  # what a look-up waits for

    def script(self, *answers: Any) -> None:
        """Answer with addresses (lists of pairs of host and port) or errors."""
        self.answers = list(answers)

    def getaddrinfo(self, host: str, port: int, **hints: Any) -> list[Any]:
        self.asked.append((host, port))
        assert hints["type"] is socket.SOCK_STREAM
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.hangs is not None:
            self.hangs.wait(WITHIN)
        if isinstance(answer, Exception):
            raise answer
        return [(_family(where[0]), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where) for where in answer]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    if resolver.hangs is not None:
        resolver.hangs.set()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


def unknown() -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def addresses(ttl: float = 30.0) -> Addresses:
    return Addresses(asyncio.get_running_loop(), ttl=ttl)


def hosts(found: Any) -> list[str]:
    return [entry[4][0] for entry in found]


# Names.


async def test_name_is_looked_up_once_while_the_answer_is_fresh(resolver: Resolver) -> None:
    resolver.script([("192.0.2.1", 80), ("192.0.2.2", 80)])
    known = addresses()

    found = [hosts(await known.resolve(NAME, 80)) for _ in range(3)]

    assert found == [["192.0.2.1", "192.0.2.2"]] * 3
    assert resolver.asked == [(NAME, 80)]


async def test_each_name_and_port_has_its_own_answer(resolver: Resolver) -> None:
    resolver.script([("192.0.2.1", 80)], [("192.0.2.2", 81)], [("192.0.2.3", 80)])
    known = addresses()

    found = [hosts(await known.resolve(name, port)) for name, port in ((NAME, 80), (NAME, 81), ("other.test", 80), (NAME, 80))]

    assert found == [["192.0.2.1"], ["192.0.2.2"], ["192.0.2.3"], ["192.0.2.1"]]


async def test_old_answer_is_asked_for_again(resolver: Resolver) -> None:
    resolver.script([("192.0.2.1", 80)], [("192.0.2.2", 80)])
    known = addresses(ttl=LONG_AGO)

    found = [hosts(await known.resolve(NAME, 80)) for _ in range(2)]

    assert found == [["192.0.2.1"], ["192.0.2.2"]]


async def test_last_good_answer_serves_while_the_resolver_fails(resolver: Resolver) -> None:
    resolver.script([("192.0.2.1", 80)], unknown(), unknown(), [("192.0.2.2", 80)])
    known = addresses(ttl=LONG_AGO)

    found = [hosts(await known.resolve(NAME, 80)) for _ in range(4)]

    assert found == [["192.0.2.1"], ["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2"]]


async def test_last_good_answer_serves_while_the_resolver_hangs(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "RESOLVER_PATIENCE", 0.02)
    resolver.script([("192.0.2.1", 80)], [("192.0.2.2", 80)])
    known = addresses(ttl=LONG_AGO)
    await known.resolve(NAME, 80)
    resolver.hangs = threading.Event()

    found = [hosts(await known.resolve(NAME, 80)) for _ in range(3)]

    assert found == [["192.0.2.1"]] * 3
    assert len(resolver.asked) == 2, "the one that hangs is asked once"


async def test_name_that_was_never_known_is_an_error_with_the_resolvers_words(resolver: Resolver) -> None:
    resolver.script(unknown())

    with pytest.raises(UpstreamDnsFailed, match=r"^cannot resolve backend\.test: Name or service not known$") as caught:
        await addresses().resolve(NAME, 80)

    assert isinstance(caught.value.__cause__, socket.gaierror)


async def test_failure_is_not_remembered(resolver: Resolver) -> None:
    resolver.script(unknown(), [("192.0.2.1", 80)])
    known = addresses()
    with pytest.raises(UpstreamDnsFailed):
        await known.resolve(NAME, 80)

    assert hosts(await known.resolve(NAME, 80)) == ["192.0.2.1"]


async def test_name_that_is_none_is_an_error_of_the_name() -> None:
    with pytest.raises(UpstreamDnsFailed, match="cannot resolve"):
        await addresses().resolve("a" * 64 + ".test", 80)


async def test_many_who_wait_for_a_name_ask_once(resolver: Resolver) -> None:
    """The threads that ask are few: a thousand requests at once would wait for each other."""
    resolver.script([("192.0.2.1", 80)])
    known = addresses()

    found = await asyncio.gather(*(known.resolve(NAME, 80) for _ in range(100)))

    assert {tuple(hosts(each)) for each in found} == {("192.0.2.1",)}
    assert len(resolver.asked) == 1


async def test_one_who_leaves_takes_the_answer_from_nobody(resolver: Resolver, tasks: Tasks) -> None:
    resolver.script([("192.0.2.1", 80)])
    resolver.hangs = threading.Event()
    known = addresses()
    leaver, stayer = (tasks.spawn(known.resolve(NAME, 80), name="resolve") for _ in range(2))
    await asyncio.sleep(0)

    leaver.cancel()
    resolver.hangs.set()

    assert hosts(await stayer) == ["192.0.2.1"]
    assert leaver.cancelled()


# Connections.


@asynccontextmanager
async def dialed(by: Dialer, timeout: float = WITHIN) -> AsyncIterator[UpstreamConnection]:
    """Lend what *by* connects."""
    loop = asyncio.get_running_loop()
    made = await by.dial(lambda: UpstreamConnection(loop, lambda _: None), timeout)
    try:
        yield made
    finally:
        made.abort()
        await until_lost(made)


async def fails(by: Dialer, timeout: float = WITHIN) -> None:
    """Dial, and fail the test where that succeeds."""
    async with dialed(by, timeout):
        pass


async def test_connection_carries_an_exchange(upstream: Upstream) -> None:
    upstream.script(verbatim(TWO, Hang()))

    async with dialed(dialer(upstream.port)) as connection:
        assert (await connection.send(GET, b"")).status == 200


async def test_socket_sends_at_once_and_notices_a_peer_that_vanished(upstream: Upstream) -> None:
    async with dialed(dialer(upstream.port)) as connection:
        assert connection.transport is not None
        sock = connection.transport.get_extra_info("socket")
        options = [
            sock.getsockopt(level, option)
            for level, option in (
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            )
        ]

    assert options == [1, 1, 30, 10, 3]


async def test_refused_connection_says_so() -> None:
    with (
        closed_port() as port,
        pytest.raises(UpstreamConnectFailed, match=f"^cannot connect to {HOST}:{port}: Connection refused$"),
    ):
        await fails(dialer(port))


async def test_reset_at_the_first_moment_is_a_connection_or_none() -> None:
    """Whichever is seen first: never an error that is not ours, nor a connection that hangs."""
    with socket.create_server((HOST, 0)) as server:
        listening = threading.Thread(target=reset_all, args=(server, 40))
        listening.start()
        for _ in range(40):
            with contextlib.suppress(UpstreamConnectFailed):
                async with dialed(dialer(server.getsockname()[1])) as connection:
                    with pytest.raises(UpstreamError):
                        await connection.send(GET, b"")
        listening.join()


def reset_all(server: socket.socket, count: int) -> None:
    """Accept so many connections, and reset each at once."""
    for _ in range(count):
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()


async def test_dial_that_is_never_answered_ends_in_time() -> None:
    with silent_port() as port:
        began = time.monotonic()

        with pytest.raises(UpstreamConnectFailed, match=f"^cannot connect to {HOST}:{port}: no answer within 0.2s$"):
            await fails(dialer(port), timeout=0.2)

        assert 0.15 < time.monotonic() - began < 0.5


async def test_resolver_that_never_answers_ends_in_time(resolver: Resolver) -> None:
    resolver.script([("192.0.2.1", 80)])
    resolver.hangs = threading.Event()

    with pytest.raises(UpstreamDnsFailed, match=r"^cannot resolve backend\.test: no answer within 0.1s$"):
        await fails(dialer(80, host=NAME), timeout=0.1)


async def test_unknown_name_is_not_dialed(resolver: Resolver) -> None:
    resolver.script(unknown())

    with pytest.raises(UpstreamDnsFailed):
        await fails(dialer(80, host=NAME))


async def test_second_address_is_tried_when_the_first_refuses(upstream: Upstream, resolver: Resolver) -> None:
    with closed_port() as port:
        resolver.script([(HOST, port), (HOST, upstream.port)])

        async with dialed(dialer(80, host=NAME)):
            await upstream.connected()


async def test_second_address_is_tried_beside_a_first_that_does_not_answer(upstream: Upstream, resolver: Resolver) -> None:
    with silent_port() as port:
        resolver.script([(HOST, port), (HOST, upstream.port)])
        began = time.monotonic()

        async with dialed(dialer(80, host=NAME)):
            await upstream.connected()

        assert time.monotonic() - began < dial.HEAD_START + 0.5


async def test_addresses_of_the_other_family_are_tried(upstream: Upstream, resolver: Resolver) -> None:
    resolver.script([("::1", 1), ("::1", 1), (HOST, upstream.port)])

    async with dialed(dialer(80, host=NAME)):
        await upstream.connected()


async def test_all_addresses_failing_are_one_failure(resolver: Resolver) -> None:
    with closed_port() as one, closed_port() as other:
        resolver.script([(HOST, one), (HOST, other)])

        with pytest.raises(UpstreamConnectFailed, match=r"^cannot connect to backend\.test:80: Connection refused$"):
            await fails(dialer(80, host=NAME))


# TLS.


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificate_is_checked_against_the_name_that_was_configured(authority: Authority, host: str) -> None:
    async with Upstream(tls=authority.server_context()) as upstream:
        upstream.script(verbatim(TWO, Hang()))

        async with dialed(dialer(upstream.port, host=host, tls=authority.client_context())) as connection:
            assert (await connection.send(GET, b"")).status == 200


async def test_server_is_told_the_name_and_the_protocol(authority: Authority) -> None:
    names: list[str | None] = []
    server, client = authority.server_context(), authority.client_context()
    server.sni_callback = lambda _, name, __: names.append(name)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1"])
    async with Upstream(tls=server) as upstream, dialed(dialer(upstream.port, host="localhost", tls=client)) as connection:
        assert connection.transport is not None
        assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"

    assert names == ["localhost"]


@pytest.mark.parametrize(
    ("names", "expired", "words"),
    [
        (["example.org"], False, "IP address mismatch"),
        ([HOST], True, "certificate has expired"),
    ],
    ids=["name", "time"],
)
async def test_certificate_that_is_not_good_is_refused_and_says_why(
    authority: Authority, names: list[str], expired: bool, words: str
) -> None:
    async with Upstream(tls=authority.server_context(names, expired=expired)) as upstream:
        with pytest.raises(UpstreamTlsFailed, match=f"^TLS with {HOST}: {words}") as caught:
            await fails(dialer(upstream.port, tls=authority.client_context()))

        assert isinstance(caught.value.__cause__, ssl.SSLError)
        assert upstream.requests == []


async def test_certificate_of_a_stranger_is_refused(authority: Authority) -> None:
    async with Upstream(tls=authority.server_context()) as upstream:
        with pytest.raises(UpstreamTlsFailed, match="unable to get local issuer certificate"):
            await fails(dialer(upstream.port, tls=ssl.create_default_context()))


async def test_server_without_tls_is_refused(authority: Authority) -> None:
    async with Upstream() as upstream:
        upstream.always(verbatim(Hang()))
        listener = await asyncio.get_running_loop().create_server(Greeter, HOST, 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]

            with pytest.raises(UpstreamTlsFailed, match=f"TLS with {HOST}: "):
                await fails(dialer(port, tls=authority.client_context()))


class Greeter(asyncio.Protocol):
    """A server of another protocol, which speaks first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"220 mail.test ESMTP\r\n")  # type: ignore[attr-defined]
        transport.close()


async def test_handshake_that_never_ends_ends_in_time(authority: Authority) -> None:
    async with Upstream(reads=False) as upstream:
        with pytest.raises(UpstreamConnectFailed, match=f"^no TLS handshake with {HOST} within 0.2s$"):
            await fails(dialer(upstream.port, tls=authority.client_context()), timeout=0.2)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_handshake_that_breaks_off_is_a_failed_connection(authority: Authority, reset: bool) -> None:
    """Unlike a bad certificate it may be better next time."""
    async with Upstream(reads=False) as upstream:
        dialing = asyncio.get_running_loop().create_task(fails(dialer(upstream.port, tls=authority.client_context())))
        peer = await upstream.connected()
        peer.reset() if reset else peer.fin()

        with pytest.raises(UpstreamConnectFailed, match=f"^the TLS handshake with {HOST} broke off: "):
            await dialing


# The way out.


async def test_tls_goes_through_a_tunnel(authority: Authority) -> None:
    async with Upstream(tls=authority.server_context()) as upstream, WayOut() as way_out:
        upstream.script(verbatim(TWO, Hang()))

        async with dialed(dialer(upstream.port, tls=authority.client_context(), way=way_out.url())) as connection:
            assert (await connection.send(GET, b"")).status == 200

        assert way_out.heads[0].start == b"CONNECT %b:%d HTTP/1.1" % (HOST.encode(), upstream.port)
        assert way_out.heads[0].header("host") == f"{HOST}:{upstream.port}"
        assert way_out.heads[0].header("proxy-authorization") is None
        await way_out.all_closed()


async def test_tunnel_is_asked_for_with_the_password(authority: Authority) -> None:
    async with Upstream(tls=authority.server_context()) as upstream, WayOut(credentials="ada:love lace") as way_out:
        async with dialed(dialer(upstream.port, tls=authority.client_context(), way=way_out.url("ada:love%20lace"))):
            assert way_out.tunnels == 1

        await way_out.all_closed()


async def test_plain_http_takes_the_way_out_without_a_tunnel(upstream: Upstream) -> None:
    async with WayOut() as way_out:
        upstream.script(verbatim(TWO, Hang()))

        async with dialed(dialer(upstream.port, way=way_out.url())) as connection:
            target = f"http://{HOST}:{upstream.port}/".encode()
            assert (await connection.send(b"GET " + target + b" HTTP/1.1\r\n\r\n", b"")).status == 200

        assert (way_out.tunnels, way_out.forwarded) == (0, 1)


@pytest.mark.parametrize(("options", "status"), [({"credentials": "ada:x"}, 407), ({"refuse": 503}, 503)], ids=["407", "503"])
async def test_refused_tunnel_says_with_which_status(authority: Authority, options: dict[str, Any], status: int) -> None:
    async with WayOut(**options) as way_out:
        with pytest.raises(UpstreamConnectFailed, match=f"^the forward proxy refused the tunnel with status {status}$") as caught:
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way_out.url("ada:lovelace")))

    assert "lovelace" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param([Fin()], "closed the connection or sent no HTTP", id="fin"),
        pytest.param([Rst()], "failed: Connection reset by peer", id="rst"),
        pytest.param([b"HTTP/1.1 200", Close()], "closed the connection or sent no HTTP", id="in the head"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n\r\n", Hang()], "status 0", id="not HTTP"),
        pytest.param([b"HTTP/1.1 OK\r\n\r\n", Hang()], "status 0", id="no status"),
        pytest.param([b"ICAP/1.0 200 OK\r\n\r\n", Hang()], "status 0", id="another protocol"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\nhello", Hang()], "bytes that nobody asked for", id="more than asked for"),
        pytest.param([b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello", Hang()], "status 407", id="a refusal in words"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 20000, Hang()], "closed the connection or sent no HTTP", id="too long"
        ),
    ],
)
async def test_forward_proxy_that_speaks_no_http_is_a_failed_connection(
    authority: Authority, told: list[Any], words: str
) -> None:
    async with Upstream() as way_out:
        way_out.script(verbatim(*told))
        way = f"http://{HOST}:{way_out.port}"

        with pytest.raises(UpstreamConnectFailed, match=words):
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way))


async def test_any_success_in_any_pieces_grants_the_tunnel(authority: Authority) -> None:
    """RFC 9110 9.3.6."""
    async with Upstream() as way_out:
        way_out.script(verbatim(Drip(b"HTTP/1.0 204 Fine\r\nVia: 1.0 x\r\n\r\n"), Rst()))
        way = f"http://{HOST}:{way_out.port}"

        with pytest.raises(UpstreamConnectFailed, match="TLS handshake"):
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way))


async def test_reset_at_the_first_moment_closes_nobody_elses_descriptor(authority: Authority) -> None:
    """uvloop has closed it by then; closed once more with its socket, the number may be somebody else's."""
    async with Upstream() as way_out:
        way_out.script(verbatim(b"HTTP/1.1 200 OK\r\n\r\n", Rst()))
        way = f"http://{HOST}:{way_out.port}"

        with pytest.raises(UpstreamConnectFailed) as caught:
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way))
        others = [os.open(os.devnull, os.O_RDONLY) for _ in range(16)]
        del caught
        gc.collect()

        for descriptor in others:
            os.close(descriptor)


async def test_forward_proxy_that_never_answers_ends_in_time(authority: Authority) -> None:
    async with Upstream() as way_out:
        way_out.script(verbatim(Hang()))
        way = f"http://{HOST}:{way_out.port}"

        with pytest.raises(UpstreamConnectFailed, match=r"^no tunnel from the forward proxy within 0.2s$"):
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way), timeout=0.2)


async def test_forward_proxy_that_is_not_there_is_named(authority: Authority) -> None:
    with closed_port() as port:
        way = f"http://ada:x@{HOST}:{port}"

        with pytest.raises(UpstreamConnectFailed, match=f"^cannot connect to {HOST}:{port}: Connection refused$"):
            await fails(dialer(443, host=NAME, tls=authority.client_context(), way=way))


async def test_ipv6_target_of_a_tunnel_stands_in_brackets(authority: Authority) -> None:
    async with WayOut(refuse=403) as way_out:
        with pytest.raises(UpstreamConnectFailed):
            await fails(dialer(443, host="::1", tls=authority.client_context(), way=way_out.url()))

        assert way_out.heads[0].start == b"CONNECT [::1]:443 HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "value"),
    [
        ("http://proxy:1", ""),
        ("http://ada:lovelace@proxy:1", "Basic YWRhOmxvdmVsYWNl"),
        ("http://ada@proxy:1", "Basic YWRhOg=="),
        ("http://%C3%A4:%3A@proxy:1", "Basic w6Q6Og=="),
    ],
)
def test_password_of_the_way_out_is_basic(url: str, value: str) -> None:
    assert dial.proxy_authorization(ForwardProxy.parse(url)) == value


@contextmanager
def no_more_than(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def test_steps_share_one_deadline(authority: Authority, resolver: Resolver) -> None:
    """Each step alone would be in time."""
    async with Upstream(reads=False) as upstream:
        with silent_port() as silent:
            resolver.script([(HOST, silent), (HOST, upstream.port)])

            with no_more_than(0.7), pytest.raises(UpstreamConnectFailed, match="no TLS handshake"):
                await fails(dialer(443, host=NAME, tls=authority.client_context()), timeout=0.4)
