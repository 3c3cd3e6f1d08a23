"""Every path besides chat: model lists, what is passed on by its path, named upstreams, uploads, our own pages, and browsers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.handler import catalogue
from proxy.settings import Settings
from tests.integration.asking import BUSY, GOOD, WHOLE, ask, attempts, look, until
from tests.support.answers import TOKEN
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, KEY, chat, open_house, settings
from tests.support.upstream import DONE, Close, Fin, Gate, Hang, Reply, RequestSeen, Upstream, answer, stream, verbatim

JSON = {"ok": True}
FILES = "/upstream/a/v1/files"
NARROW = "lp_test_for_few_models_0123456789"
SITE = "https://app.example"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def listed(upstream: Upstream, **changes: Any) -> Settings:
    """Return settings under which `/v1/files` of the upstream may be asked for by name."""
    return settings(
        upstream.url, upstreams={"a": {"passthrough": ["/v1/files", "/v1/batches"], **changes.pop("a", {})}}, **changes
    )


def form(model: str, boundary: str = "b0und", *, more: bytes = b"RIFF\x00\xff\r\n--b0un") -> bytes:
    """Return the body of an audio upload."""
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'.encode()
        + more
        + f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n--{boundary}--\r\n'.encode()
    )


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


# White space before a slow JSON answer.


async def test_slow_json_answer_is_preceded_by_white_space(upstream: Upstream) -> None:
    upstream.script(
        Reply(headers=[("Content-Type", "application/json")], before=[Gate("answer")], body=[b'{"ok": true}'], framing="length")
    )
    configured = settings(upstream.url, streaming={"json_keepalive_after": "50ms", "keepalive_interval": "50ms"})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(stream=False))
        await response.read_until(b"   ")
        upstream.open("answer")
        await response.read()

        assert (response.status, response.header("content-type"), response.end) == (200, "application/json", End.CLEAN)
        assert bytes(response.body).lstrip(b" ") == b'{"ok": true}'
        assert response.json() == JSON


async def test_failure_behind_white_space_cuts_the_answer(upstream: Upstream) -> None:
    upstream.script(
        Reply(status=400, headers=[("Content-Type", "application/json")], before=[Gate("answer")], body=[b"{}"], framing="length")
    )
    configured = settings(upstream.url, streaming={"json_keepalive_after": "50ms", "keepalive_interval": "50ms"})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", CHAT, BEARER, chat(stream=False))
        await response.read_until(b" ")
        upstream.open("answer")
        await response.read()

        assert bytes(response.body).strip(b" ") == b""
        assert response.end in (End.ABORTED, End.RESET)


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


BROWSER = [("Cookie", "session=1"), ("Origin", SITE)]
ACCESS = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Max-Age", "1"), ("Set-Cookie", "s=2")]


@pytest.mark.parametrize("transparent", [True, False])
async def test_only_a_transparent_upstream_sees_and_sets_what_belongs_to_browsers(upstream: Upstream, transparent: bool) -> None:
    upstream.script(answer(JSON, headers=ACCESS))
    configured = listed(upstream, a={"transparent": transparent}, cors={"origins": [SITE]})
    async with open_house(configured) as house:
        response = await look(house, FILES, [*BEARER, *BROWSER])

        seen = await upstream.request()
        assert (seen.header("cookie"), seen.header("origin")) == (("session=1", SITE) if transparent else (None, None))
        assert response.header("access-control-allow-origin") == ("*" if transparent else SITE)
        assert response.header("access-control-max-age") == ("1" if transparent else None)
        assert response.header("vary") == (None if transparent else "Origin")
        assert response.header("set-cookie") == "s=2"
        assert seen.header("authorization") == "Bearer sk-upstream-a"


# Uploads.

LARGE = bytes(range(256)) * 1200  # above what the kernel and the parser hold back


def uploading(upstream: Upstream, **changes: Any) -> Settings:
    """Return settings under which 8 KiB may be tried again, and 1 MiB be sent."""
    limits = {"body": "1MiB", **changes.pop("limits", {})}
    return listed(upstream, retry={"max_body": "8KiB"}, limits=limits, **changes)


def framed(data: bytes, *, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if chunked else data


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
async def test_large_upload_flows_through_as_it_comes(upstream: Upstream, chunked: bool) -> None:
    upstream.script(answer(JSON))
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(LARGE)))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, framing])
        await client.send(framed(LARGE[:100_000], chunked=chunked))
        await upstream.connected()

        async def half_is_there() -> bool:
            return bool(upstream.requests) and len(upstream.requests[0].body) == 100_000

        await until(half_is_there, "the first half of the upload")
        await client.send(framed(LARGE[100_000:], chunked=chunked) + (b"0\r\n\r\n" if chunked else b""))
        response = await client.response()
        await response.read()

        seen = await upstream.request()
        assert (response.json(), seen.body) == (JSON, LARGE)
        assert seen.header("content-length") == (None if chunked else str(len(LARGE)))
        assert (await house.records())[0]["bytes_in"] == len(LARGE)


@pytest.mark.parametrize(("size", "calls"), [(8192, 3), (8193, 1)])
async def test_upload_above_the_retry_limit_is_sent_once(upstream: Upstream, size: int, calls: int) -> None:
    upstream.always(answer(BUSY, 503))
    async with open_house(uploading(upstream)) as house:
        response = await ask(house, bytes(size), target=FILES)

        assert (response.status, response.json()) == (503, BUSY)
        assert [len(request.body) for request in upstream.requests] == [size] * calls


@pytest.mark.parametrize("after", [[Fin()], [Close()], []], ids=["closes", "resets", "stays"])
async def test_early_refusal_of_an_upload_is_delivered_at_once(upstream: Upstream, after: list[Fin | Close]) -> None:
    """It is worth more to the client than the news of a closed connection; and the connection is out of step."""
    refusal = Reply(status=413, early=True, framing="length", before=[Gate("answer")], body=[b"too large"], after=after)
    upstream.script(refusal, answer(JSON))
    async with open_house(uploading(upstream)) as house:
        async with house.client() as client:
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
            await client.send(LARGE[:100])
            await upstream.reached("answer")
            upstream.open("answer")

            response = await client.response()
            await response.read()
        following = await look(house, FILES)

        assert (response.status, bytes(response.body)) == (413, b"too large")
        assert (following.json(), upstream.requests[1].connection) == (JSON, 1)
        assert (await house.records(2))[0]["outcome"] == "upstream_error"


async def test_chunked_upload_over_the_limit_gets_a_413_and_its_upstream_is_closed(upstream: Upstream) -> None:
    upstream.script(answer(JSON))
    async with open_house(uploading(upstream)) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Transfer-Encoding", "chunked")])
        for _ in range(17):
            await client.send(framed(bytes(65536), chunked=True))

        response = await client.response()
        await response.read()

        assert (response.status, response.json()["error"]["code"]) == (413, "body_too_large")
        assert (await house.records())[0]["outcome"] == "rejected_limit"
        await upstream.closed()
        assert not upstream.requests[0].complete


async def test_client_that_leaves_during_its_upload_closes_the_upstream(upstream: Upstream) -> None:
    async with open_house(uploading(upstream)) as house:
        async with house.client() as client:
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
            await client.send(LARGE[:100_000])
            await upstream.connected()

            left = await client.close()

        assert (await upstream.closed()).at - left < 0.1
        assert (await house.records())[0]["outcome"] == "client_gone"


async def test_slow_upload_is_not_the_upstreams_delay(upstream: Upstream) -> None:
    """The upstream's clock stands still while it is the client that is waited for."""
    upstream.script(answer(JSON))
    configured = uploading(upstream, streaming={"first_token_timeout": "300ms"}, circuit={"failures": 1})
    async with open_house(configured) as house, house.client() as client:
        await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(len(LARGE)))])
        for start in range(0, len(LARGE), 60_000):
            await client.send(LARGE[start : start + 60_000])
            await asyncio.sleep(0.1)  # six times: more than the upstream's deadline

        response = await client.response()

        assert response.status == 200
        assert await house.metric("llm_proxy_circuit_state", upstream="a") == 0


