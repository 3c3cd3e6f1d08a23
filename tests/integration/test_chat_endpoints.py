"""Configured chat endpoints over real sockets: one message in, simple events out, whoever answers behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from proxy.settings import Settings
from tests.integration.asking import ask, look
from tests.support.answers import ERROR_EVENT, FINISH, TOKEN, USAGE
from tests.support.client import End, Response
from tests.support.house import BEARER, House, open_house, settings
from tests.support.upstream import DONE, Gate, Hang, Upstream, answer, closed_port, stream

PATH: Final = "/api/v1/chat"
CONNECTED: Final = b": connected\n\n"
SESSION: Final = "session-20261128-120000-ab12"
PATTERN: Final = r"^session-\d{8}-\d{6}-[a-z0-9]{4}$"
OFTEN: Final = {"keepalive_interval": "200ms"}
GOOD: Final = stream(TOKEN, TOKEN, FINISH, USAGE, DONE)


def serving(
    *urls: str, model: dict[str, Any] | None = None, streaming: dict[str, str] | None = None, **endpoint: Any
) -> Settings:
    names = [{"upstream": chr(ord("a") + index)} for index in range(len(urls))]
    return settings(
        *urls,
        models=[{"name": "gpt-*", "targets": names, **(model or {})}],
        streaming=streaming or {},
        chat_endpoints=[{"path": PATH, "model": "gpt-test", "max_chars": 50, **endpoint}],
    )


async def say(house: House, message: Any = "hi", **more: Any) -> Response:
    return await ask(house, json.dumps({"message": message, **more}).encode(), target=PATH)


def events(response: Response) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream by name, comments left out."""
    return list(_events(bytes(response.body)))


def _events(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in body.split(b"\n\n"):
        if block and not block.startswith(b":"):
            name, _, data = block.partition(b"event: ")[2].partition(b"\n")  # before it there may be an id
            yield name.decode(), json.loads(data.removeprefix(b"data: "))


async def test_an_answer_comes_as_tokens_and_says_what_it_cost() -> None:
    priced = {"price": {"input": 1.0, "output": 2.0}}
    async with Upstream() as upstream, open_house(serving(upstream.url, model=priced, system="Be kind.")) as house:
        upstream.script(GOOD)

        response = await say(house)

        assert response.header("content-type") == "text/event-stream; charset=utf-8"
        assert bytes(response.body).startswith(CONNECTED)
        assert response.end is End.CLEAN
        assert events(response) == [
            ("token", {"text": "Hi"}),
            ("token", {"text": "Hi"}),
            ("usage", {"tokens_in": 3, "tokens_out": 5, "cost_usd": 1.3e-05, "model": "gpt-test"}),
            ("done", {"finish_reason": "stop"}),
        ]
        asked = json.loads((await upstream.request()).body)
        assert asked["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
        record = (await house.records())[0]
        assert (record["route"], record["outcome"], record["tokens_out"]) == (f"chat:{PATH}", "completed", 5)


async def test_the_client_hears_something_before_any_upstream_is_asked() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url, streaming=OFTEN)) as house, house.client() as client:
        upstream.script(stream(Hang()))

        response = await client.request("POST", PATH, BEARER, b'{"message":"hi"}')

        assert await response.read_until(CONNECTED) == CONNECTED
        assert await response.read_until(b": heartbeat 1")


async def test_the_message_style_names_the_conversation() -> None:
    async with Upstream() as upstream:
        configured = serving(upstream.url, events="message", session_field="sessionId", session_pattern=PATTERN)
        async with open_house(configured) as house:
            upstream.script(GOOD)

            response = await say(house, sessionId=SESSION)

            assert events(response)[:2] == [
                ("start", {"chat_id": SESSION, "type": "start"}),
                ("message", {"content": "Hi", "type": "text"}),
            ]
            assert events(response)[-1] == ("done", {"finish_reason": "stop"})


async def test_lines_are_for_clients_without_a_reader_of_events() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url, streaming=OFTEN, events="ndjson")) as house:
        upstream.script(stream(TOKEN, Gate("more"), TOKEN, FINISH, USAGE, DONE))
        async with house.client() as client:
            response = await client.request("POST", PATH, BEARER, b'{"message":"hi"}')
            assert response.header("content-type") == "application/x-ndjson"
            await response.read_until(b"}\n ")  # a keepalive, between two lines
            upstream.open("more")
            await response.read()

        lines = [json.loads(line) for line in bytes(response.body).splitlines()]
        assert [line["type"] for line in lines] == ["token", "token", "usage", "done"]
        assert response.end is End.CLEAN


async def test_the_openai_style_passes_chunks_on() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url, events="openai")) as house:
        upstream.script(GOOD)

        response = await say(house)

        assert bytes(response.body) == CONNECTED + TOKEN + TOKEN + FINISH + DONE
        assert (await house.records())[0]["tokens_out"] == 5


async def test_a_browser_asks_with_the_query_and_nothing_of_it_is_forwarded_or_logged() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        upstream.script(GOOD)

        response = await look(house, f"{PATH}?message=caf%C3%A9+canary")

        assert events(response)[0] == ("token", {"text": "Hi"})
        seen = await upstream.request()
        assert (seen.method, seen.target) == ("POST", b"/v1/chat/completions")
        assert json.loads(seen.body)["messages"] == [{"role": "user", "content": "café canary"}]
        assert "canary" not in house.log_text()


