"""The forward proxy tunnels, forwards, asks for its password, and lets nobody through without."""

from __future__ import annotations

import pytest

from tests.support.client import End, RawClient
from tests.support.upstream import ForwardProxy, Hang, How, Rst, Upstream, answer, closed_port, stream

HOST = "127.0.0.1"
ADA = ("Proxy-Authorization", "Basic YWRhOmxvdmVsYWNl")  # ada:lovelace


async def test_tunnel_carries_bytes_both_ways_and_ends_with_the_client() -> None:
    async with Upstream() as upstream, ForwardProxy() as way_out, RawClient(HOST, way_out.port) as client:
        upstream.script(answer("through"))

        granted = await client.request("CONNECT", f"{HOST}:{upstream.port}")
        response = await client.request("GET", "/inside")
        body = await response.read()
        await client.close()

        assert (granted.status, body) == (200, b'"through"')
        assert (way_out.tunnels, way_out.forwarded, upstream.requests[0].target) == (1, 0, b"/inside")
        assert (await upstream.closed()).how is How.FIN
        await way_out.all_closed()


async def test_reset_goes_through_a_tunnel_as_a_reset() -> None:
    async with Upstream() as upstream, ForwardProxy() as way_out, RawClient(HOST, way_out.port) as client:
        upstream.script(stream(b"data: a\n\n", Rst()))

        await client.request("CONNECT", f"{HOST}:{upstream.port}")
        response = await client.request("GET", "/")
        body = await response.read()

        assert (body, response.end) == (b"data: a\n\n", End.RESET)


async def test_absolute_form_is_forwarded_in_origin_form() -> None:
    async with Upstream() as upstream, ForwardProxy() as way_out, RawClient(HOST, way_out.port) as client:
        upstream.script(answer(1), answer(2))
        where = f"http://{HOST}:{upstream.port}"

        first = await client.request("POST", f"{where}/a//b?c=%2F", [ADA], b"body")
        await first.read()
        second = await client.request("GET", where)
        await second.read()

        assert [first.body, second.body] == [b"1", b"2"]
        assert [(request.target, request.body) for request in upstream.requests] == [(b"/a//b?c=%2F", b"body"), (b"/", b"")]
        assert upstream.requests[0].header("proxy-authorization") is None
        assert (way_out.tunnels, way_out.forwarded, len(way_out.heads)) == (0, 2, 2)


async def test_client_that_leaves_a_forwarded_request_ends_it() -> None:
    async with Upstream() as upstream, ForwardProxy() as way_out, RawClient(HOST, way_out.port) as client:
        upstream.script(stream(b"data: a\n\n", Hang()))
        response = await client.request("GET", f"http://{HOST}:{upstream.port}/")
        await response.read_until(b"a")

        await client.close()

        assert (await upstream.closed()).how is How.FIN


@pytest.mark.parametrize(("headers", "status"), [([ADA], 200), ([], 407), ([("Proxy-Authorization", "Basic eA==")], 407)])
async def test_password_is_asked_for(headers: list[tuple[str, str]], status: int) -> None:
    async with (
        Upstream() as upstream,
        ForwardProxy(credentials="ada:lovelace") as way_out,
        RawClient(HOST, way_out.port) as client,
    ):
        response = await client.request("CONNECT", f"{HOST}:{upstream.port}", headers)

        assert response.status == status
        assert way_out.tunnels == (status == 200)


async def test_tunnel_can_be_refused() -> None:
    async with ForwardProxy(refuse=503) as way_out, RawClient(HOST, way_out.port) as client:
        response = await client.request("CONNECT", "example.org:443")

        assert response.status == 503
        assert way_out.tunnels == 0


async def test_unreachable_target_is_a_502() -> None:
    with closed_port() as port:
        async with ForwardProxy() as way_out, RawClient(HOST, way_out.port) as client:
            response = await client.request("CONNECT", f"{HOST}:{port}")

            assert response.status == 502
            assert way_out.tunnels == 0


async def test_url_holds_the_credentials() -> None:
    async with ForwardProxy() as way_out:
        assert way_out.url() == f"http://127.0.0.1:{way_out.port}"
        assert way_out.url("a:b") == f"http://a:b@127.0.0.1:{way_out.port}"
