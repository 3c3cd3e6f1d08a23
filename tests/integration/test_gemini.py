"""Gemini's own API from end to end: passed on byte for byte, kept alive, failed over, and ended honestly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.integration.asking import attempts, look
from tests.support.answers import only_record
from tests.support.client import End, Response
from tests.support.google import (
    ARRAY,
    BLANK,
    BLOCKED,
    CALLS,
    COUNT,
    ELEMENTS,
    ERROR,
    GENERATE,
    GOOG,
    HI,
    MODEL,
    OVERLOADED,
    STOP,
    STREAM,
    THOUGHTS,
    WHOLE,
    WHOLE_ARRAY,
    YOU,
    ask_google,
    contents,
    google,
    refused,
    response,
)
from tests.support.house import BEARER, KEY, House, open_house
from tests.support.steps import Step
from tests.support.upstream import Drip, Fin, Gate, Hang, Pause, Reply, Rst, Upstream, answer, stream
from tests.support.whatwg import Event, events

SOON = {"commit_after": "100ms"}
CANARY = "AIzaC4n4ry"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


async def asked(house: House, path: str = STREAM, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await ask_google(client, path, body, headers=headers)
        await response.read()
        return response


def array(*steps: Step) -> Reply:
    """Return a stream that is one JSON array."""
    return Reply(headers=[("Content-Type", "application/json; charset=UTF-8")], body=steps)


def last_error(response: Response) -> dict[str, Any]:
    """Return the error in the last event."""
    last = events(bytes(response.body))[-1]
    assert isinstance(last, Event)
    assert last.type == "message"
    told: dict[str, Any] = orjson.loads(last.data)["error"]
    return told


async def blanks_pass(house: House, upstream: Upstream, count: int = 3) -> None:
    """Return when another stream, opened now, has had *count* keepalives: each stream was looked at in each interval."""
    gate = f"others {len(upstream.requests)}"
    upstream.script(stream(HI, Gate(gate), STOP))
    async with house.client() as client:
        response = await ask_google(client)
        await response.read_until(HI + BLANK * count)
        upstream.open(gate)
        await response.read()


# What passes.


@pytest.mark.parametrize(
    "whole",
    [WHOLE, WHOLE.replace(b"\r\n", b"\n"), THOUGHTS, CALLS, BLOCKED],
    ids=["text", "LF", "thoughts", "calls", "a blocked prompt"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_passes_byte_for_byte_however_it_is_cut(upstream: Upstream, whole: bytes, size: int) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(Drip(whole, size)))

        response = await asked(house)

        assert bytes(response.body) == whole
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["stream"]) == ("completed", "gemini", True)


async def test_each_event_goes_out_when_it_comes(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house, house.client() as client:
        upstream.script(stream(HI, Gate("you"), YOU, Gate("end"), STOP))

        response = await ask_google(client)
        await response.read_until(HI)
        upstream.open("you")
        await response.read_until(YOU)
        upstream.open("end")

        assert (await response.read()).replace(b"\r\n\r\n\n", b"\r\n\r\n").startswith(HI)


async def test_a_request_passes_as_the_client_wrote_it(upstream: Upstream) -> None:
    body = b'{ "contents":[], "model" : "models/other", "x-unknown": 1.0e2,"generationConfig":{} }'
    own = [("x-goog-api-client", "google-genai-sdk/3.3.0"), ("x-server-timeout", "30")]
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(WHOLE))

        await asked(house, f"/v1/models/{MODEL}:streamGenerateContent?alt=sse&a=%2B", body, [*GOOG, *own])

        seen = await upstream.request()
        assert seen.target == b"/v1/models/gemini-x:streamGenerateContent?alt=sse&a=%2B"
        assert seen.body == body
        assert [seen.header(name) for name, _ in own] == [value for _, value in own]
        assert seen.header("x-goog-api-key") == "AIza-upstream-a"
        assert KEY.encode() not in seen.head.raw


async def test_of_an_alias_only_the_model_in_the_path_changes(upstream: Upstream) -> None:
    alias = {"name": "flash", "targets": [{"upstream": "a", "model": "tuned/a b"}]}
    async with open_house(google(upstream.url, models=[alias])) as house:
        upstream.script(answer(response({"text": "Hi"}, finish="STOP")))

        await asked(house, "/v1beta/models/flash:generateContent?a=1", contents(model="flash"))

        seen = await upstream.request()
        assert seen.target == b"/v1beta/models/tuned%2Fa%20b:generateContent?a=1"
        assert seen.body == contents(model="flash")


@pytest.mark.parametrize("name", ["vendor%2Fgemini", "vendor%2fgemini", "gemini%2Dx", "gemini%3A1", "gemini:1"])
async def test_a_models_name_stays_in_the_clients_own_escapes(upstream: Upstream, name: str) -> None:
    served = {"name": "*", "targets": [{"upstream": "a"}]}
    async with open_house(google(upstream.url, models=[served])) as house:
        upstream.script(stream(WHOLE))

        await asked(house, f"/v1beta/models/{name}:streamGenerateContent?alt=sse")

        assert (await upstream.request()).target == f"/v1beta/models/{name}:streamGenerateContent?alt=sse".encode()


async def test_a_whole_answer_passes_and_is_accounted_for(upstream: Upstream) -> None:
    whole = response({"text": "Hm", "thought": True}, {"text": "Hi"}, finish="STOP")
    whole["usageMetadata"] = {
        "promptTokenCount": 20,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 5,
        "cachedContentTokenCount": 7,
    }
    async with open_house(google(upstream.url)) as house:
        upstream.script(answer(whole))

        told = await asked(house, GENERATE)

        assert (told.status, told.json()) == (200, whole)
        record = await only_record(house)
        assert (record["tokens_in"], record["tokens_out"], record["tokens_cached"]) == (20, 7, 7)
        assert record["stream"] is False


async def test_tokens_are_those_that_were_counted_last(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(HI, YOU, STOP))

        await asked(house)

        assert await house.metric("llm_proxy_tokens_total", direction="input") == 8
        assert await house.metric("llm_proxy_tokens_total", direction="output") == 3


async def test_tokens_are_counted_by_the_upstream(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(answer({"totalTokens": 31}))

        told = await asked(house, COUNT)

        assert told.json() == {"totalTokens": 31}
        assert (await upstream.request()).target == COUNT.encode()
        assert (await only_record(house))["route"] == "gemini"


FLASH = {"name": "models/gemini-flash", "version": "2.5", "displayName": "Gemini Flash", "inputTokenLimit": 1_048_576}
LISTED = answer({"models": [FLASH, {"name": "models/other"}]})


async def test_the_list_of_models_is_beside_the_verbs(upstream: Upstream) -> None:
    served = {"name": MODEL, "targets": [{"upstream": "a"}]}
    async with open_house(google(upstream.url, models=[served])) as house:
        upstream.script(LISTED, LISTED, stream(WHOLE))

        listed = await look(house, "/v1/models")
        one = await look(house, f"/v1/models/{MODEL}")
        streamed = await asked(house, f"/v1/models/{MODEL}:streamGenerateContent?alt=sse")

        assert [model["id"] for model in listed.json()["data"]] == [one.json()["id"], "gemini-flash"] == [MODEL, "gemini-flash"]
        assert bytes(streamed.body) == WHOLE


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models"])
async def test_models_are_listed_in_google_s_words(upstream: Upstream, path: str) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.always(LISTED)

        listed = await look(house, f"{path}?pageSize=100&queryBase=true", GOOG)
        one = await look(house, f"{path}/gemini-flash", GOOG)
        none = await look(house, f"{path}/gemini-99", GOOG)

        assert (listed.json(), one.json()) == ({"models": [FLASH]}, FLASH)
        assert (none.status, none.json()["error"]["status"]) == (404, "NOT_FOUND")
        seen = await upstream.request()
        assert (seen.target, seen.header("x-goog-api-key")) == (b"/v1beta/models?pageSize=1000", "AIza-upstream-a")
        assert [record["route"] for record in await house.records(3)] == ["models"] * 3


# Who may ask.


@pytest.mark.parametrize("headers", [GOOG, BEARER], ids=["x-goog-api-key", "bearer"])
async def test_a_key_in_the_query_is_neither_believed_nor_passed_on_nor_logged(
    upstream: Upstream, headers: list[tuple[str, str]]
) -> None:
    async with open_house(google(upstream.url, log={"level": "debug"})) as house:
        upstream.always(stream(WHOLE))
        paths = [f"{STREAM}&key={CANARY}", f"{ARRAY}?key={CANARY}&alt=sse", f"{STREAM}&%6bey={CANARY}&a=1"]

        for path in paths:
            assert (await asked(house, path, headers=headers)).status == 200
        refused_ = await asked(house, paths[0], headers=[])

        assert refused_.status == 401
        for seen in upstream.requests:
            assert CANARY.encode() not in seen.head.raw + seen.body
        assert [seen.target.rpartition(b"?")[2] for seen in upstream.requests] == [b"alt=sse", b"alt=sse", b"alt=sse&a=1"]
        await house.records(4)
        assert CANARY not in house.log_text()
        assert CANARY not in await house.admin("/metrics")


@pytest.mark.parametrize(
    ("headers", "path", "body", "status", "word", "reason"),
    [
        ([], STREAM, b"", 401, "UNAUTHENTICATED", "invalid_credentials"),
        ([("x-goog-api-key", "wrong")], STREAM, b"", 401, "UNAUTHENTICATED", "invalid_credentials"),
        (GOOG, STREAM.replace(MODEL, "gpt-9"), b"", 404, "NOT_FOUND", "model_not_found"),
        (GOOG, STREAM.replace(MODEL, "gemini-%E9"), b"", 404, "NOT_FOUND", "model_not_found"),
        (GOOG, GENERATE, b"[]", 400, "INVALID_ARGUMENT", "invalid_request"),
        (GOOG, GENERATE, contents(a="x" * 70_000), 413, "INVALID_ARGUMENT", "body_too_large"),
    ],
    ids=["no credential", "a wrong one", "no such model", "no text", "no object", "too large"],
)
async def test_a_refusal_of_ours_is_in_google_s_words(
    upstream: Upstream, headers: list[tuple[str, str]], path: str, body: bytes, status: int, word: str, reason: str
) -> None:
    async with open_house(google(upstream.url)) as house:
        told = await asked(house, path, body, headers)

        error = told.json()["error"]
        assert told.status == status
        assert (error["code"], error["status"], error["details"][0]["reason"]) == (status, word, reason)
        assert error["details"][0]["metadata"]["request_id"] == told.header("x-request-id")
        assert not upstream.requests


# Silence.


async def test_a_silence_is_filled_with_empty_lines_and_nothing_else(upstream: Upstream) -> None:
    async with open_house(google(upstream.url, streaming=SOON)) as house, house.client() as client:
        upstream.script(stream(Gate("begin"), HI, Gate("you"), YOU[:20], Gate("half"), YOU[20:], STOP))

        response = await ask_google(client)
        await response.read_until(BLANK * 3)
        upstream.open("begin")
        await response.read_until(HI + BLANK * 3)
        upstream.open("you")
        await response.read_until(YOU[:20])
        await blanks_pass(house, upstream)
        upstream.open("half")
        body = await response.read()

        assert YOU + STOP in body
        before, between = body[: body.index(HI)], body[body.index(HI) + len(HI) : body.index(YOU)]
        assert set(before) | set(between) == set(BLANK)
        assert body == before + HI + between + YOU + STOP
        assert response.header("content-type") == "text/event-stream; charset=utf-8"


async def test_no_keepalive_follows_the_last_chunk(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house, house.client() as client:
        upstream.script(stream(HI, STOP, Gate("end")))

        response = await ask_google(client)
        await response.read_until(STOP)
        await blanks_pass(house, upstream)
        upstream.open("end")

        assert await response.read() == HI + STOP


async def test_a_finish_reason_is_no_end_before_the_framing_is(upstream: Upstream) -> None:
    """More may follow it, counts for example; only the framing knows that nothing does."""
    async with open_house(google(upstream.url, streaming={"idle_timeout": "300ms"})) as house:
        upstream.script(stream(HI, STOP, Hang()))

        response = await asked(house)

        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_stalled"


# Failures, and what may follow them.


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (stream(OVERLOADED), "upstream_error_event"),
        (stream(b"\r\n", OVERLOADED), "upstream_error_event"),
        (stream(orjson.dumps(ERROR)), "upstream_truncated"),
        (stream(Fin()), "upstream_truncated"),
        (array(b'[{"error": {"code": 503}}]'), "upstream_error_event"),
        (refused(503, "UNAVAILABLE"), "overloaded"),
        (refused(500, "INTERNAL"), "server_error"),
        (refused(429, "RESOURCE_EXHAUSTED"), "rate_limited"),
        (refused(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), "upstream_credentials"),
        (refused(403, "PERMISSION_DENIED"), "upstream_credentials"),
    ],
    ids=["first event", "behind an empty line", "bare", "cut", "in an array", "503", "500", "429", "a bad key", "403"],
)
async def test_another_target_answers_in_place_of_one_that_fails_before_its_first_event(
    upstream: Upstream, reply: Reply, result: str
) -> None:
    async with Upstream() as second, open_house(google(upstream.url, second.url)) as house:
        upstream.script(reply)
        second.script(stream(WHOLE))

        response = await asked(house)

        assert bytes(response.body) == WHOLE
        assert attempts(await only_record(house)) == [("a", result), ("b", "ok")]


async def test_a_wait_that_google_asks_for_is_waited(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(refused(429, "RESOURCE_EXHAUSTED", delay="0.2s"), stream(WHOLE))

        response = await asked(house)

        assert bytes(response.body) == WHOLE
        first, second = upstream.requests
        assert second.at - first.at >= 0.2


@pytest.mark.parametrize(
    "reply",
    [
        refused(400, "INVALID_ARGUMENT"),
        refused(404, "NOT_FOUND"),
        refused(429, "RESOURCE_EXHAUSTED", delay="99s"),
        refused(499, "CANCELLED"),
    ],
    ids=["400", "404", "429", "499"],
)
async def test_a_refusal_that_nothing_mends_is_the_upstreams_own(upstream: Upstream, reply: Reply) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(reply)

        response = await asked(house)

        assert response.status == reply.status
        assert [bytes(response.body)] == list(reply.body)
        assert len(upstream.requests) == 1


async def test_behind_keepalives_a_refusal_becomes_the_error_event(upstream: Upstream) -> None:
    async with open_house(google(upstream.url, streaming={"commit_after": "0s"}, retry={"attempts": 1})) as house:
        upstream.script(refused(503, "UNAVAILABLE"))

        response = await asked(house)

        assert response.status == 200
        assert last_error(response) == {"code": 503, "message": "m", "status": "UNAVAILABLE"}
        assert response.end is End.ABORTED


@pytest.mark.parametrize(
    ("death", "outcome"), [(Fin(), "upstream_truncated"), (Rst(), "upstream_reset"), (None, "upstream_truncated")]
)
async def test_a_stream_without_its_end_is_told_and_cut(upstream: Upstream, death: Fin | Rst | None, outcome: str) -> None:
    steps: list[Step] = [HI, YOU, *([] if death is None else [death])]
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(*steps))

        response = await asked(house)

        assert bytes(response.body).startswith(HI + YOU)
        told = last_error(response)
        assert (told["code"], told["status"], told["details"][0]["reason"]) == (502, "INTERNAL", outcome)
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == outcome


async def test_a_finished_stream_whose_framing_breaks_is_not_complete(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(HI, STOP, Rst()))

        response = await asked(house)

        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_reset"


async def test_an_error_that_the_upstream_tells_late_is_its_own_word_and_no_success(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(HI, OVERLOADED))

        response = await asked(house)

        assert bytes(response.body) == HI + OVERLOADED
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_a_client_that_leaves_stops_the_upstream(upstream: Upstream) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(stream(HI, Hang()))
        async with house.client() as client:
            response = await ask_google(client)
            await response.read_until(HI)

        assert (await upstream.closed(0)).at
        assert (await house.records())[0]["outcome"] == "client_gone"


# A stream without alt=sse.


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_an_array_passes_byte_for_byte_however_it_is_cut(upstream: Upstream, size: int) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(array(Drip(WHOLE_ARRAY, size)))

        response = await asked(house, ARRAY)

        assert bytes(response.body) == WHOLE_ARRAY
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert (record["outcome"], record["stream"], record["tokens_out"]) == ("completed", True, 3)
        assert record["first_token_ms"] >= 0


async def test_each_element_goes_out_when_it_comes_and_nothing_between_two(upstream: Upstream) -> None:
    """Not even before the first: an early head would promise events."""
    async with open_house(google(upstream.url, streaming={"commit_after": "0s"})) as house, house.client() as client:
        upstream.script(array(Gate("begin"), b"[" + ELEMENTS[0], Gate("next"), b"," + ELEMENTS[2], Gate("end"), b"]"))

        await client.send_request("POST", ARRAY, GOOG, contents())
        await upstream.reached("begin")
        await blanks_pass(house, upstream)
        upstream.open("begin")
        response = await client.response("POST")
        await response.read_until(ELEMENTS[0])
        await blanks_pass(house, upstream)
        upstream.open("next")
        await response.read_until(ELEMENTS[2])
        upstream.open("end")

        assert await response.read() == b"[" + ELEMENTS[0] + b"," + ELEMENTS[2] + b"]"
        assert response.header("content-type") == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("whole", "death", "outcome"),
    [
        (b"[" + ELEMENTS[0], Fin(), "upstream_truncated"),
        (b"[" + ELEMENTS[0], None, "upstream_truncated"),
        (b"[" + ELEMENTS[0] + b"]", None, "upstream_truncated"),
        (b"[" + ELEMENTS[2], None, "upstream_truncated"),
        (WHOLE_ARRAY, Rst(), "upstream_reset"),
    ],
    ids=["cut", "not closed", "not finished", "finished, not closed", "framing"],
)
async def test_an_array_that_is_not_whole_never_looks_finished(
    upstream: Upstream, whole: bytes, death: Fin | Rst | None, outcome: str
) -> None:
    async with open_house(google(upstream.url)) as house:
        upstream.script(array(whole, *([] if death is None else [death])))

        response = await asked(house, ARRAY)

        assert bytes(response.body) == whole
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == outcome


async def test_an_error_late_in_an_array_is_the_upstreams_own(upstream: Upstream) -> None:
    whole = b"[" + ELEMENTS[0] + b"," + orjson.dumps(ERROR) + b"]"
    async with open_house(google(upstream.url)) as house:
        upstream.script(array(b"[" + ELEMENTS[0], Pause(0.01), whole[len(ELEMENTS[0]) + 1 :]))

        response = await asked(house, ARRAY)

        assert bytes(response.body) == whole
        assert (await only_record(house))["outcome"] == "in_band_error"


async def test_an_error_first_in_an_array_leads_to_another_target(upstream: Upstream) -> None:
    async with Upstream() as second, open_house(google(upstream.url, second.url)) as house:
        upstream.script(array(b"[" + orjson.dumps(ERROR) + b"]"))
        second.script(array(WHOLE_ARRAY))

        response = await asked(house, ARRAY)

        assert bytes(response.body) == WHOLE_ARRAY
        assert attempts(await only_record(house)) == [("a", "upstream_error_event"), ("b", "ok")]
