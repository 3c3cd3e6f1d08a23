"""The way to the backends through the whole proxy: TLS, forward proxies, names with several addresses, and what fails on it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any, Final

import pytest

from tests.integration.asking import GOOD, WHOLE, ask, attempts, look, until
from tests.support.answers import TOKEN
from tests.support.certificates import Authority
from tests.support.client import End
from tests.support.house import BEARER, CHAT, House, chat, open_house, settings
from tests.support.loops import both_loops
from tests.support.upstream import (
    DONE,
    HOST,
    Fin,
    ForwardProxy,
    Gate,
    Hang,
    Informational,
    Reply,
    Rst,
    Send,
    Upstream,
    answer,
    closed_port,
    silent_port,
    stream,
    verbatim,
)

NAME: Final = "backend.test"
JSON: Final[dict[str, list[int]]] = {"choices": []}
FILES: Final = "/upstream/a/v1/files"
LISTED: Final = {"a": {"passthrough": ["/v1/files"]}}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the proxy trusts, made known as a company makes its own known: in OpenSSL's environment."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def assert_refused(house: House, code: str, status: int = 502) -> dict[str, Any]:
    """Ask, and assert that the client is told of a failed backend and nothing else; return the record."""
    response = await ask(house)
    error = response.json()["error"]
    assert (response.status, error["code"]) == (status, code)
    assert not {HOST, NAME, "certificate"} & set(error["message"].replace(":", " ").split()), "the network is the operator's"
    record = (await house.records())[-1]
    assert {result for _, result in attempts(record)} == {code}
    return record


async def in_use(house: House) -> int:
    """Return how many connections the proxy counts as used."""
    return sum(one["in_use"] for one in json.loads(await house.admin("/upstreams")))


# TLS.


@both_loops
async def test_stream_and_whole_answer_arrive_over_tls_on_one_connection(trusted: Authority) -> None:
    async with Upstream(tls=trusted.server_context()) as upstream, open_house(settings(upstream.url)) as house:
        upstream.script(GOOD, answer(JSON))

        streamed = await ask(house)
        whole = await ask(house, chat(stream=False))

        assert (bytes(streamed.body), streamed.end, whole.json()) == (WHOLE, End.CLEAN, JSON)
        assert len(upstream.connections) == 1


@both_loops
@pytest.mark.parametrize(
    ("names", "expired", "words"),
    [
        (["example.org"], False, "IP address mismatch"),
        ([HOST], True, "certificate has expired"),
    ],
    ids=["another name", "expired"],
)
async def test_bad_certificate_is_a_502_whose_reason_is_in_the_log(
    trusted: Authority, names: list[str], expired: bool, words: str
) -> None:
    async with (
        Upstream(tls=trusted.server_context(names, expired=expired)) as upstream,
        open_house(settings(upstream.url)) as house,
    ):
        record = await assert_refused(house, "upstream_tls_failed")

        assert words in record["detail"]
        assert len(attempts(record)) == 1, "it will not be better in a moment"
        assert upstream.requests == []


async def test_certificate_of_an_unknown_authority_is_a_502(authority: Authority) -> None:
    async with (
        Upstream(tls=authority.server_context()) as upstream,
        open_house(settings(upstream.url)) as house,
    ):
        record = await assert_refused(house, "upstream_tls_failed")

        assert "unable to get local issuer certificate" in record["detail"]


@both_loops
@pytest.mark.parametrize(("step", "outcome"), [(Fin(), "upstream_truncated"), (Rst(), "upstream_reset")], ids=["fin", "rst"])
async def test_fin_and_rst_inside_a_stream_are_told_apart_over_tls(trusted: Authority, step: Fin | Rst, outcome: str) -> None:
    async with Upstream(tls=trusted.server_context()) as upstream, open_house(settings(upstream.url)) as house:
        upstream.script(stream(TOKEN, Gate("on"), step))
        async with house.client() as client:
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read_until(TOKEN)
            upstream.open("on")
            await response.read()

        assert response.end is End.ABORTED
        assert (await house.records())[0]["outcome"] == outcome


@both_loops
@pytest.mark.parametrize(("step", "status"), [(Fin(), 200), (Fin(notify=False), 502)], ids=["close_notify", "bare FIN"])
async def test_answer_without_length_is_whole_only_if_the_peer_said_goodbye(trusted: Authority, step: Fin, status: int) -> None:
    """A bare FIN may come from anybody on the way (RFC 9112 9.8)."""
    half = b'{"choices":[],"note":"there may have been more"}'
    async with Upstream(tls=trusted.server_context()) as upstream:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        upstream.always(verbatim(Send(head + half), step))
        async with open_house(settings(upstream.url, retry={"attempts": 1})) as house:
            response = await ask(house, chat(stream=False))

            told = response.status if response.end is End.CLEAN else 502
            assert told == status


# The way out.


def by(way_out: ForwardProxy, *urls: str, credentials: str | None = None, **changes: Any) -> Any:
    """Return settings with a forward proxy in front of every upstream."""
    ways = {chr(ord("a") + number): {"proxy": way_out.url(credentials)} for number in range(len(urls))}
    return settings(*urls, upstreams=ways, **changes)


@both_loops
@pytest.mark.parametrize("credentials", [None, "ada:love lace"], ids=["without a password", "with a password"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_requests_take_the_configured_way_out(trusted: Authority, secure: bool, credentials: str | None) -> None:
    async with (
        Upstream(tls=trusted.server_context() if secure else None) as upstream,
        ForwardProxy(credentials=credentials) as way_out,
        open_house(by(way_out, upstream.url, credentials=credentials and credentials.replace(" ", "%20"))) as house,
    ):
        upstream.script(GOOD, answer(JSON))

        streamed, whole = await ask(house), await ask(house, chat(stream=False))

        assert (bytes(streamed.body), whole.json()) == (WHOLE, JSON)
        assert (way_out.tunnels, way_out.forwarded) == ((1, 0) if secure else (0, 2))
        seen = upstream.requests[0]
        assert (seen.target, seen.header("host")) == (CHAT.encode(), f"{HOST}:{upstream.port}")
        assert (seen.header("authorization"), seen.header("proxy-authorization")) == ("Bearer sk-upstream-a", None)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_target_takes_the_way_out_byte_for_byte(trusted: Authority, secure: bool) -> None:
    target = "/v1/files/x%2Fy?a=1&a=&b=%2B+c"
    async with Upstream(tls=trusted.server_context() if secure else None) as upstream, ForwardProxy() as way_out:
        upstream.script(answer(JSON))
        ways = {"a": {"proxy": way_out.url(), "passthrough": ["/v1/files"]}}
        async with open_house(settings(upstream.url, upstreams=ways)) as house:
            await look(house, f"/upstream/a{target}")

        assert upstream.requests[0].target == target.encode()
        if not secure:
            assert way_out.heads[0].start == f"GET {upstream.url}{target} HTTP/1.1".encode()


@both_loops
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_way_out_that_wants_another_password_is_our_own_trouble(trusted: Authority, secure: bool) -> None:
    """A 407 passed on would have a client look for its own proxy."""
    async with (
        Upstream(tls=trusted.server_context() if secure else None) as upstream,
        ForwardProxy(credentials="ada:right") as way_out,
        open_house(by(way_out, upstream.url, credentials="ada:wr0ng", retry={"attempts": 1})) as house,
    ):
        record = await assert_refused(house, "upstream_connect_failed")

        assert "407" in record["detail"]
        assert upstream.requests == []
        assert "wr0ng" not in house.log_text()


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_way_out_that_is_not_there_is_a_failed_connection(trusted: Authority, secure: bool) -> None:
    with closed_port() as port:
        async with Upstream(tls=trusted.server_context() if secure else None) as upstream:
            ways = {"a": {"proxy": f"http://{HOST}:{port}"}}
            async with open_house(settings(upstream.url, upstreams=ways, retry={"attempts": 1})) as house:
                record = await assert_refused(house, "upstream_connect_failed")

        assert f"{HOST}:{port}: Connection refused" in record["detail"]


@both_loops
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_client_that_leaves_ends_what_goes_the_way_out(trusted: Authority, secure: bool) -> None:
    async with (
        Upstream(tls=trusted.server_context() if secure else None) as upstream,
        ForwardProxy() as way_out,
        open_house(by(way_out, upstream.url)) as house,
    ):
        upstream.script(stream(TOKEN, Hang()))
        async with house.client() as client:
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read_until(TOKEN)
            left = await client.close()

        assert (await upstream.closed()).at - left < 0.1
        await way_out.all_closed()
        assert await in_use(house) == 0


# Names.


class Names:
    """What the system's resolver says of our own name; every other one is its own business."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[tuple[str, int]] | None = []  # None: the resolver fails
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host: Any, port: Any, *hints: Any, **more: Any) -> list[Any]:
        if host != NAME:
            return self._real(host, port, *hints, **more)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for address in self.addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@both_loops
