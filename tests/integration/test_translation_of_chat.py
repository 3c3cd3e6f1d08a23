"""Clients of OpenAI's chat API whose model an upstream of another API serves: they see their own API in every way a request can go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from proxy.settings import Settings
from tests.integration.asking import ask, attempts
from tests.support import bedrock, claude, google
from tests.support.answers import CLOCKS, ERROR_EVENT, KEEPALIVE, only_record
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, chat, open_house, settings
from tests.support.steps import Step
from tests.support.upstream import Drip, Fin, Gate, Hang, Reply, Rst, Upstream, answer, stream
from tests.support.whatwg import Event, events

MODEL = "served/there:1"  # needs to be encoded where it stands in a path
SOON = {"commit_after": "100ms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One kind of upstream: what it is configured with, asked for, and what it sends."""

    kind: dict[str, Any]
    streamed: bytes  # the request target of a stream
    whole: bytes
    said: Callable[..., Reply]
    begun: bytes
    hi: bytes
    ended: tuple[bytes, ...]
    failed: bytes
    answered: dict[str, Any]
    refused: Reply
    tokens: tuple[int, int]
    name: str

    def __str__(self) -> str:
        return self.name


ANTHROPIC = Backend(
    name="anthropic",
    kind={"kind": "anthropic", "api_key": "sk-ant-upstream"},
    streamed=b"/v1/messages",
    whole=b"/v1/messages",
    said=stream,
    begun=claude.BEGUN,
    hi=claude.HI,
    ended=(claude.ended() + claude.stopped(),),
    failed=claude.OVERLOADED,
    answered={**claude.MESSAGE, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"},
    refused=claude.refused(529, "overloaded_error", "Overloaded"),
    tokens=(35, 15),
)
BEDROCK = Backend(
    name="bedrock",
    kind={"kind": "bedrock", "api_key": "bedrock-upstream", "region": "us-east-1"},
    streamed=b"/model/served%2Fthere%3A1/converse-stream",
    whole=b"/model/served%2Fthere%3A1/converse",
    said=bedrock.frames,
    begun=bedrock.START,
    hi=bedrock.HI,
    ended=(bedrock.BLOCK_STOP, bedrock.STOP, bedrock.METADATA),
    failed=bedrock.exception("serviceUnavailableException", "Overloaded"),
    answered=bedrock.ANSWER,
    refused=bedrock.refused("ServiceUnavailableException", message="Overloaded"),
    tokens=(28, 5),
)
GEMINI = Backend(
    name="gemini",
    kind={"kind": "gemini", "api_key": "AIza-upstream"},
    streamed=b"/v1beta/models/served%2Fthere%3A1:streamGenerateContent?alt=sse",
    whole=b"/v1beta/models/served%2Fthere%3A1:generateContent",
    said=stream,
    begun=google.event(google.response({"text": "Hm", "thought": True})),
    hi=google.HI,
    ended=(google.STOP,),
    failed=google.event({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}),
    answered=google.response({"text": "Hi"}, finish="STOP", said=3),
    refused=answer({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}, 503),
    tokens=(8, 3),
)
BACKENDS = (ANTHROPIC, BEDROCK, GEMINI)
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=str)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def served(
    backend: Backend, *urls: str, streaming: dict[str, str] | None = None, of_model: dict[str, Any] | None = None, **sections: Any
) -> Settings:
    """Return settings in which upstreams of this kind at *urls*, in order, serve `gpt-*` under a name of their own.

    *sections* are added as they are.
    """
    place = "endpoint_url" if backend.kind["kind"] == "bedrock" else "base_url"
    names = [chr(ord("a") + index) for index in range(len(urls))]
    return settings(
        streaming={**CLOCKS, **(streaming or {})},
        upstreams={name: {**backend.kind, place: url} for name, url in zip(names, urls, strict=True)},
        models=[{"name": "gpt-*", "targets": [{"upstream": name, "model": MODEL} for name in names], **(of_model or {})}],
        **sections,
    )


def good(backend: Backend) -> Reply:
    return backend.said(backend.begun, backend.hi, *backend.ended)


def told(response: Response) -> list[Any]:
    """Return the data of each event: chunks, errors, and the last one as it is."""
    read = [event for event in events(bytes(response.body).replace(KEEPALIVE, b"")) if isinstance(event, Event)]
    assert {event.type for event in read} == {"message"}
    return [event.data if event.data == "[DONE]" else orjson.loads(event.data) for event in read]


def words(response: Response) -> str:
    """Return the text of all chunks."""
    choices = [chunk["choices"][0] for chunk in told(response) if isinstance(chunk, dict) and chunk.get("choices")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


# What passes.


@each_backend
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_is_told_in_the_clients_words_however_it_is_cut(upstream: Upstream, backend: Backend, size: int) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.said(Drip(b"".join((backend.begun, backend.hi, *backend.ended)), size)))

        response = await ask(house)

        assert (response.status, response.header("content-type"), response.end) == (
            200,
            "text/event-stream; charset=utf-8",
            End.CLEAN,
        )
        assert words(response) == "Hi"
        assert told(response)[-1] == "[DONE]"
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in told(response)[:-1]}) == 1
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["dialect"]) == ("completed", "chat", "chat")
        assert (record["tokens_in"], record["tokens_out"]) == backend.tokens


