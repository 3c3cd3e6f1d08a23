"""Two replicas behind Caddy with its shipped configuration, both restarted under live streams: none is lost, none is refused."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from proxy.tasks import Tasks
from tests.e2e.command import Serving, serve
from tests.e2e.shipped import CURRENT, OLD, Caddy, Shipped
from tests.integration.asking import until
from tests.support.answers import KEEPALIVE
from tests.support.client import End, Response, refused
from tests.support.components import HOST, free_port
from tests.support.house import CHAT, chat
from tests.support.upstream import DONE, Gate, Reply, RequestSeen, Upstream, answer, stream

STREAMS = 200
GRACE = 3  # seconds in which Caddy, which looks once a second, sees that a replica is about to leave
PATIENCE = 20.0


def events(number: int, half: int) -> list[bytes]:
    """Half of a stream, unlike that of any other."""
    return [b'data: {"choices":[{"index":0,"delta":{"content":"%d/%d/%d"}}]}\n\n' % (number, half, n) for n in range(20)]


def whole(number: int) -> bytes:
    return b"".join([*events(number, 0), *events(number, 1), DONE])


def script(request: RequestSeen) -> Reply:
    """Answer a stream in two halves, the second when the test says, and anything else at once."""
    asked = json.loads(request.body)
    if not asked["stream"]:
        return answer({"quick": True})
    number = int(asked["messages"][0]["content"])
    return stream(*events(number, 0), Gate("second half"), *events(number, 1), DONE)


class Replica:
    """A place for one proxy after another, each at an address of its own, as orchestrators give them."""

    def __init__(self, folder: Path, upstream: Upstream, stack: AsyncExitStack) -> None:
        self.ports = free_port(), free_port()
        self.served: list[Serving] = []
        self._folder = folder
        self._stack = stack
        self._env = {
            "OPENAI_API_KEY": "sk-upstream",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "LLM_PROXY_LIMITS__STREAMS_PER_SUBJECT": "1000",
            "LLM_PROXY_STREAMING__KEEPALIVE_INTERVAL": "1s",
            "LLM_PROXY_DRAIN__GRACE": f"{GRACE}s",
        }

    async def start(self) -> None:
        port = self.ports[len(self.served)]
        folder = self._folder / str(port)
        folder.mkdir()
        self.served.append(await self._stack.enter_async_context(serve(folder, self._env, port=port)))

    async def restart(self) -> None:
        """Tell the old one to stop, start the new one when that accepts no more, and wait until Caddy uses it."""
        self.served[0].program.signal(signal.SIGTERM)
        await until(self.refuses, "the old one to close its listener", within=PATIENCE)
        await self.start()
        await until(self.is_used, "Caddy to use the new one", within=PATIENCE)

    async def refuses(self) -> bool:
        return await refused(HOST, self.ports[0])

    async def is_used(self) -> bool:
        return '"route":"chat"' in self.served[-1].out


class Asker:
    """Somebody who asks short questions all the time."""

    def __init__(self, front: Shipped) -> None:
        self.statuses: list[int] = []
        self._front = front

    async def ask(self) -> None:
        while True:
            async with self._front.client() as client:
                response = await client.request("POST", CHAT, (), chat(stream=False), within=PATIENCE)
                await response.read()
                self.statuses.append(response.status)
                await asyncio.sleep(0.02)


async def begin(front: Shipped, number: int, stack: AsyncExitStack) -> Response:
    client = await stack.enter_async_context(front.client())
    body = chat(messages=[{"role": "user", "content": str(number)}])
    response = await client.request("POST", CHAT, (), body, within=PATIENCE)
    await response.read_until(events(number, 0)[-1], within=PATIENCE)
    return response


@asynccontextmanager
async def replicas(folder: Path, upstream: Upstream) -> AsyncIterator[tuple[Replica, Replica]]:
    async with AsyncExitStack() as stack:
        pair = Replica(folder, upstream, stack), Replica(folder, upstream, stack)
        await asyncio.gather(*(replica.start() for replica in pair))
        yield pair


@pytest.mark.parametrize(
    "caddy", [pytest.param(each, id=each.name, marks=pytest.mark.component(each.name)) for each in (OLD, CURRENT)]
)
async def test_streams_span_the_restart_of_both_replicas_and_meanwhile_nobody_is_refused(tmp_path: Path, caddy: Caddy) -> None:
    tasks = Tasks()
    async with Upstream() as upstream, replicas(tmp_path, upstream) as pair, AsyncExitStack() as stack:
        upstream.always(script)
        front = await stack.enter_async_context(
            caddy(tmp_path, PROXY=" ".join(f"{HOST}:{port}" for each in pair for port in each.ports))
        )
        streams = await asyncio.gather(*(begin(front, number, stack) for number in range(STREAMS)))
        asker = Asker(front)
        asking = tasks.spawn(asker.ask(), name="asking")

        for replica in pair:
            await replica.restart()
        alive = [replica.served[0].program for replica in pair]
        running = [program._started.returncode is None for program in alive]
        upstream.open("second half")
        bodies = await asyncio.gather(*(response.read(within=PATIENCE) for response in streams))
        codes = [await program.exited(within=PATIENCE) for program in alive]
        assert not asking.done()
        await tasks.close()

        assert running == [True, True]  # the streams did span both
        assert [response.status for response in streams] == [200] * STREAMS
        assert [body.replace(KEEPALIVE, b"") for body in bodies] == [whole(number) for number in range(STREAMS)]
        assert {response.end for response in streams} == {End.CLEAN}
        assert codes == [0, 0]
        assert len(asker.statuses) > 20
        assert set(asker.statuses) == {200}