@pytest.mark.parametrize("lent", [closed_port, silent_port], ids=["refuses", "does not answer"])
async def test_first_address_that_fails_costs_no_attempt(upstream: Upstream, names: Names, lent: Any) -> None:
    upstream.script(GOOD)
    with lent() as port:
        names.addresses = [(HOST, port), (HOST, upstream.port)]
        async with open_house(settings(f"http://{NAME}")) as house:
            response = await ask(house)

            assert bytes(response.body) == WHOLE
            assert attempts((await house.records())[0]) == [("a", "ok")]
            assert upstream.requests[0].header("host") == NAME


async def test_name_that_nobody_knows_is_a_502(names: Names) -> None:
    names.addresses = None
    async with open_house(settings(f"http://{NAME}", retry={"attempts": 1})) as house:
        record = await assert_refused(house, "upstream_dns_failed")

        assert record["detail"] == f"cannot resolve {NAME}: Temporary failure in name resolution"


async def test_resolver_that_fails_later_takes_nobodys_backend_away(
    upstream: Upstream, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.upstream.dial.ADDRESS_TTL", 0.0)
    names.addresses = [(HOST, upstream.port)]
    upstream.script(stream(TOKEN, DONE, headers=[("Connection", "close")]), GOOD)
    async with open_house(settings(f"http://{NAME}")) as house:
        first = await ask(house)
        names.addresses = None
        second = await ask(house)

        assert (bytes(first.body), bytes(second.body)) == (WHOLE, WHOLE)
        assert len(upstream.connections) == 2


async def test_certificate_is_for_the_name_and_not_for_the_address(trusted: Authority, names: Names) -> None:
    async with Upstream(tls=trusted.server_context([NAME])) as upstream:
        names.addresses = [(HOST, upstream.port)]
        upstream.script(GOOD)
        async with open_house(settings(f"https://{NAME}")) as house:
            assert bytes((await ask(house)).body) == WHOLE


# Dials that are never answered.


@both_loops
@pytest.mark.parametrize("secure", [False, True], ids=["connect", "handshake"])
async def test_dial_that_is_never_answered_ends_at_the_connect_timeout(trusted: Authority, secure: bool) -> None:
    async with Upstream(reads=False) as mute:
        with nullcontext(mute.port) if secure else silent_port() as port:
            url = f"{'https' if secure else 'http'}://{HOST}:{port}"
            quick = {"a": {"connect_timeout": "300ms"}}
            async with open_house(settings(url, upstreams=quick, retry={"attempts": 1})) as house:
                began = time.monotonic()

                record = await assert_refused(house, "upstream_connect_failed")

                assert 0.25 < time.monotonic() - began < 1.0
                assert "within 0.3s" in record["detail"]
                assert await in_use(house) == 0


# Answers.


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(headers=[("Content-Type", "application/json")], body=[b'{"choi', b'ces": []}']), id="chunked"),
        pytest.param(
            Reply(headers=[("Content-Type", "application/json")], body=[b'{"choices": []}'], trailers=[("X-Sum", "1")]),
            id="trailers",
        ),
        pytest.param(answer(JSON), id="length"),
        pytest.param(
            Reply(headers=[("Content-Type", "application/json")], body=[b'{"choices": []}'], framing="close"),
            id="close-delimited",
        ),
        pytest.param(
            Reply(
                headers=[("Content-Type", "application/json")],
                body=[b'{"choices": []}'],
                framing="length",
                before=[Informational(100), Informational(103, [("Link", "</a>")])],
            ),
            id="behind interim responses",
        ),
    ],
)
async def test_whole_answer_arrives_whole_however_it_is_framed(upstream: Upstream, reply: Reply) -> None:
    upstream.script(reply)
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, chat(stream=False))

        assert (response.status, response.json(), response.end) == (200, JSON, End.CLEAN)
        assert (response.informational, response.header("x-sum"), response.header("link")) == ([], None, None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", id="too large a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 300 + b"Content-Length: 0\r\n\r\n", id="too many fields"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", id="two framings"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}", id="an unknown coding"),
    ],
)
async def test_head_that_cannot_be_trusted_is_a_502(upstream: Upstream, data: bytes) -> None:
    upstream.script(verbatim(data, Hang()))
    async with open_house(settings(upstream.url, retry={"attempts": 1})) as house:
        await assert_refused(house, "upstream_malformed")

        await upstream.closed()
        assert await in_use(house) == 0


