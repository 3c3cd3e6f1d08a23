"""Every path besides chat: model lists, what is passed on by its path, named upstreams, and our own pages."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.handler import catalogue
from proxy.settings import Settings
from tests.integration.asking import BUSY, FILES, ask, attempts, listed, look
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, KEY, chat, open_house, settings
from tests.support.upstream import Fin, Gate, Hang, Reply, Upstream, answer, stream, verbatim

JSON = {"ok": True}
NARROW = "lp_test_for_few_models_0123456789"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


# Lists of models.


def with_models(*upstreams: Upstream) -> Settings:
    """Return settings with names, patterns and aliases, and one key that may use few of them."""
    keys = [
        {"id": "all", "sha256": hashlib.sha256(KEY.encode()).hexdigest()},
        {"id": "few", "sha256": hashlib.sha256(NARROW.encode()).hexdigest(), "models": ["gpt-*"]},
    ]
    models = [
        {"name": "o1", "targets": [{"upstream": "a"}]},
        {"name": "gpt-alias", "targets": [{"upstream": "a", "model": "real-name"}]},
        {"name": "gpt-*", "targets": [{"upstream": "a"}, {"upstream": "b"}]},
        {"name": "o3-*", "targets": [{"upstream": "b"}]},
        {"name": "free/*", "targets": [{"upstream": "b", "model": "vendor/{model}"}]},
    ]
    return settings(*(upstream.url for upstream in upstreams), auth={"api_keys": keys}, models=models)


def model_list(*names: str) -> Reply:
    return answer({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "vendor"} for name in names]})


def names(response: Response) -> list[str]:
    return sorted(entry["id"] for entry in response.json()["data"])


async def test_models_are_the_configured_names_and_what_patterns_let_through(upstream: Upstream) -> None:
    async with Upstream() as second, open_house(with_models(upstream, second)) as house:
        upstream.always(model_list("gpt-4o", "gpt-alias", "real-name", "text-embedding-3"))
        second.always(model_list("gpt-oss", "o3-mini", "vendor/free/x", "o1"))

        everything = await look(house, "/v1/models")
        few = await look(house, "/v1/models", [("Authorization", f"Bearer {NARROW}")])

        assert everything.json()["object"] == "list"
        assert names(everything) == ["gpt-4o", "gpt-alias", "gpt-oss", "o1", "o3-mini"]
        assert names(few) == ["gpt-4o", "gpt-alias", "gpt-oss"]
        seen = await upstream.request()
        assert (seen.method, seen.target, seen.header("authorization")) == ("GET", b"/v1/models", "Bearer sk-upstream-a")
        assert KEY.encode() not in seen.head.raw


@pytest.mark.parametrize(
    "reply", [answer(BUSY, 500), verbatim(Fin()), answer(b"<html>"), answer([1])], ids=["500", "closed", "HTML", "odd JSON"]
)
async def test_upstream_that_fails_does_not_spoil_the_list(upstream: Upstream, reply: Reply) -> None:
    async with Upstream() as second, open_house(with_models(upstream, second)) as house:
        upstream.script(reply)
        second.script(model_list("gpt-oss"))

        response = await look(house, "/v1/models")

        assert (response.status, names(response)) == (200, ["gpt-alias", "gpt-oss", "o1"])


async def test_refused_key_of_the_only_upstream_is_no_empty_list(upstream: Upstream) -> None:
    models = [{"name": "*", "targets": [{"upstream": "a"}]}]
    async with open_house(settings(upstream.url, models=models)) as house:
        upstream.script(answer({"error": {"message": "Incorrect API key provided: sk-upstream-a"}}, 401))

        response = await look(house, "/v1/models")

        assert (response.status, response.json()["error"]["code"]) == (502, "upstream_credentials")
        assert b"sk-upstream" not in response.body
        record = (await house.records())[0]
        assert (record["route"], record["outcome"], record["status"]) == ("models", "upstream_error", 502)


async def test_upstream_that_hangs_does_not_hold_the_list_up(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "LIST_TIMEOUT", 0.2)
    async with Upstream() as second, open_house(with_models(upstream, second)) as house:
        upstream.script(verbatim(Hang()))
        second.script(model_list("gpt-oss"))

        response = await look(house, "/v1/models")

        assert (response.status, names(response)) == (200, ["gpt-alias", "gpt-oss", "o1"])
        await upstream.closed()


async def test_client_that_leaves_while_upstreams_list_their_models_closes_them(upstream: Upstream) -> None:
    async with Upstream() as second, open_house(with_models(upstream, second)) as house:
        upstream.script(verbatim(Hang()))
        second.script(verbatim(Hang()))
        async with house.client() as client:
            await client.send_request("GET", "/v1/models", BEARER)
            await upstream.request()
            await second.request()

            left = await client.close()

        assert (await upstream.closed()).at - left < 0.1
        assert (await second.closed()).at - left < 0.1
        assert (await house.records())[0]["outcome"] == "client_gone"


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("o1", KEY, 200),
        ("gpt-4o", KEY, 200),
        ("%6f1", KEY, 200),
        ("vendor%2Fx", KEY, 404),
        ("real-name", KEY, 404),
        ("o1", NARROW, 404),
        ("gpt-4o", NARROW, 200),
    ],
)
async def test_one_model_is_found_by_its_public_name(upstream: Upstream, path: str, key: str, status: int) -> None:
    async with Upstream() as second, open_house(with_models(upstream, second)) as house:
        upstream.always(model_list("gpt-4o", "real-name"))
        second.always(model_list())

        response = await look(house, f"/v1/models/{path}", [("Authorization", f"Bearer {key}")])

        assert response.status == status
        assert response.json()["error"]["code"] == "model_not_found" if status == 404 else response.json()["object"] == "model"


# Passed on by path.


def form(model: str, boundary: str = "b0und", *, more: bytes = b"RIFF\x00\xff\r\n--b0un") -> bytes:
    """Return the body of an audio upload."""
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'.encode()
        + more
        + f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n--{boundary}--\r\n'.encode()
    )


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/completions", "completions"),
        ("/v1/responses", "responses"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/moderations", "moderations"),
        ("/v1/images/generations", "images"),
        ("/v1/audio/speech", "audio"),
    ],
)
async def test_other_endpoints_reach_the_same_path_below_the_base(upstream: Upstream, path: str, route: str) -> None:
    upstream.script(answer(b'{ "data": [1.50] }\n', headers=[("X-Kept", "1")]))
    base = {"a": {"base_url": f"{upstream.url}/deep/api/v1"}}
    models = [{"name": "gpt-*", "targets": [{"upstream": "a", "model": "vendor-{model}"}]}]
    async with open_house(settings(upstream.url, upstreams=base, models=models)) as house:
        response = await ask(house, b'{"input":["x"], "model":"gpt-x" }', target=path)

        seen = await upstream.request()
        assert seen.target == b"/deep/api" + path.encode()
        assert seen.body == b'{"input":["x"], "model":"vendor-gpt-x" }'
        assert (response.status, bytes(response.body), response.header("x-kept")) == (200, b'{ "data": [1.50] }\n', "1")
        assert response.header("content-length") == str(len(response.body))
        assert await house.metric("llm_proxy_requests_total", route=route, stream="false", outcome="completed") == 1


@pytest.mark.parametrize(
    "path", ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits", "/v1/images/variations"]
)
async def test_form_passes_with_nothing_but_its_model_replaced(upstream: Upstream, path: str) -> None:
    upstream.script(answer(JSON))
    models = [{"name": "whisper", "targets": [{"upstream": "a", "model": "whisper-large-v3"}]}]
    async with open_house(settings(upstream.url, models=models)) as house:
        headers = [*BEARER, ("Content-Type", 'multipart/form-data; boundary="b0und"')]

        response = await ask(house, form("whisper"), headers, target=path)

        seen = await upstream.request()
        assert (response.status, seen.target) == (200, path.encode())
        assert seen.body == form("whisper-large-v3")
        assert seen.header("content-type") == 'multipart/form-data; boundary="b0und"'


async def test_binary_answer_passes_byte_for_byte_and_without_keepalives(upstream: Upstream) -> None:
    audio = bytes(range(256)) * 40
    upstream.script(Reply(headers=[("Content-Type", "audio/mpeg")], body=[audio[:99], Gate("rest"), audio[99:]]))
    async with open_house(settings(upstream.url, streaming={"keepalive_interval": "20ms", "commit_after": "20ms"})) as house:
        async with house.client() as client:
            response = await client.request("POST", "/v1/audio/speech", BEARER, chat(stream=False))
            await response.read_until(audio[:99])
            quiet = await client.silent(0.2)
            upstream.open("rest")
            await response.read()

        assert quiet
        assert (bytes(response.body), response.header("content-type"), response.end) == (audio, "audio/mpeg", End.CLEAN)


async def test_failed_call_without_a_stream_goes_to_the_next_target(upstream: Upstream) -> None:
    async with Upstream() as second, open_house(settings(upstream.url, second.url)) as house:
        upstream.script(answer(BUSY, 503))
        second.script(answer(JSON))

        response = await ask(house, b'{"model":"gpt-x","input":"x"}', target="/v1/embeddings")

        assert response.json() == JSON
        assert attempts((await house.records())[0]) == [("a", "overloaded"), ("b", "ok")]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
async def test_encoded_request_body_is_refused(upstream: Upstream, encoding: str) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, b"\x1f\x8b\x08", [*BEARER, ("Content-Encoding", encoding)])

        assert (response.status, response.json()["error"]["code"]) == (415, "unsupported_media")
        assert upstream.connections == []


TWO_MODELS = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-a\r\n'
    b'--b\r\nContent-Disposition: form-data; name="+AG0-odel"\r\n\r\ngpt-secret\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("target", "media_type", "body"),
    [
        (CHAT, "application/json; charset=utf-7", b'{"model":"gpt-a","+AG0-odel":"gpt-secret","messages":[]}'),
        (CHAT, "application/x-www-form-urlencoded", b'{"model":"gpt-a","x":"&model=gpt-secret&","messages":[]}'),
        ("/v1/audio/transcriptions", "multipart/form-data; charset=utf-7; boundary=b", TWO_MODELS),
    ],
    ids=["JSON in UTF-7", "JSON that is a form", "form in UTF-7"],
)
async def test_body_in_which_an_upstream_may_find_another_model_is_refused(
    upstream: Upstream, target: str, media_type: str, body: bytes
) -> None:
    """The model that is allowed must be the one that is asked."""
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, body, [*BEARER, ("Content-Type", media_type)], target=target)

        assert (response.status, response.json()["error"]["code"]) == (415, "unsupported_media")
        assert upstream.connections == []


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/files", "/v1/fine_tuning/jobs", "/v1/organization/usage", "/metrics", "/config", "/favicon.ico"]
)
async def test_path_that_is_not_served_is_a_404_and_goes_nowhere(upstream: Upstream, path: str) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, path)

        assert (response.status, response.header("content-type"), response.json()["error"]["code"]) == (
            404,
            "application/json",
            "not_found",
        )
        assert upstream.connections == []


async def test_nothing_is_sent_before_a_json_answer_otherwise(upstream: Upstream) -> None:
    upstream.script(Reply(status=400, before=[Gate("answer")], body=[b"{}"], framing="length"))
    configured = settings(upstream.url, streaming={"commit_after": "20ms", "keepalive_interval": "20ms"})
    async with open_house(configured) as house, house.client() as client:
        await client.send_request("POST", CHAT, BEARER, chat(stream=False))
        await upstream.reached("answer")
        quiet = await client.silent(0.2)
        upstream.open("answer")
        response = await client.response()

        assert (quiet, response.status) == (True, 400)


# Named upstreams.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_listed_path_of_a_named_upstream_passes_with_any_method(upstream: Upstream, method: str) -> None:
    upstream.script(answer(b"[ 1 ]", headers=[("X-Kept", "1")]))
    body = b"" if method in ("GET", "DELETE") else b"\x00any bytes"
    async with open_house(listed(upstream)) as house, house.client() as client:
        response = await client.request(method, f"{FILES}/f-1/content?x=1", [*BEARER, ("Content-Type", "x/y")], body)
        await response.read()

        seen = await upstream.request()
        assert (seen.method, seen.target, seen.body) == (method, b"/v1/files/f-1/content?x=1", body)
        assert (seen.header("authorization"), seen.header("content-type")) == ("Bearer sk-upstream-a", "x/y")
        assert seen.header("content-length") == (str(len(body)) if method not in ("GET", "DELETE") else None)
        assert (response.status, bytes(response.body), response.header("x-kept")) == (200, b"[ 1 ]", "1")


@pytest.mark.parametrize(
    "path",
    ["/upstream/a/v1/models", "/upstream/a/v1/filesystem", "/upstream/a/", "/upstream/a", "/upstream/c/v1/files", "/upstream/"],
)
async def test_path_of_a_named_upstream_that_is_not_listed_does_not_exist(upstream: Upstream, path: str) -> None:
    async with open_house(listed(upstream)) as house:
        response = await look(house, path)

        assert (response.status, response.json()["error"]["code"]) == (404, "not_found")
        assert upstream.connections == []


async def test_event_stream_of_a_named_upstream_is_never_committed_early_but_protected_afterwards(upstream: Upstream) -> None:
    upstream.script(stream(Gate("begin"), b"data: 1\n\n", Gate("rest"), b"data: 2\n\n"))
    configured = listed(upstream, streaming={"commit_after": "20ms", "keepalive_interval": "20ms"})
    async with open_house(configured) as house, house.client() as client:
        await client.send_request("GET", FILES, [*BEARER, ("Accept", "text/event-stream")])
        await upstream.reached("begin")
        quiet = await client.silent(0.2)
        upstream.open("begin")
        response = await client.response()
        await response.read_until(b"data: 1\n\n: keepalive\n\n")
        upstream.open("rest")
        await response.read()

        assert quiet
        assert bytes(response.body).replace(b": keepalive\n\n", b"") == b"data: 1\n\ndata: 2\n\n"
        assert response.end is End.CLEAN


# Our own pages.


async def test_healthz_needs_no_credential_and_no_upstream(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, "/healthz", [])

        assert (response.status, response.json()) == (200, {"status": "ok"})
        assert upstream.connections == []


async def test_ping_says_who_the_caller_is(upstream: Upstream) -> None:
    async with open_house(with_models(upstream, upstream)) as house:
        everything = await look(house, "/auth/ping")
        few = await look(house, "/auth/ping", [("Authorization", f"Bearer {NARROW}")])

        assert everything.json() == {"subject": "all", "models": ["*"], "expires_at": None}
        assert few.json() == {"subject": "few", "models": ["gpt-*"], "expires_at": None}
        assert everything.header("cache-control") == "no-store"


async def test_test_stream_sends_timed_events_one_by_one(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house, house.client() as client:
        response = await client.request("GET", "/test/stream?count=4&interval=0.1", BEARER)
        events = [event async for event in response.events()]

        assert response.header("content-type") == "text/event-stream; charset=utf-8"
        assert (response.header("x-accel-buffering"), response.header("cache-control")) == ("no", "no-cache, no-transform")
        assert [event.event.type for event in events] == ["tick"] * 4 + ["done"]
        told = [json.loads(event.event.data) for event in events[:4]]
        assert [(each["n"], each["of"], each["interval"]) for each in told] == [(number, 4, 0.1) for number in range(1, 5)]
        assert all(abs(each["unix_ms"] / 1000 - time.time()) < 60 for each in told)
        since = [event.at - events[0].at for event in events[:4]]
        assert all(number * 0.1 - 0.05 < at < number * 0.1 + 0.5 for number, at in enumerate(since))
        assert response.end is End.CLEAN
        assert await house.metric("llm_proxy_requests_total", route="test", outcome="completed", stream="true") == 1


@pytest.mark.parametrize(
    "query", ["count=0", "count=1001", "interval=-1", "interval=61", "count=x", "interval=nan", "count=1000&interval=60"]
)
async def test_test_stream_has_bounds(upstream: Upstream, query: str) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, f"/test/stream?{query}")

        assert (response.status, response.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(("public", "status"), [(False, 401), (True, 200)])
async def test_test_stream_is_public_only_where_the_settings_say_so(upstream: Upstream, public: bool, status: int) -> None:
    async with open_house(settings(upstream.url, diagnostics={"public": public})) as house:
        response = await look(house, "/test/stream?count=1&interval=0", [])

        assert response.status == status


async def test_page_that_checks_streams_is_there_for_anybody_and_kept_by_browsers(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        page = await look(house, "/stream-check?count=5&interval=1", [])
        again = await look(house, "/stream-check", [("If-None-Match", page.header("etag") or "")])

        assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
        assert page.body.startswith(b"<!doctype html>")
        assert (again.status, bytes(again.body)) == (304, b"")


async def test_body_of_a_test_stream_is_measured(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house, house.client() as client:
        response = await client.request("POST", "/test/stream?count=1", BEARER, b"x" * 5000)
        events = [event async for event in response.events()]

        assert json.loads(events[0].event.data)["body"] == 5000


async def test_caller_learns_when_it_was_noticed_that_a_test_stream_was_left(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url, diagnostics={"public": True})) as house:
        async with house.client() as client:
            response = await client.request("GET", "/test/stream?interval=60", [*BEARER, ("X-Request-Id", "mine")])
            await response.read_until(b"tick")
        await house.records()

        told = await look(house, "/test/departures/mine", [])
        unknown = await look(house, "/test/departures/other", [])

        assert told.json()["state"] == "left"
        assert told.json()["silent_ms"] < 60_000
        assert unknown.status == 404


async def test_test_stream_of_another_is_not_told(upstream: Upstream) -> None:
    async with open_house(with_models(upstream, upstream)) as house:
        async with house.client() as client:
            await (await client.request("GET", "/test/stream?count=1", [*BEARER, ("X-Request-Id", "mine")])).read()

        own = await look(house, "/test/departures/mine")
        other = await look(house, "/test/departures/mine", [("Authorization", f"Bearer {NARROW}")])
        nobody = await look(house, "/test/departures/mine", [])

        assert own.json()["state"] == "ended"
        assert (other.status, nobody.status) == (404, 401)


async def test_client_that_leaves_the_test_stream_ends_it(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        async with house.client() as client:
            response = await client.request("GET", "/test/stream?count=10&interval=60", BEARER)
            await response.read_until(b"tick")

        assert (await house.records())[0]["outcome"] == "client_gone"


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/v1/messages/batches", 404, lambda answer: answer["type"] == "error" and answer["error"]["message"]),
        ("GET", "/v1/messages", 405, lambda answer: answer["type"] == "error" and answer["error"]["message"]),
        ("GET", "/v1beta/files", 404, lambda answer: answer["error"]["status"] == "NOT_FOUND" and answer["error"]["message"]),
        ("POST", "/model/x/apply", 404, lambda answer: answer["message"]),
        ("POST", "/v1/files", 404, lambda answer: answer["error"]["message"]),
    ],
)
async def test_what_is_not_served_is_told_in_the_callers_dialect(
    upstream: Upstream, method: str, path: str, status: int, told: Callable[[Any], Any]
) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, path, method=method)

        assert response.status == status
        assert told(response.json())
        assert (await house.records())[0]["outcome"] == "rejected_request"
