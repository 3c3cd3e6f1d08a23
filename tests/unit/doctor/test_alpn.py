"""Which HTTP a server offers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.doctor import alpn
from proxy.doctor.alpn import offers_h2
from tests.support.certificates import Authority
from tests.support.components import HOST
from tests.unit.doctor.serving import serving


@pytest.mark.parametrize(("spoken", "offered"), [(["h2", "http/1.1"], True), (["http/1.1"], False), ([], False)])
async def test_server_says_whether_it_speaks_http_2(tmp_path: Path, spoken: list[str], offered: bool) -> None:
    authority = Authority(tmp_path)
    context = authority.server_context()
    context.set_alpn_protocols(spoken)

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, HOST, 0, ssl=context)
    async with server:
        found = await offers_h2(f"https://{HOST}:{server.sockets[0].getsockname()[1]}/x", authority.client_context())

    assert found is offered


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_server_that_has_no_tls_or_no_answer_says_nothing(tmp_path: Path, url: str) -> None:
    assert await offers_h2(url, Authority(tmp_path).client_context()) is None


async def test_server_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpn, "WITHIN", 0.1)

    async with serving(stay=True) as server, asyncio.timeout(10):
        assert await offers_h2(server.url.replace("http:", "https:"), Authority(tmp_path).client_context()) is None