@both_loops
async def test_response_that_nobody_asked_for_is_never_the_next_tenants_answer(upstream: Upstream) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    upstream.script(verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Gate("on"), forged, Hang()), answer(JSON))
    async with open_house(settings(upstream.url)) as house:
        first = await ask(house, chat(stream=False))
        upstream.open("on")
        await upstream.closed()

        second = await ask(house, chat(stream=False))

        assert (bytes(first.body), second.json()) == (b"{}", JSON)


@both_loops
async def test_upstream_may_answer_while_it_reads_an_upload(upstream: Upstream) -> None:
    """Transcribers do: their first words come before the last sound."""
    upstream.script(
        Reply(headers=[("Content-Type", "application/x-ndjson")], body=[b'{"a":1}\n', Gate("on"), b'{"b":2}\n'], early=True)
    )
    body = bytes(40_000)
    async with (
        open_house(settings(upstream.url, upstreams=LISTED, retry={"max_body": "8KiB"})) as house,
        house.client() as client,
    ):
        await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(body)))])
        await client.send(body[:20_000])
        response = await client.response()
        await response.read_until(b'{"a":1}\n')

        await client.send(body[20_000:])
        upstream.open("on")
        await response.read()

        assert (bytes(response.body), response.end) == (b'{"a":1}\n{"b":2}\n', End.CLEAN)
        assert (await upstream.request()).body == body


async def test_connection_that_is_not_used_is_closed(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.pool.IDLE_LIMIT", 0.05)
    upstream.script(GOOD)
    async with open_house(settings(upstream.url)) as house:
        await ask(house)

        await upstream.closed()

        async def none_is_idle() -> bool:
            return '"idle": 0' in await house.admin("/upstreams")

        await until(none_is_idle, "the pool to forget it")


async def test_slots_are_given_back_however_an_exchange_ends(upstream: Upstream) -> None:
    ends = [
        GOOD,
        stream(TOKEN, Rst()),
        stream(TOKEN, Fin()),
        verbatim(Rst()),
        verbatim(Fin()),
        verbatim(b"nonsense\r\n\r\n"),
        answer({}, 400),
    ]
    upstream.script(*ends, GOOD)
    async with open_house(settings(upstream.url, upstreams={"a": {"max_connections": 1}}, retry={"attempts": 1})) as house:
        for _ in ends:
            await ask(house)
        last = await ask(house)

        assert bytes(last.body) == WHOLE
        assert await in_use(house) == 0
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "upload"]