@each_backend
async def test_usage_is_told_to_a_client_that_asks_for_it(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(good(backend))

        response = await ask(house, chat(stream_options={"include_usage": True}))

        *chunks, usage, _ = told(response)
        assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
        assert usage["choices"] == []
        assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == backend.tokens


@each_backend
async def test_the_upstream_is_asked_in_its_own_words(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(good(backend), answer(backend.answered))

        await ask(house, chat(temperature=0.5), [*BEARER, ("OpenAI-Organization", "org"), ("User-Agent", "tester")])
        await ask(house, chat(stream=False))

        streamed, whole = await upstream.request(0), await upstream.request(1)
        assert (streamed.target, whole.target) == (backend.streamed, backend.whole)
        assert b"0.5" in streamed.body
        assert streamed.header("user-agent") == "tester"
        assert streamed.header("content-type") == "application/json"
        assert not streamed.header("openai-organization")
        assert BEARER[0][1].encode() not in [value for _, value in streamed.headers]


async def test_anthropic_is_asked_in_the_version_that_the_translation_is_made_for(upstream: Upstream) -> None:
    async with open_house(served(ANTHROPIC, upstream.url)) as house:
        upstream.script(good(ANTHROPIC))

        await ask(house, headers=[*BEARER, ("anthropic-version", "2026-10-21"), ("anthropic-beta", "x")])

        seen = [pair for pair in (await upstream.request()).headers if pair[0].lower().startswith(b"anthropic")]
        assert seen == [(b"anthropic-version", b"2023-06-01")]


@each_backend
async def test_each_piece_goes_out_when_it_comes(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house, house.client() as client:
        upstream.script(
            backend.said(backend.begun, Gate("one"), backend.hi, Gate("two"), backend.hi, Gate("end"), *backend.ended)
        )

        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(b'"role":"assistant"')
        for gate in ("one", "two"):
            upstream.open(gate)
            await response.read_until(b'"content":"Hi"')
        upstream.open("end")
        await response.read()

        assert words(response) == "HiHi"
        assert told(response)[-1] == "[DONE]"


@each_backend
async def test_keepalives_fill_every_silence_and_stand_between_chunks(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(backend.said(Gate("first"), backend.begun, backend.hi, Gate("second"), *backend.ended))

        response = await client.request("POST", CHAT, BEARER, chat())
        await response.read_until(KEEPALIVE * 3)
        upstream.open("first")
        await response.read_until(b'"content":"Hi"')
        await response.read_until(b"\n\n" + KEEPALIVE * 2)
        upstream.open("second")
        await response.read()

        assert words(response) == "Hi"
        assert told(response)[-1] == "[DONE]"
        assert (await only_record(house))["outcome"] == "completed"


@each_backend
async def test_a_whole_answer_is_told_whole(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(answer(backend.answered))

        response = await ask(house, chat(stream=False))

        whole = response.json()
        assert (response.status, response.header("content-type"), whole["object"]) == (200, "application/json", "chat.completion")
        assert whole["choices"][0]["message"]["content"] == "Hi"
        assert whole["choices"][0]["finish_reason"] == "stop"
        record = await only_record(house)
        assert (record["outcome"], record["tokens_in"], record["tokens_out"]) == ("completed", *(whole["usage"][key] for key in ("prompt_tokens", "completion_tokens")))  # fmt: skip


# What fails.


@each_backend
@pytest.mark.parametrize("death", [Fin(), Rst()], ids=["FIN", "RST"])
async def test_an_upstream_that_dies_leaves_an_error_and_no_end(upstream: Upstream, backend: Backend, death: Step) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(replace(backend.said(backend.begun, backend.hi, death), length=10_000))

        response = await ask(house)

        assert words(response) == "Hi"
        assert list(told(response)[-1]) == ["error"]
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] in ("upstream_truncated", "upstream_reset")


@each_backend
async def test_a_stream_that_just_stops_is_no_finished_one(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.said(backend.begun, backend.hi))

        response = await ask(house)

        assert told(response)[-1]["error"]["code"] == "upstream_truncated"
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == "upstream_truncated"


async def test_a_reason_to_stop_without_the_upstreams_last_event_is_no_end(upstream: Upstream) -> None:
    """For a chat server it would be; Anthropic says `message_stop`."""
    stopped, _ = claude.stopped().split(b"event: message_stop")
    async with open_house(served(ANTHROPIC, upstream.url)) as house:
        upstream.script(stream(claude.BEGUN, claude.HI, claude.ended(), stopped))

        response = await ask(house)

        assert told(response)[-1]["error"]["code"] == "upstream_truncated"
        assert response.end is not End.CLEAN
        assert (await only_record(house))["outcome"] == "upstream_truncated"


@each_backend
async def test_an_error_in_mid_stream_is_told_in_the_clients_words(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.said(backend.begun, backend.hi, backend.failed))

        response = await ask(house)

        error = told(response)[-1]["error"]
        assert (error["message"], error["type"], error["code"]) == ("Overloaded", "server_error", "overloaded")
        assert (await only_record(house))["outcome"] == "in_band_error"


@each_backend
async def test_an_error_that_comes_first_gives_another_upstream_its_chance(upstream: Upstream, backend: Backend) -> None:
    async with Upstream() as other, open_house(served(backend, upstream.url, other.url)) as house:
        upstream.script(backend.said(backend.failed))
        other.script(good(backend))

        response = await ask(house)

        assert words(response) == "Hi"
        assert told(response)[-1] == "[DONE]"
        assert attempts(await only_record(house)) == [("a", "upstream_error_event"), ("b", "ok")]


@each_backend
async def test_a_refusal_is_told_with_its_message_and_a_status_that_the_client_knows(
    upstream: Upstream, backend: Backend
) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.always(backend.refused)

        response = await ask(house)

        assert (response.status, response.header("content-type")) == (503, "application/json")
        assert response.json() == {
            "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"}
        }


@each_backend
async def test_an_answer_that_is_none_is_a_bad_gateway(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.always(answer({"unheard": "of"}))

        response = await ask(house, chat(stream=False))

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_malformed")


@each_backend
async def test_a_client_that_leaves_stops_the_upstream(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        upstream.script(backend.said(backend.begun, backend.hi, Hang()))
        async with house.client() as client:
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read_until(b'"content":"Hi"')

        await upstream.closed(0)

        assert (await only_record(house))["outcome"] == "client_gone"


@pytest.mark.parametrize("first", [ERROR_EVENT, None], ids=["error first", "refusal"])
async def test_a_client_sees_one_api_whichever_upstream_answers(upstream: Upstream, first: bytes | None) -> None:
    mixed = settings(
        streaming=CLOCKS,
        upstreams={
            "plain": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-upstream"},
            "claude": {**ANTHROPIC.kind, "base_url": upstream.url},
        },
        models=[{"name": "gpt-*", "targets": [{"upstream": "plain"}, {"upstream": "claude", "model": "claude-x"}]}],
    )
    async with open_house(mixed) as house:
        upstream.script(answer({"error": {"message": "m"}}, 503) if first is None else stream(first), good(ANTHROPIC))

        response = await ask(house)

        assert words(response) == "Hi"
        assert told(response)[-1] == "[DONE]"
        asked_first, asked_then = await upstream.request(0), await upstream.request(1)
        assert (asked_first.target, asked_then.target) == (b"/v1/chat/completions", b"/v1/messages")
        assert asked_first.body == chat()
        assert asked_then.json()["model"] == "claude-x"
        assert [name for name, _ in attempts(await only_record(house))] == ["plain", "claude"]


# What cannot be asked.


@each_backend
async def test_what_the_backend_cannot_honour_is_refused_by_name_before_anybody_is_asked(
    upstream: Upstream, backend: Backend
) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        response = await ask(house, chat(logit_bias={"1": 2}))

        error = response.json()["error"]
        assert (response.status, error["code"], error["param"]) == (400, "unsupported_parameter", "logit_bias")
        assert not upstream.requests


@each_backend
async def test_what_the_backend_cannot_honour_is_left_out_where_the_model_says_so(upstream: Upstream, backend: Backend) -> None:
    async with open_house(served(backend, upstream.url, of_model={"drop_params": True})) as house:
        upstream.script(good(backend))

        response = await ask(house, chat(logit_bias={"1": 2}))

        assert words(response) == "Hi"
        assert b"logit_bias" not in (await upstream.request()).body


async def test_an_upstream_that_cannot_honour_a_request_leaves_it_to_one_that_can(upstream: Upstream) -> None:
    mixed = settings(
        upstreams={
            "claude": {**ANTHROPIC.kind, "base_url": upstream.url},
            "plain": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-upstream"},
        },
        models=[{"name": "gpt-*", "targets": [{"upstream": "claude"}, {"upstream": "plain"}]}],
    )
    async with open_house(mixed) as house:
        upstream.script(answer({"choices": []}))

        response = await ask(house, chat(stream=False, n=2))

        assert response.status == 200
        assert (await upstream.request()).json()["n"] == 2


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "robot", "content": "hi"}], "messages[0].role"),
        ([{"role": "tool", "tool_call_id": "c", "content": "hi"}], "messages[0].tool_call_id"),
        ("hi", "messages"),
    ],
)
@each_backend
async def test_a_conversation_that_is_none_is_a_bad_request(
    upstream: Upstream, backend: Backend, messages: Any, param: str
) -> None:
    async with open_house(served(backend, upstream.url)) as house:
        response = await ask(house, chat(messages=messages))

        error = response.json()["error"]
        assert (response.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert not upstream.requests
