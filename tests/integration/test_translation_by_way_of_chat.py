"""Two APIs that have no translator between them meet in chat: two translations in a row, and still the client's own words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.integration.test_translation_of_chat import ANTHROPIC, BEDROCK, GEMINI, SOON, Backend, good, served
from tests.support.answers import RESPONSES, only_record
from tests.support.claude import MESSAGES, message
from tests.support.client import End, Response
from tests.support.house import BEARER, House, open_house
from tests.support.upstream import Drip, Fin, Gate, Upstream, answer
from tests.support.whatwg import Event, events


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One API as its clients use it."""

    path: str
    body: Callable[..., bytes]
    last: str  # the event that ends a good answer
    failed: str  # the one that ends a bad one
    name: str

    def __str__(self) -> str:
        return self.name


def response_body(*, stream: bool = True, **more: Any) -> bytes:
    return json.dumps({"model": "gpt-test", "stream": stream, "input": "hi", **more}).encode()


def message_body(**more: Any) -> bytes:
    return message(model="gpt-test", **more)


CLAUDE = Client(name="messages", path=MESSAGES, body=message_body, last="message_stop", failed="error")
CODEX = Client(name="responses", path=RESPONSES, body=response_body, last="response.completed", failed="response.failed")
PAIRS = [(CLAUDE, GEMINI), (CODEX, ANTHROPIC), (CODEX, BEDROCK), (CODEX, GEMINI)]
each_pair = pytest.mark.parametrize(("client", "backend"), PAIRS, ids=[f"{client} {backend}" for client, backend in PAIRS])


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def ask(house: House, client: Client, **more: Any) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as wire:
        response = await wire.request("POST", client.path, BEARER, client.body(**more))
        await response.read()
        return response


def told(body: bytes | bytearray) -> list[dict[str, Any]]:
    """Return the data of each event but keepalives; each has its type for a name."""
    read = [event for event in events(bytes(body)) if isinstance(event, Event) and event.type not in ("ping", "keepalive")]
    data: list[dict[str, Any]] = [json.loads(event.data) for event in read]
    assert [event.type for event in read] == [each["type"] for each in data]
    return data


def words(body: bytes | bytearray) -> str:
    """Return the text of all deltas, without what was thought."""
    deltas = [each["delta"] for each in told(body) if each["type"] in ("content_block_delta", "response.output_text.delta")]
    return "".join(delta if isinstance(delta, str) else delta.get("text", "") for delta in deltas)


@each_pair
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_is_told_in_the_clients_words(upstream: Upstream, client: Client, backend: Backend, size: int) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.said(Drip(b"".join((backend.begun, backend.hi, *backend.ended)), size)))

        response = await ask(house, client)

        assert (response.status, response.end, words(response.body)) == (200, End.CLEAN, "Hi")
        assert told(response.body)[-1]["type"] == client.last
        assert (await upstream.request()).target == backend.streamed
        record = await only_record(house)
        assert (record["outcome"], record["tokens_in"], record["tokens_out"]) == ("completed", *backend.tokens)


@each_pair
async def test_each_piece_goes_out_when_it_comes(upstream: Upstream, client: Client, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url, streaming=SOON)) as house, house.client() as wire:
        upstream.script(backend.said(Gate("first"), backend.begun, backend.hi, Gate("end"), *backend.ended))

        response = await wire.request("POST", client.path, BEARER, client.body())
        upstream.open("first")
        await response.read_until(b'"Hi"')
        upstream.open("end")
        body = await response.read()

        assert told(body)[-1]["type"] == client.last


@each_pair
async def test_a_whole_answer_is_told_whole(upstream: Upstream, client: Client, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(answer(backend.answered))

        response = await ask(house, client, stream=False)

        whole = response.json()
        content = whole["content"] if client is CLAUDE else whole["output"][0]["content"]
        assert [block["text"] for block in content] == ["Hi"]


@each_pair
async def test_a_stream_that_breaks_is_told_as_broken(upstream: Upstream, client: Client, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(replace(backend.said(backend.begun, backend.hi, Fin()), length=10_000))

        response = await ask(house, client)

        assert told(response.body)[-1]["type"] == client.failed
        assert response.end is not End.CLEAN


@each_pair
async def test_an_error_that_comes_first_gives_another_upstream_its_chance(
    upstream: Upstream, client: Client, backend: Backend
) -> None:
    async with Upstream() as other, open_house(served(backend, upstream.url, other.url)) as house:
        upstream.script(backend.said(backend.failed))
        other.script(good(backend))

        response = await ask(house, client)

        assert words(response.body) == "Hi"


@each_pair
async def test_a_refusal_by_status_keeps_its_message(upstream: Upstream, client: Client, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.refused, repeat_last=True)

        response = await ask(house, client)

        assert (response.status, response.json()["error"]["message"]) == (529 if client is CLAUDE else 503, "Overloaded")


@each_pair
async def test_half_a_surrogate_pair_reaches_the_backend_as_it_was_written(
    upstream: Upstream, client: Client, backend: Backend
) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(good(backend))
        said = {"messages": [{"role": "user", "content": "a \ud83d"}]} if client is CLAUDE else {"input": "a \ud83d"}

        response = await ask(house, client, **said)

        assert words(response.body) == "Hi"
        assert b'"a \\ud83d"' in (await upstream.request()).body
