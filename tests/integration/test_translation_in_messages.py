"""Clients of Anthropic's API whose model a chat upstream serves: they meet their own API in every way a request can go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from proxy.settings import Settings
from tests.integration.asking import attempts
from tests.support.answers import ERROR_EVENT, FINISH, ROLE, TOKEN, USAGE, delta, only_record, quick
from tests.support.claude import PING, ask_claude, message
from tests.support.client import End, Response
from tests.support.house import BEARER, House, open_house
from tests.support.upstream import DONE, Drip, Fin, Gate, Hang, Rst, Upstream, answer, stream
from tests.support.whatwg import Event, events

GOOD = (ROLE, TOKEN, FINISH, USAGE, DONE)
CALLS = (
    delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":'}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '"Rome"}'}}]),
    delta("tool_calls"),
    DONE,
)
SOON = {"commit_after": "100ms"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def gpt(**more: Any) -> bytes:
    """Return the body of a request for a model that a chat upstream serves."""
    return message(model="gpt-test", **more)


def lenient(*urls: str) -> Settings:
    """Return settings in which the model's route leaves out what a backend cannot honour."""
    configured = quick(*urls)
    models = [model.model_copy(update={"drop_params": True}) for model in configured.models]
    return configured.model_copy(update={"models": models})


def told(body: bytes | bytearray) -> list[dict[str, Any]]:
    """Return the data of each event but pings; each has its type for a name."""
    read = [event for event in events(bytes(body).replace(PING, b"")) if isinstance(event, Event)]
    data: list[dict[str, Any]] = [orjson.loads(event.data) for event in read]
    assert [event.type for event in read] == [each["type"] for each in data]
    return data


def types(body: bytes | bytearray) -> list[str]:
    return [each["type"] for each in told(body)]


def said(body: bytes | bytearray) -> str:
    """Return the text of all deltas."""
    return "".join(each["delta"].get("text", "") for each in told(body) if each["type"] == "content_block_delta")


async def asked(house: House, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await ask_claude(client, body or gpt(), headers=[*BEARER, *headers])
        await response.read()
        return response


async def test_a_stream_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(*GOOD))

        response = await asked(house)

        assert (response.status, response.header("content-type"), response.end) == (
            200,
            "text/event-stream; charset=utf-8",
            End.CLEAN,
        )
        assert types(response.body) == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert said(response.body) == "Hi"
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["dialect"]) == ("completed", "messages", "messages")
        assert (record["tokens_in"], record["tokens_out"]) == (3, 5)


async def test_the_upstream_is_asked_in_its_own_words(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(*GOOD))
        own = [("anthropic-version", "2023-06-01"), ("anthropic-beta", "x"), ("User-Agent", "tester")]

        await asked(house, gpt(system="Be brief.", stop_sequences=["END"], metadata={"user_id": "u"}), own)

        seen = await upstream.request()
        assert seen.target == b"/v1/chat/completions"
        assert orjson.loads(seen.body) == {
            "model": "gpt-test",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "max_tokens": 99,
            "stop": ["END"],
            "user": "u",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert seen.header("user-agent") == "tester"
        assert seen.header("authorization") == "Bearer sk-upstream-a"
        assert not [name for name, _ in seen.headers if name.lower().startswith(b"anthropic")]


async def test_each_piece_goes_out_when_it_comes(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(ROLE, Gate("one"), TOKEN, Gate("two"), TOKEN, Gate("end"), FINISH, DONE))

        response = await ask_claude(client, gpt())
        await response.read_until(b'"output_tokens":1}}}\n\n')
        upstream.open("one")
        await response.read_until(b'"text":"Hi"}}\n\n')
        upstream.open("two")
        await response.read_until(b'"text":"Hi"}}\n\n')
        upstream.open("end")
        body = await response.read()

        assert types(body)[-1] == "message_stop"


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_tool_calls_arrive_however_the_upstream_cuts_them(upstream: Upstream, size: int) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(Drip(b"".join(CALLS), size)))

        response = await asked(house)

        block = next(each["content_block"] for each in told(response.body) if each["type"] == "content_block_start")
        pieces = [each["delta"]["partial_json"] for each in told(response.body) if each["type"] == "content_block_delta"]
        assert block == {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}
        assert orjson.loads("".join(pieces)) == {"city": "Rome"}
        assert told(response.body)[-2]["delta"]["stop_reason"] == "tool_use"


