"""The doctor's client, and its sentences."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from proxy.doctor.wire import Ask, Unreachable
from tests.support.certificates import Authority
from tests.support.components import free_port
from tests.unit.doctor.serving import HEAD, answering, serving, wire


async def refused(url: str, within: float = 5.0, tls: ssl.SSLContext | None = None) -> str:
    """Return the sentence with which asking *url* fails."""
    async with wire(tls) as it:
        with pytest.raises(Unreachable) as failed:
            async with it.open(Ask(url=url), within=within):
                pass
        return str(failed.value)


async def test_answer_has_what_its_head_says() -> None:
    async with serving(HEAD + b"Via: a\r\nVia: b\r\n\r\nhello") as server, wire() as it:
        async with it.open(Ask(url=server.url), within=5) as answer:
            piece, end = await answer.piece(), await answer.piece()

        assert (answer.status, answer.version, answer.tls) == (200, "1.1", None)
        assert answer.headers["via"] == "a, b"
        assert (piece, end) == (b"hello", b"")
        assert answer.connected_at is not None
        assert 0 <= answer.connected_at <= answer.headers_at <= answer.now


async def test_nothing_is_sent_that_was_not_asked_for() -> None:
    async with serving(HEAD + b"\r\n") as server, wire(Authorization="Bearer k") as it:
        async with it.open(Ask(url=f"{server.url}/a%2Fb?x=%20", headers={"X-A": "1"}), within=5):
            pass

        lines = server.heads[0].split(b"\r\n")
        assert lines[0] == b"GET /a%2Fb?x=%20 HTTP/1.1"
        names = {line.partition(b":")[0] for line in lines[1:] if line}
        assert names - {b"Connection"} == {b"Host", b"Authorization", b"X-A"}


async def test_redirect_is_an_answer_and_is_not_followed() -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as answer:
        assert answer.status == 302


async def test_bytes_are_not_decompressed() -> None:
    async with answering(HEAD + b"Content-Encoding: gzip\r\n\r\nnot gzip") as answer:
        assert await answer.piece() == b"not gzip"


async def test_body_is_read_whole_up_to_a_limit() -> None:
    async with answering(HEAD + b"\r\n" + b"x" * 100) as answer:
        assert await answer.whole(1000) == b"x" * 100
    async with answering(HEAD + b"\r\n" + b"x" * 100, stay=True) as answer, asyncio.timeout(10):
        assert len(await answer.whole(50)) >= 50


async def test_credential_that_a_server_repeats_is_masked() -> None:
    async with wire(Authorization="Bearer k-12345678", Version="1") as it:
        assert it.masked("k-12345678 is no key of version 1") == "*** is no key of version 1"


async def test_tls_has_its_version(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        serving(HEAD + b"Content-Length: 9\r\n\r\n", stay=True, tls=authority.server_context()) as server,
        wire(authority.client_context()) as it,
        it.open(Ask(url=server.url), within=5) as answer,
    ):
        assert answer.tls == "TLSv1.3"


async def test_body_that_breaks_off_is_told() -> None:
    async with answering(HEAD + b"Content-Length: 9\r\n\r\nhalf") as answer:
        await answer.piece()

        with pytest.raises(Unreachable, match="in the middle"):
            await answer.piece()


async def test_port_on_which_nothing_listens() -> None:
    assert await refused(f"http://127.0.0.1:{free_port()}") == "nothing listens there (connection refused)"


async def test_name_that_nobody_knows() -> None:
    assert await refused("http://nobody.invalid") == "the name nobody.invalid is not known"


async def test_server_that_does_not_answer() -> None:
    async with serving(stay=True) as server:
        assert await refused(server.url, within=0.05) == "no answer came within 0.05 s"


async def test_server_that_closes_without_an_answer() -> None:
    async with serving() as server:
        assert await refused(server.url) == "the connection was closed without an answer"
        assert len(server.heads) == 1  # it is not asked again


async def test_server_that_speaks_something_else() -> None:
    async with serving(b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        assert "does not speak HTTP" in await refused(server.url)


async def test_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    async with serving(HEAD, tls=Authority(tmp_path).server_context()) as server:
        sentence = await refused(server.url)

    assert sentence.startswith("its certificate is not trusted (")
    assert "--cafile" in sentence


async def test_certificate_of_another_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(HEAD, tls=authority.server_context(["other.example"])) as server:
        assert "its certificate is not trusted" in await refused(server.url, tls=authority.client_context())


async def test_port_that_is_not_for_tls() -> None:
    async with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n", first=True) as server:
        assert "TLS cannot be agreed on" in await refused(server.url.replace("http:", "https:"))


async def test_header_that_cannot_be_sent() -> None:
    async with serving(HEAD) as server, wire() as it:
        with pytest.raises(Unreachable, match="cannot be sent"):
            async with it.open(Ask(url=server.url, headers={"X-A": "a\r\nb"}), within=5):
                pass
