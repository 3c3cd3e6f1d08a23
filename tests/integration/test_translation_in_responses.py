"""Clients of OpenAI's responses API whose model is served by a backend that has the chat API only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.settings import Settings
from tests.integration.asking import attempts
from tests.support.answers import ERROR_EVENT, FINISH, RESPONSES, ROLE, TOKEN, USAGE, delta, only_record, quick
from tests.support.client import End, RawClient, Response
from tests.support.house import BEARER, House, open_house
from tests.support.upstream import DONE, Drip, Fin, Gate, Hang, Rst, Upstream, answer, stream
from tests.support.whatwg import Event, events

GOOD = (ROLE, TOKEN, FINISH, USAGE, DONE)
HI = b'"delta":"Hi","logprobs":[]}\n\n'
SOON = {"commit_after": "100ms"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def chat_only(*urls: str, **changes: Any) -> Settings:
    """Return settings whose upstreams have the chat API only."""
    names = [chr(ord("a") + index) for index in range(len(urls))]
    return quick(*urls, upstreams={name: {"apis": ["chat"]} for name in names}, **changes)


async def ask(client: RawClient, *, said: Any = "hi", **more: Any) -> Response:
    """Ask for a streamed response, and return it when its head is in."""
    body = {"model": "gpt-test", "stream": True, "input": said, **more}
    return await client.request("POST", RESPONSES, BEARER, json.dumps(body).encode())


async def asked(house: House, **more: Any) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await ask(client, **more)
        await response.read()
        return response


def told(body: bytes | bytearray) -> list[dict[str, Any]]:
    """Return the data of each event; each has its type for a name."""
    read = [event for event in events(bytes(body)) if isinstance(event, Event)]
    data: list[dict[str, Any]] = [json.loads(event.data) for event in read]
    assert [event.type for event in read] == [each["type"] for each in data]
    return data


def types(body: bytes | bytearray) -> list[str]:
    return [each["type"].removeprefix("response.") for each in told(body) if each["type"] != "keepalive"]


def said(body: bytes | bytearray) -> str:
    """Return the text of all deltas."""
    return "".join(each["delta"] for each in told(body) if each["type"] == "response.output_text.delta")


async def test_a_stream_is_told_in_the_clients_words(upstream: Upstream) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(stream(*GOOD))

        response = await asked(house)

        assert (response.status, response.end) == (200, End.CLEAN)
        assert types(response.body) == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert said(response.body) == "Hi"
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["tokens_in"], record["tokens_out"]) == ("completed", "responses", 3, 5)


async def test_the_upstream_is_asked_in_its_own_words(upstream: Upstream) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(stream(*GOOD))

        await asked(house, instructions="Be brief.", max_output_tokens=9, store=False, include=["reasoning.encrypted_content"])

        seen = await upstream.request()
        assert seen.target == b"/v1/chat/completions"
        assert json.loads(seen.body) == {
            "model": "gpt-test",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "max_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def test_an_upstream_that_has_the_api_is_asked_as_it_was_written(upstream: Upstream) -> None:
    async with open_house(quick(upstream.url)) as house:
        upstream.script(answer({"output": []}))

        await asked(house, said="as it is")

        seen = await upstream.request()
        assert (seen.target, json.loads(seen.body)["input"]) == (b"/v1/responses", "as it is")


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_calls_arrive_however_the_upstream_cuts_them(upstream: Upstream, size: int) -> None:
    calls = [
        delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":"Rome"}'}}]),
        delta("tool_calls"),
        DONE,
    ]
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(stream(Drip(b"".join(calls), size)))

        response = await asked(house)

        last = told(response.body)[-1]
        (item,) = last["response"]["output"]
        assert last["type"] == "response.completed"
        assert (item["type"], item["call_id"], item["name"], item["arguments"]) == (
            "function_call",
            "call_1",
            "weather",
            '{"city":"Rome"}',
        )


async def test_keepalives_are_comments_and_then_events_of_the_last_number(upstream: Upstream) -> None:
    """Codex counts events; the SDKs' helpers bear none before the first."""
    async with open_house(chat_only(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(Gate("first"), ROLE, TOKEN, Gate("second"), TOKEN, FINISH, DONE))

        response = await ask(client)
        await response.read_until(b": keepalive\n\n" * 2)
        upstream.open("first")
        await response.read_until(HI)
        await response.read_until(b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 4}\n\n')
        upstream.open("second")
        body = await response.read()

        numbers = [each["sequence_number"] for each in told(body) if each["type"] != "keepalive"]
        assert numbers == list(range(len(numbers)))
        assert types(body)[-1] == "completed"


async def test_a_whole_answer_is_told_whole(upstream: Upstream) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        upstream.script(answer({"model": "gpt-x", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}))

        response = await asked(house, stream=False)

        whole = response.json()
        assert (response.status, whole["object"], whole["status"], whole["model"]) == (200, "response", "completed", "gpt-x")
        assert whole["output"][0]["content"][0]["text"] == "Hi"
        record = await only_record(house)
        assert (record["outcome"], record["tokens_in"], record["tokens_out"]) == ("completed", 3, 5)


@pytest.mark.parametrize("death", [Fin(), Rst()], ids=["FIN", "RST"])
async def test_an_upstream_that_dies_leaves_a_failed_response(upstream: Upstream, death: Fin | Rst) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(replace(stream(ROLE, TOKEN, death), length=10_000))

        response = await asked(house)

        last = told(response.body)[-1]
        assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
        assert response.end is not End.CLEAN


async def test_an_error_in_mid_stream_fails_the_response(upstream: Upstream) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(stream(ROLE, TOKEN, ERROR_EVENT))

        response = await asked(house)

        last = told(response.body)[-1]
        assert (last["type"], last["response"]["error"]) == (
            "response.failed",
            {"code": "overloaded_error", "message": "overloaded"},
        )
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_an_error_that_comes_first_gives_another_upstream_its_chance(upstream: Upstream) -> None:
    async with Upstream() as other, open_house(chat_only(upstream.url, other.url)) as house:
        upstream.script(stream(ERROR_EVENT))
        other.script(stream(*GOOD))

        response = await asked(house)

        assert said(response.body) == "Hi"
        assert types(response.body).count("created") == 1
        assert attempts(await only_record(house)) == [("a", "upstream_error_event"), ("b", "ok")]


async def test_a_refusal_by_status_keeps_its_words(upstream: Upstream) -> None:
    error = {"message": "no such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(answer({"error": error}, 404))

        response = await asked(house)

        assert (response.status, response.json()["error"]) == (404, error)


@pytest.mark.parametrize(
    ("more", "param"),
    [({"previous_response_id": "resp_1"}, "previous_response_id"), ({"tools": [{"type": "web_search"}]}, "tools[0].type")],
)
async def test_what_chat_cannot_honour_is_refused_by_name(upstream: Upstream, more: dict[str, Any], param: str) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        response = await asked(house, **more)

        error = response.json()["error"]
        assert (response.status, error["code"], error["param"]) == (400, "unsupported_parameter", param)
        assert not upstream.requests


async def test_a_client_that_leaves_stops_the_upstream(upstream: Upstream) -> None:
    async with open_house(chat_only(upstream.url)) as house:
        upstream.script(stream(ROLE, TOKEN, Hang()))
        async with house.client() as client:
            response = await ask(client)
            await response.read_until(HI)

        await upstream.closed(0)

        assert (await only_record(house))["outcome"] == "client_gone"