async def test_pings_fill_every_silence_and_belong_between_events(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(Gate("first"), ROLE, TOKEN, Gate("second"), FINISH, DONE))

        response = await ask_claude(client, gpt())
        await response.read_until(PING * 3)
        upstream.open("first")
        await response.read_until(b'"text":"Hi"}}\n\n' + PING * 2)
        upstream.open("second")
        body = await response.read()

        assert said(body) == "Hi"
        assert types(body)[-1] == "message_stop"


async def test_a_whole_answer_is_told_whole(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        upstream.script(answer({"model": "gpt-x", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}))

        response = await asked(house, gpt(stream=False))

        whole = response.json()
        assert (response.status, whole["type"], whole["model"], whole["content"]) == (
            200,
            "message",
            "gpt-x",
            [{"type": "text", "text": "Hi"}],
        )
        assert "stream" not in orjson.loads((await upstream.request()).body)
        record = await only_record(house)
        assert (record["outcome"], record["tokens_in"], record["tokens_out"]) == ("completed", 3, 5)


@pytest.mark.parametrize("death", [Fin(), Rst()], ids=["FIN", "RST"])
async def test_an_upstream_that_dies_leaves_an_error_and_no_end(upstream: Upstream, death: Fin | Rst) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(replace(stream(ROLE, TOKEN, death), length=10_000))

        response = await asked(house)

        assert types(response.body)[-2:] == ["content_block_delta", "error"]
        assert response.end is not End.CLEAN
        record = await only_record(house)
        assert record["outcome"] in ("upstream_truncated", "upstream_reset")


async def test_a_stream_that_just_stops_is_no_finished_one(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(ROLE, TOKEN))

        response = await asked(house)

        assert types(response.body)[-1] == "error"
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == "upstream_truncated"


async def test_an_error_in_mid_stream_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(ROLE, TOKEN, ERROR_EVENT))

        response = await asked(house)

        error = told(response.body)[-1]
        assert (error["error"]["type"], error["error"]["message"]) == ("overloaded_error", "overloaded")
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_an_error_that_comes_first_gives_another_upstream_its_chance(upstream: Upstream) -> None:
    async with Upstream() as other, open_house(quick(upstream.url, other.url)) as house:
        upstream.script(stream(ERROR_EVENT))
        other.script(stream(*GOOD))

        response = await asked(house)

        assert said(response.body) == "Hi"
        assert types(response.body).count("message_start") == 1
        assert attempts(await only_record(house)) == [("a", "upstream_error_event"), ("b", "ok")]


async def test_a_refusal_by_status_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(answer({"error": {"message": "no such model", "type": "x", "code": "model_not_found"}}, 404))

        response = await asked(house)

        assert (response.status, response.header("content-type")) == (404, "application/json")
        assert response.json()["error"] == {"type": "not_found_error", "message": "no such model", "code": "model_not_found"}


async def test_what_chat_cannot_honour_is_refused_by_name_before_anybody_is_asked(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        response = await asked(house, gpt(top_k=5))

        assert response.status == 400
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert "'top_k'" in response.json()["error"]["message"]
        assert not upstream.requests


async def test_what_chat_cannot_honour_is_left_out_where_the_route_says_so(upstream: Upstream) -> None:
    async with open_house(lenient(upstream.url)) as house:
        upstream.script(stream(*GOOD))

        response = await asked(house, gpt(top_k=5))

        assert said(response.body) == "Hi"
        assert b"top_k" not in (await upstream.request()).body


async def test_a_client_that_leaves_stops_the_upstream(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(stream(ROLE, TOKEN, Hang()))
        async with house.client() as client:
            response = await ask_claude(client, gpt())
            await response.read_until(b'"text":"Hi"}}\n\n')

        await upstream.closed(0)

        assert (await only_record(house))["outcome"] == "client_gone"


async def test_tokens_are_not_counted_by_a_backend_that_cannot(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house, house.client() as client:
        response = await ask_claude(client, gpt(), path="/v1/messages/count_tokens")
        await response.read()

        assert response.json()["type"] == "error"
        assert not upstream.requests
