"""`POST /auth/tickets`: who asks gets a ticket for one path, or is told which field is wrong."""

from __future__ import annotations

import orjson
import pytest

from proxy.auth import RequestHead
from proxy.errors import BadRequest
from proxy.handler import tickets
from tests.support.house import KEY
from tests.unit.handler.calling import Asked, asked, principal


def post(body: bytes) -> bytes:
    head = b"POST /auth/tickets HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
    return head % (KEY.encode(), len(body)) + body


async def issue(it: Asked) -> None:
    it.call.principal = principal()
    await tickets.issue(it.call)


async def test_a_caller_gets_a_ticket_for_a_path() -> None:
    async with asked(post(b'{"method": "GET", "path": "/v1/models/a%2Fb"}')) as it:
        await issue(it)

        told = orjson.loads(it.body)
        assert it.head[0].startswith(b"HTTP/1.1 200 ")
        assert b"Cache-Control: no-store" in it.head
        assert told == {"ticket": told["ticket"], "expires_in": 30}
        request = RequestHead({}, path=b"/v1/models/a%2Fb", query=b"ticket=" + told["ticket"].encode())
        assert (await it.call.runtime.authenticator.identify(request, it.call.exchange.wall)).subject == "tester"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"path": "/test/stream"}', "method"),
        (b'{"method": "POST", "path": "/v1/chat/completions"}', "method"),
        (b'{"method": "get", "path": "/test/stream"}', "method"),
        (b'{"method": ["GET"], "path": "/test/stream"}', "method"),
        (b'{"method": "GET"}', "path"),
        (b'{"method": "GET", "path": 7}', "path"),
        (b'{"method": "GET", "path": "/nothing"}', "path"),
        (b'{"method": "GET", "path": "/v1/chat/completions"}', "path"),
        (b'{"method": "GET", "path": "/auth/tickets"}', "path"),
        (b'{"method": "GET", "path": "/test/stream?count=1"}', "path"),
        (b'{"method": "GET", "path": "/test/../test/stream"}', "path"),
        (b'{"method": "GET", "path": "https://p/test/stream"}', "path"),
        ('{"method": "GET", "path": "/upstream/a/\u00e9"}'.encode(), "path"),
        (b'{"method": "GET", "path": "/v1/models/%b"}' % (b"a" * 2048), "path"),
        (b"[]", None),
        (b"", None),
    ],
)
async def test_what_is_wrong_with_the_wish_is_named(body: bytes, field: str | None) -> None:
    async with asked(post(body)) as it:
        with pytest.raises(BadRequest) as caught:
            await issue(it)

        assert caught.value.param == field
