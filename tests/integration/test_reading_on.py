"""`on_disconnect: drain`: the client has left, and the upstream is read on for a while to learn the usage."""

from __future__ import annotations

from proxy.settings import Settings
from tests.support.answers import FINISH, TOKEN, USAGE, ask, only_record, quick, send, streams, until
from tests.support.house import FAR, open_house
from tests.support.loops import both_loops
from tests.support.upstream import DONE, Fin, Gate, Hang, Upstream, stream, verbatim

pytestmark = both_loops

HALF = b'data: {"choices": [{"del'


async def test_the_usage_is_learned_from_what_comes_after_the_client_has_left() -> None:
    async with Upstream() as upstream, open_house(draining(upstream.url, FAR)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("rest"), TOKEN, FINISH, USAGE, DONE))

        await (await ask(client)).read_until(TOKEN)
        await client.close()
        await until(lambda: any(each.detached for each in streams(house)))
        upstream.open("rest")
        record = await only_record(house)

        assert record["outcome"] == "client_gone"
        assert (record["tokens_in"], record["tokens_out"]) == (3, 5)
        assert await house.metric("llm_proxy_tokens_total", direction="output") == 5


async def test_reading_on_ends_at_its_limit() -> None:
    async with Upstream() as upstream, open_house(draining(upstream.url, "100ms")) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        await (await ask(client)).read_until(TOKEN)
        left = await client.close()
        closed = await upstream.closed()

        assert 0.1 <= closed.at - left < 1
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_reading_on_ends_when_the_upstream_breaks() -> None:
    async with Upstream() as upstream, open_house(draining(upstream.url, FAR)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("rest"), HALF, Fin()))

        await (await ask(client)).read_until(TOKEN)
        await client.close()
        await until(lambda: any(each.detached for each in streams(house)))
        upstream.open("rest")

        assert (await only_record(house))["outcome"] == "client_gone"


async def test_an_answer_that_has_not_begun_is_not_waited_for() -> None:
    async with Upstream() as upstream, open_house(draining(upstream.url, FAR)) as house, house.client() as client:
        upstream.script(verbatim(Gate("here")))

        await send(client)
        await upstream.reached("here")
        left = await client.close()

        assert (await upstream.closed()).at - left < 0.1
        assert (await only_record(house))["outcome"] == "client_gone"


def draining(url: str, limit: str) -> Settings:
    """Return settings under which reading on ends after *limit*."""
    return quick(url, streaming={"on_disconnect": "drain", "drain_limit": limit})
