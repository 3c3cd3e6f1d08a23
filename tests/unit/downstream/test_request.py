from __future__ import annotations

import pytest

from tests.unit.downstream.listening import GET, listening


async def test_request_is_what_stood_on_the_wire() -> None:
    async with listening() as listener:
        client = await listener.connect()
        await client.send(b"POST /v1/%7e?a=%E9 HTTP/1.1\r\nhost: p\r\nX-Two: \xff\r\nContent-Length: 2\r\n\r\nhi")
        [request] = listener.requests

        assert (request.method, request.version, request.connection) == ("POST", (1, 1), client.connection)
        assert request.target == b"/v1/%7e?a=%E9"
        assert request.raw_headers == ((b"host", b"p"), (b"X-Two", b"\xff"), (b"Content-Length", b"2"))
        assert (request.header(b"host"), request.header(b"x-three")) == ("p", None)
        assert (request.has_body, await request.content.readany()) == (True, b"hi")
        assert repr(request) == "<Request POST begun=False>", "a target may hold a credential"


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (GET, True),
        (b"GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_client_says_whether_it_wants_the_connection_kept(head: bytes, kept: bool) -> None:
    async with listening() as listener:
        await (await listener.connect()).send(head)

        assert listener.requests[0].keep_alive is kept


@pytest.mark.parametrize(
    ("rest", "has_body"),
    [(b"\r\n", False), (b"Content-Length: 0\r\n\r\n", False), (b"Transfer-Encoding: chunked\r\n\r\n", True)],
    ids=["nothing said", "none", "chunks to come"],
)
async def test_request_without_a_body_is_told_from_one_whose_body_is_on_its_way(rest: bytes, has_body: bool) -> None:
    async with listening() as listener:
        await (await listener.connect()).send(b"POST / HTTP/1.1\r\nHost: p\r\n" + rest)

        assert listener.requests[0].has_body is has_body