async def test_upstream_that_does_not_take_an_upload_gets_its_deadline(upstream: Upstream) -> None:
    async with Upstream(reads=False) as stuck:
        configured = uploading(stuck, limits={"body": "64MiB"}, streaming={"first_token_timeout": "500ms"})
        async with open_house(configured) as house, house.client() as client:
            size = 32 << 20
            await client.send_request("POST", FILES, [*BEARER, ("Content-Length", str(size))])
            client.wire.transport.write(bytes(size))

            response = await client.response()

            assert (response.status, (await house.records())[0]["outcome"]) == (504, "upstream_timeout")


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


async def test_client_that_leaves_the_test_stream_ends_it(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        async with house.client() as client:
            response = await client.request("GET", "/test/stream?count=10&interval=60", BEARER)
            await response.read_until(b"tick")

        assert (await house.records())[0]["outcome"] == "client_gone"


# Browsers.


def with_site(upstream: Upstream, **changes: Any) -> Settings:
    return settings(upstream.url, cors={"origins": [SITE], "max_age": "5m"}, **changes)


def preflight(origin: str = SITE) -> list[tuple[str, str]]:
    return [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type,last-event-id"),
    ]


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/test/stream", FILES])
async def test_preflight_is_answered_before_authentication_and_without_an_upstream(upstream: Upstream, path: str) -> None:
    async with open_house(with_site(upstream)) as house:
        response = await look(house, path, preflight(), method="OPTIONS")

        allowed = (response.header("access-control-allow-headers") or "").lower()
        assert (response.status, response.header("access-control-allow-origin")) == (204, SITE)
        assert "POST" in (response.header("access-control-allow-methods") or "")
        assert {"authorization", "content-type", "last-event-id", "x-api-key"} <= set(allowed.split(", "))
        assert response.header("access-control-max-age") == "300"
        assert "Origin" in (response.header("vary") or "")
        assert upstream.connections == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", SITE + "/"])
async def test_preflight_of_another_origin_gets_no_permission(upstream: Upstream, origin: str) -> None:
    async with open_house(with_site(upstream)) as house:
        response = await look(house, CHAT, preflight(origin), method="OPTIONS")

        assert (response.status, response.header("access-control-allow-origin")) == (405, None)
        assert response.header("vary") == "Origin"


def unreachable(request: RequestSeen) -> Reply:
    raise AssertionError("not to be asked")


READABLE = {
    "no credential": ("POST", CHAT, [], b"{}", 401),
    "unknown path": ("GET", "/nothing", BEARER, b"", 404),
    "method": ("GET", CHAT, BEARER, b"", 405),
    "bad body": ("POST", CHAT, BEARER, b"{", 400),
    "too large": ("POST", CHAT, BEARER, bytes(70_000), 413),
    "path": ("GET", "/a//b", BEARER, b"", 400),
    "upstream's error": ("POST", CHAT, BEARER, chat(), 418),
    "answer": ("POST", CHAT, BEARER, chat(stream=False), 200),
    "stream": ("POST", CHAT, BEARER, chat(), 200),
    "page": ("GET", "/auth/ping", BEARER, b"", 200),
    "health": ("GET", "/healthz", [], b"", 200),
}


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), READABLE.values(), ids=READABLE.keys())
async def test_every_answer_is_readable_for_the_configured_origin(
    upstream: Upstream, method: str, path: str, headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    theirs = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true")]
    if status in (200, 418) and path == CHAT:
        upstream.script(
            answer(JSON, status, headers=theirs) if status == 418 or b"false" in body else stream(TOKEN, DONE, headers=theirs)
        )
    async with open_house(with_site(upstream)) as house, house.client() as client:
        response = await client.request(method, path, [*headers, ("Origin", SITE)], body)
        await response.read()

        assert response.status == status
        assert response.head.header_values("access-control-allow-origin") == [SITE]
        assert response.header("access-control-allow-credentials") is None
        assert "Retry-After" in (response.header("access-control-expose-headers") or "")
        assert "X-Request-Id" in (response.header("access-control-expose-headers") or "")
        assert "Origin" in response.head.header_values("vary")


async def test_stream_that_is_committed_early_is_readable_too(upstream: Upstream) -> None:
    upstream.script(stream(Gate("begin"), TOKEN, DONE))
    configured = with_site(upstream, streaming={"commit_after": "20ms", "keepalive_interval": "20ms"})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", CHAT, [*BEARER, ("Origin", SITE)], chat())
        upstream.open("begin")
        await response.read()

        assert response.header("access-control-allow-origin") == SITE
        assert response.header("vary") == "Origin"
        assert bytes(response.body).endswith(WHOLE)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_other_origins_may_not_read_and_caches_are_told(upstream: Upstream, origin: str) -> None:
    upstream.script(GOOD)
    async with open_house(with_site(upstream)) as house:
        response = await ask(house, headers=[*BEARER, ("Origin", origin)])

        assert (response.status, response.header("vary")) == (200, "Origin")
        assert response.header("access-control-allow-origin") is None


async def test_unreadable_head_is_told_to_caches_too(upstream: Upstream) -> None:
    async with open_house(with_site(upstream)) as house, house.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n")

        response = await client.response()

        assert (response.status, response.header("vary")) == (400, "Origin")


async def test_without_origins_no_answer_speaks_of_them(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await look(house, "/auth/ping", [*BEARER, ("Origin", SITE)])
        asked_first = await look(house, CHAT, preflight(), method="OPTIONS")

        assert (response.status, asked_first.status) == (200, 405)
        for each in (response, asked_first):
            assert not [name for name, _ in each.head.headers if name.lower().startswith(b"access-control")]