async def test_an_eventsource_that_comes_back_by_itself_is_not_answered_twice() -> None:
    """Its browser would connect again after every end, good or bad, with the `id` of the last event it has seen."""
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        upstream.script(GOOD)
        asked = f"{PATH}?message=hi"
        first = await look(house, asked)
        name = (first.header("x-request-id") or "").encode()

        again = await look(house, asked, [*BEARER, ("Last-Event-ID", name.decode())])

        assert bytes(first.body).startswith(CONNECTED + b"id: %b\nevent: token\n" % name)
        assert (again.status, bytes(again.body), again.header("content-length")) == (204, b"", None)
        assert len(upstream.requests) == 1
        assert [record["outcome"] for record in await house.records(2)] == ["completed", "completed"]


async def test_keepalives_behind_a_name_bring_no_empty_line() -> None:
    often = {"keepalive_interval": "100ms", "content_timeout": "30s", "idle_timeout": "30s"}
    async with Upstream() as upstream, open_house(serving(upstream.url, streaming=often)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("more"), TOKEN, DONE))

        response = await client.request("GET", f"{PATH}?message=hi", BEARER)
        await response.read_until(b'"}\n\n: heartbeat ')
        upstream.open("more")
        await response.read()

        assert re.search(rb": heartbeat \d+\nevent: token", bytes(response.body))


async def test_a_stream_that_its_reader_stops_says_so() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))
        response = await client.request("POST", PATH, BEARER, b'{"message":"hi"}')
        await response.read_until(b"Hi")

        stopped = await look(house, f"/streams/{response.header('x-request-id')}", method="DELETE")
        await response.read()

        assert stopped.status == 200
        assert events(response)[1:] == [
            ("error", {"message": "The answer was stopped on request.", "code": "STOPPED"}),
            ("done", {"finish_reason": "error", "code": "STOPPED"}),
        ]
        outcomes = {record["route"]: record["outcome"] for record in await house.records(2)}
        assert outcomes == {f"chat:{PATH}": "client_gone", "stop": "completed"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": "  \n"}, "message"),
        ({"message": 7}, "message"),
        ({"message": "x" * 51}, "message"),
        ({"message": "hi", "sessionId": "session-1"}, "sessionId"),
        ({"message": "hi", "sessionId": 1}, "sessionId"),
        ({"message": "hi", "sessionId": ""}, "sessionId"),
    ],
)
async def test_bad_input_is_refused_by_the_name_of_its_field(fields: dict[str, Any], field: str) -> None:
    checked: dict[str, Any] = {"session_field": "sessionId", "session_pattern": PATTERN}
    async with Upstream() as upstream, open_house(serving(upstream.url, **checked)) as house:
        response = await ask(house, json.dumps(fields).encode(), target=PATH)

        error = json.loads(response.body)["error"]
        assert (response.status, error["param"]) == (400, field)
        assert field in error["message"]
        assert not upstream.connections


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (429, "RATE_LIMIT", "Overloaded, please try again soon."),
        (503, "RATE_LIMIT", "Overloaded, please try again soon."),
        (500, "SERVER_ERROR", "Something went wrong, please try again."),
        (400, "SERVER_ERROR", "Something went wrong, please try again."),
        (504, "TIMEOUT", "The answer took too long, please try again."),
    ],
)
async def test_a_refusal_is_told_to_people_and_the_stream_does_not_look_finished(status: int, code: str, sentence: str) -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        upstream.always(answer({"error": {"message": "secret words"}}, status=status))

        response = await say(house)

        assert events(response) == [
            ("error", {"message": sentence, "code": code}),
            ("done", {"finish_reason": "error", "code": code}),
        ]
        assert response.end is not End.CLEAN


async def test_an_unreachable_upstream_and_a_late_error_are_told_the_same_way() -> None:
    with closed_port() as port:
        async with open_house(serving(f"http://127.0.0.1:{port}")) as house:
            response = await say(house)
        assert events(response)[-1] == ("done", {"finish_reason": "error", "code": "SERVER_ERROR"})
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        upstream.script(stream(TOKEN, ERROR_EVENT))
        response = await say(house)
        assert [name for name, _ in events(response)] == ["token", "error", "done"]
        assert events(response)[-1][1]["code"] == "RATE_LIMIT"
        assert (await house.records())[0]["outcome"] == "in_band_error"


async def test_an_answer_that_is_cut_never_looks_finished() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        upstream.script(stream(TOKEN))

        response = await say(house)

        assert [name for name, _ in events(response)] == ["token", "error", "done"]
        assert response.end is not End.CLEAN
        assert (await house.records())[0]["outcome"] == "upstream_truncated"


async def test_the_endpoint_asks_for_credentials_and_for_its_own_methods() -> None:
    async with Upstream() as upstream, open_house(serving(upstream.url)) as house:
        assert (await look(house, f"{PATH}?message=hi", [])).status == 401
        refused = await look(house, PATH, method="DELETE")
        assert (refused.status, refused.header("allow")) == (405, "GET, POST")
