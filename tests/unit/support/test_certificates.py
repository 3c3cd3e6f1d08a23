"""The throw-away authority is believed for its names, for its time, and only by those who were told to."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.client import RawClient
from tests.support.upstream import Upstream, answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_certificate_is_good_for_loopback(tmp_path: Path, host: str) -> None:
    authority = Authority(tmp_path)
    async with (
        Upstream(tls=authority.server_context()) as upstream,
        RawClient(host, upstream.port, tls=authority.client_context()) as client,
    ):
        upstream.script(answer({}))

        assert (await client.request("GET", "/")).status == 200


async def test_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "..")
    async with Upstream(tls=Authority(tmp_path).server_context()) as upstream:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with RawClient("127.0.0.1", upstream.port, tls=stranger.client_context()):
                pass


@pytest.mark.parametrize(("names", "expired"), [(["example.org"], False), (["127.0.0.1"], True)])
async def test_certificate_for_other_names_or_times_is_refused(tmp_path: Path, names: list[str], expired: bool) -> None:
    authority = Authority(tmp_path)
    async with Upstream(tls=authority.server_context(names, expired=expired)) as upstream:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with RawClient("127.0.0.1", upstream.port, tls=authority.client_context()):
                pass


def test_files_are_there_for_other_programs(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    one, other = authority.issue(), authority.issue(["example.org"])

    assert b"BEGIN CERTIFICATE" in authority.path.read_bytes()
    assert b"BEGIN CERTIFICATE" in one.chain.read_bytes()
    assert b"BEGIN PRIVATE KEY" in one.key.read_bytes()
    assert one != other
