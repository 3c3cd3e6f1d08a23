"""A client that does not keep up: its upstream waits, memory stays bounded, and one that reads nothing is let go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.downstream.connection import WRITE_HIGH
from proxy.settings import Settings
from proxy.tasks import Tasks
from tests.support.answers import (
    FINISH,
    KEEPALIVE,
    TOKEN,
    ask,
    at_rest,
    delta,
    intervals_pass,
    only_record,
    quick,
    send,
    streams,
    until,
)
from tests.support.client import End, RawClient
from tests.support.house import BEARER, House, open_house
from tests.support.loops import both_loops
from tests.support.steps import Step
from tests.support.upstream import DONE, Gate, How, Reply, Upstream, answer, stream

pytestmark = both_loops

BOUND = 0.1  # seconds from the client's FIN or RST to the end of the upstream's connection
BIG = delta(content="x" * 32_000)
READ = 256 * 1024  # bytes that an event loop takes from a socket at a time
MANY = 400  # big events: more than all the kernel's buffers on the way can take


def flood(count: int = 1 << 30) -> Iterator[Step]:
    """Yield a token and then *count* big events, as fast as they are taken."""
    yield TOKEN
    for _ in range(count):
        yield BIG
    yield FINISH
    yield DONE


def until_not_taken(house: House) -> Iterator[Step]:
    """Yield events until the proxy waits for its client, and then nothing before the gate `rest`."""
    yield TOKEN
    yield Gate("paused")
    while all(stream.downstream.pending <= WRITE_HIGH for stream in streams(house)):
        yield BIG
    yield Gate("rest")
    yield FINISH
    yield DONE


def flooding(count: int = 1 << 30) -> Reply:
    """Answer with a flood."""
    return Reply(headers=[("Content-Type", "text/event-stream")], body=flood(count))


async def test_a_slow_reader_pauses_the_upstream_and_gets_everything_in_the_end() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, slow(house) as client:
        upstream.script(flooding(MANY))

        response = await ask(client)
        await response.read_until(TOKEN)
        client.pause()
        sent = await stuck(upstream)
        held = max(stream.downstream.pending for stream in streams(house))
        client.resume()
        body = await response.read()
        await nothing_lingers(house)

        assert sent < len(BIG) * MANY
        assert held <= WRITE_HIGH + READ + 1024, "the high-water mark, and one read beyond it"
        assert body.replace(KEEPALIVE, b"") == TOKEN + BIG * MANY + FINISH + DONE
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert record["outcome"] == "completed"
        assert record["backpressure_ms"] > 0
        assert await house.metric("llm_proxy_client_backpressure_seconds_total", route="chat") > 0


async def test_a_client_that_does_not_read_its_answers_is_not_asked_what_it_wants_next() -> None:
    """Or it could fill our memory with one finished answer after the other, all on one connection."""
    text = b'{"a": "' + b"x" * 200_000 + b'"}'
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, slow(house) as client:
        upstream.always(answer(text))
        client.pause()

        for _ in range(12):
            await send(client, stream=False)
        served = await at_rest(lambda: len(upstream.requests))
        client.resume()
        bodies = [await (await client.response()).read() for _ in range(12)]

        assert served < 6, "a few are in the kernel, and one in memory"
        assert bodies == [text] * 12
        await nothing_lingers(house)


async def test_while_the_client_does_not_read_the_clocks_of_the_upstream_stand_still() -> None:
    """Also for an upstream that has sent all it had: once the client reads again, the whole time is left to say more."""
    streaming = {"idle_timeout": "600ms", "content_timeout": "600ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, slow(house) as client:
        upstream.script(Reply(headers=[("Content-Type", "text/event-stream")], body=until_not_taken(house)))

        response = await ask(client)
        await response.read_until(TOKEN)
        client.pause()
        upstream.open("paused")
        await upstream.reached("rest")
        await intervals_pass(house, upstream, count=18)
        client.resume()
        await until(lambda: not any(stream.downstream.pending for stream in streams(house)))
        await intervals_pass(house, upstream, count=1)
        upstream.open("rest")
        await response.read()
        await nothing_lingers(house)

        assert response.end is End.CLEAN
        assert {record["outcome"] for record in await house.records(3)} == {"completed"}


async def test_a_client_that_does_not_read_gets_no_keepalives() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, slow(house) as client:
        upstream.script(stream(TOKEN, Gate("big"), *[BIG] * 100, Gate("end"), DONE))

        response = await ask(client)
        await response.read_until(TOKEN)
        client.pause()
        upstream.open("big")
        await until(lambda: any(stream.downstream.pending for stream in streams(house)))
        (waiting,) = [stream.exchange for stream in streams(house) if stream.downstream.pending]
        before = waiting.keepalives_after
        await intervals_pass(house, upstream)

        assert waiting.keepalives_after == before
        client.resume()
        upstream.open("end")
        assert (await response.read()).replace(KEEPALIVE, b"") == TOKEN + BIG * 100 + DONE
        await nothing_lingers(house)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_client_that_reads_nothing_for_write_stall_is_aborted(version: str) -> None:
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, limits={"write_stall": "300ms"})) as house,
        slow(house) as client,
    ):
        upstream.script(flooding())

        response = await ask(client, version=version)
        await response.read_until(TOKEN)
        client.pause()
        await stuck(upstream)
        since = time.monotonic()
        closed = await upstream.closed()

        assert closed.at - since < 1
        record = await only_record(house)
        assert (record["outcome"], record["code"]) == ("client_stalled", "client_stalled")
        client.resume()
        await response.read()
        assert response.end in (End.ABORTED, End.RESET)


async def test_a_client_that_reads_slowly_is_not_aborted() -> None:
    configured = {"write_stall": "500ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, limits=configured)) as house, house.client() as client:
        upstream.script(flooding())

        response = await ask(client)
        await response.read_until(TOKEN)
        client.pause()
        await stuck(upstream)
        deadline = time.monotonic() + 1.2
        while time.monotonic() < deadline:
            enough = client.wire.received + READ
            client.resume()
            while client.wire.received < enough:
                await response.more()
            client.pause()
            await asyncio.sleep(0.05)

        assert upstream.connections[0].closed is None
        await client.close()
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_a_whole_answer_that_nobody_takes_is_dropped_at_write_stall() -> None:
    """Also behind the end of its exchange: what waits in our memory must not wait for ever."""
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, limits={"write_stall": "300ms"})) as house,
        slow(house) as client,
    ):
        upstream.script(answer(b'{"a": "' + b"x" * 6_000_000 + b'"}'))
        client.pause()

        await send(client, stream=False)
        closed = await client.closed()

        assert closed.how is not How.LOCAL
        await only_record(house)


@pytest.mark.parametrize("leave", [RawClient.half_close, RawClient.reset], ids=["half-closed", "reset"])
async def test_p16_a_client_that_leaves_without_reading_is_gone_at_once(leave: Callable[[RawClient], None]) -> None:
    """A FIN behind which bytes still wait for the client: closing in good order would wait for it to read them."""
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, slow(house) as client:
        upstream.script(flooding())

        response = await ask(client)
        await response.read_until(TOKEN)
        client.pause()
        await stuck(upstream)
        left = time.monotonic()
        leave(client)
        await house.server.lifecycle.idle()
        took = time.monotonic() - left

        assert took < BOUND
        assert (await upstream.closed()).how is not How.LOCAL
        assert (await only_record(house))["outcome"] == "client_gone"


async def test_an_upload_waits_for_an_upstream_that_does_not_read() -> None:
    body = bytes(32 << 20)
    async with Upstream(reads=False) as upstream, open_house(uploading(upstream.url)) as house, house.client() as client:
        upstream.script(answer({"id": "file-1"}))

        sending = Tasks().spawn(client.send_request("POST", "/upstream/a/v1/files", BEARER, body), name="upload")
        await upstream.connected()
        await until(lambda: client.wire.congested)
        await at_rest(client.wire.transport.get_write_buffer_size)
        assert not sending.done(), "somebody on the way has taken all of it"
        upstream.read()
        response = await client.response()

        assert response.status == 200
        assert (await upstream.request()).body == body
        await sending


def uploading(url: str) -> Settings:
    """Return settings under which a file is passed on while it comes."""
    return quick(url, upstreams={"a": {"passthrough": ["/v1/files"]}}, retry={"max_body": "16KiB"}, limits={"body": "1GiB"})


def slow(house: House) -> RawClient:
    """Return a client whose kernel takes little for it."""
    return house.client(receive_buffer=8192)


async def stuck(upstream: Upstream) -> int:
    """Wait until the upstream cannot send any more because it is not read; return how much it has sent."""
    connection = await upstream.connected()
    await until(lambda: connection.congested)
    return await at_rest(lambda: connection.sent_bytes)


async def nothing_lingers(house: House) -> None:
    """Wait until the watch over what a client had not taken yet when its answer was complete has ended, at a next tick."""
    await until(lambda: not len(house.server.ticker))
