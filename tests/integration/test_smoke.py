"""The thinnest true line: a real client, the proxy through `server.py`, a scripted upstream."""

from __future__ import annotations

from tests.support.client import End
from tests.support.house import BEARER, CHAT, chat, open_house, settings
from tests.support.upstream import DONE, Send, Upstream, stream

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'


async def test_a_stream_arrives_byte_for_byte_and_ends_in_good_order() -> None:
    async with Upstream() as upstream, open_house(settings(upstream.url)) as house, house.client() as client:
        upstream.script(stream(Send(CHUNK), Send(CHUNK), Send(DONE)))

        response = await client.request("POST", CHAT, headers=BEARER, body=chat())
        body = await response.read()

        assert response.status == 200
        assert body == CHUNK + CHUNK + DONE
        assert response.end is End.CLEAN
        assert (await house.records())[0]["outcome"] == "completed"
        assert (await upstream.request()).header("authorization") == "Bearer sk-upstream-a"
