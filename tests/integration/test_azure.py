"""Azure OpenAI from end to end: its clients at any upstream, and any client at an upstream of Azure's kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from proxy.settings import Settings
from tests.integration.asking import attempts, look
from tests.support.answers import CLOCKS, FINISH, KEEPALIVE, TOKEN, delta, only_record, sse
from tests.support.client import End, Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, merged, open_house, settings
from tests.support.upstream import DONE, Drip, Gate, Upstream, answer, stream

VERSION = "api-version=2024-06-01"
DEPLOYED = f"/openai/deployments/gpt-x/chat/completions?{VERSION}"
API_KEY = [("api-key", KEY)]
SAFE: dict[str, Any] = {"hate": {"filtered": False, "severity": "safe"}}
PROMPT = sse({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0}]})
LATE = sse({"choices": [{"index": 0, "finish_reason": None, "content_filter_results": SAFE, "content_filter_offsets": {}}]})
WHOLE = PROMPT + TOKEN + delta(content=" you") + FINISH + LATE + DONE


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def azure(*urls: str, base: str = "", **changes: Any) -> Settings:
    """Return settings with upstreams of Azure's kind at *urls*, and `gpt-*` served by them in order."""
    names = [chr(ord("a") + index) for index in range(len(urls))]
    kinds = {
        name: {"kind": "azure", "base_url": url + base, "api_key": f"azure-{name}"} for name, url in zip(names, urls, strict=True)
    }
    changes["upstreams"] = merged(kinds, changes.get("upstreams", {}))
    return settings(*urls, **merged({"streaming": CLOCKS}, changes))


def unnamed(**more: Any) -> bytes:
    """Return the body of a request that names no model."""
    return orjson.dumps({"messages": [{"role": "user", "content": "hi"}], **more})


async def asked(house: House, path: str = DEPLOYED, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Response:
    """Ask on a connection of its own and read the answer to its end."""
    async with house.client() as client:
        response = await client.request("POST", path, API_KEY if headers is None else headers, body or unnamed(stream=True))
        await response.read()
        return response


# A client of Azure's at an upstream of Azure's.


@pytest.mark.parametrize("size", [1, 10_000])
async def test_a_stream_passes_byte_for_byte_with_what_the_filters_say_before_and_after(upstream: Upstream, size: int) -> None:
    async with open_house(azure(upstream.url, streaming={"keepalive_interval": "30s"})) as house:
        upstream.script(stream(Drip(WHOLE, size), headers=[("apim-request-id", "apim-1"), ("x-request-id", "x-1")]))

        response = await asked(house)

        assert bytes(response.body) == WHOLE
        assert response.end is End.CLEAN
        record = await only_record(house)
        assert (record["outcome"], record["route"], record["upstream_request_id"]) == ("completed", "chat", "apim-1")


@pytest.mark.parametrize("body", [unnamed(stream=True), b'{ "model": "whatever", "stream":true,"messages":[]}'])
@pytest.mark.parametrize("base", ["", "/", "/openai"])
async def test_a_request_passes_as_the_client_wrote_it(upstream: Upstream, body: bytes, base: str) -> None:
    async with open_house(azure(upstream.url, base=base)) as house:
        upstream.script(stream(WHOLE))

        await asked(house, f"{DEPLOYED}&a=%2B", body)

        seen = await upstream.request()
        assert seen.target == f"/openai/deployments/gpt-x/chat/completions?a=%2B&{VERSION}".encode()
        assert seen.body == body
        assert seen.header("api-key") == "azure-a"
        assert KEY.encode() not in seen.head.raw


@pytest.mark.parametrize("path", ["embeddings", "audio/speech", "images/generations", "completions"])
async def test_every_path_of_a_deployment_leads_to_the_same_one_there(upstream: Upstream, path: str) -> None:
    async with open_house(azure(upstream.url)) as house:
        upstream.script(answer({"ok": True}))

        await asked(house, f"/openai/deployments/gpt-x/{path}?{VERSION}", b'{"input":"a"}')

        seen = await upstream.request()
        assert (seen.target, seen.body) == (f"/openai/deployments/gpt-x/{path}?{VERSION}".encode(), b'{"input":"a"}')


async def test_of_an_alias_only_the_deployment_in_the_path_changes(upstream: Upstream) -> None:
    models = [{"name": "gpt-x", "targets": [{"upstream": "a", "model": "my gpt/1"}]}]
    async with open_house(azure(upstream.url, models=models)) as house:
        upstream.script(stream(WHOLE))

        await asked(house)

        seen = await upstream.request()
        assert seen.target == f"/openai/deployments/my%20gpt%2F1/chat/completions?{VERSION}".encode()
        assert seen.body == unnamed(stream=True)


async def test_the_newer_form_is_told_no_dated_version(upstream: Upstream) -> None:
    async with open_house(azure(upstream.url, base="/openai/v1")) as house:
        upstream.always(stream(WHOLE))

        await asked(house)
        await asked(house, "/openai/v1/chat/completions?api-version=preview", chat(model="gpt-x"))

        older, newer = upstream.requests
        assert (older.target, older.json()["model"]) == (b"/openai/v1/chat/completions", "gpt-x")
        assert (newer.target, newer.body) == (b"/openai/v1/chat/completions?api-version=preview", chat(model="gpt-x"))


# A client of Azure's at an upstream of OpenAI's kind.


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (unnamed(stream=True), b'{"model":"gpt-x",' + unnamed(stream=True)[1:]),
        (b'{"messages":[],"model" : "other"}', b'{"messages":[],"model" : "gpt-x"}'),
        (b'{"messages":[],"model" : "gpt-x"}', b'{"messages":[],"model" : "gpt-x"}'),
    ],
    ids=["put in", "replaced", "the same"],
)
async def test_the_deployment_becomes_the_model_and_the_version_stays_here(upstream: Upstream, body: bytes, sent: bytes) -> None:
    async with open_house(settings(upstream.url)) as house:
        upstream.script(stream(TOKEN, FINISH, DONE))

        response = await asked(house, f"{DEPLOYED}&a=1", body)

        seen = await upstream.request()
        assert (seen.target, seen.body) == (b"/v1/chat/completions?a=1", sent)
        assert seen.header("authorization") == "Bearer sk-upstream-a"
        assert bytes(response.body) == TOKEN + FINISH + DONE


async def test_a_form_without_a_model_gets_the_deployment(upstream: Upstream) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
    headers = [*API_KEY, ("Content-Type", "multipart/form-data; boundary=b")]
    async with open_house(settings(upstream.url)) as house:
        upstream.script(answer({"text": "hi"}))

        await asked(house, f"/openai/deployments/gpt-x/audio/transcriptions?{VERSION}", form, headers)

        seen = await upstream.request()
        assert seen.target == b"/v1/audio/transcriptions"
        assert seen.body == b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-x\r\n' + form


@pytest.mark.parametrize("path", ["/openai/v1/responses", "/openai/responses?api-version=2025-04-01-preview"])
async def test_responses_name_their_model_in_the_body(upstream: Upstream, path: str) -> None:
    async with open_house(settings(upstream.url)) as house:
        upstream.script(answer({"id": "resp_1", "output": []}))

        await asked(house, path, b'{"model":"gpt-x","input":"hi"}')

        assert (await upstream.request()).target == b"/v1/responses"
        assert (await only_record(house))["route"] == "responses"


async def test_the_models_are_listed_in_azures_newer_form(upstream: Upstream) -> None:
    models = [{"name": "gpt-x", "targets": [{"upstream": "a"}]}]
    async with open_house(azure(upstream.url, models=models)) as house:
        listed = await look(house, "/openai/v1/models")
        one = await look(house, "/openai/v1/models/gpt-x")

        assert [each["id"] for each in listed.json()["data"]] == [one.json()["id"]] == ["gpt-x"]
        assert not upstream.requests


# Any other client at an upstream of Azure's kind.


async def test_a_client_of_openais_is_served_by_a_deployment(upstream: Upstream) -> None:
    models = [{"name": "gpt-4o", "targets": [{"upstream": "a", "model": "mine"}]}]
    async with open_house(azure(upstream.url, models=models, upstreams={"a": {"api_version": "2025-01-01-preview"}})) as house:
        upstream.script(stream(WHOLE))

        response = await asked(house, CHAT, chat(model="gpt-4o"), BEARER)

        seen = await upstream.request()
        assert seen.target == b"/openai/deployments/mine/chat/completions?api-version=2025-01-01-preview"
        assert seen.body == chat(model="gpt-4o")
        assert bytes(response.body) == WHOLE


async def test_a_silence_is_filled_with_comments_as_everywhere_in_openais_api(upstream: Upstream) -> None:
    async with open_house(azure(upstream.url, streaming={"commit_after": "50ms"})) as house, house.client() as client:
        upstream.script(stream(PROMPT, Gate("go"), WHOLE[len(PROMPT) :]))

        response = await client.request("POST", DEPLOYED, API_KEY, unnamed(stream=True))
        await response.read_until(PROMPT + KEEPALIVE * 3)
        upstream.open("go")

        assert (await response.read()).replace(KEEPALIVE, b"") == WHOLE


async def test_an_upstream_of_openais_stands_in_for_one_of_azures(upstream: Upstream) -> None:
    async with Upstream() as second:
        openai = {"kind": "openai", "base_url": f"{second.url}/v1", "api_key": "sk-b"}
        async with open_house(azure(upstream.url, second.url, upstreams={"b": openai})) as house:
            upstream.script(answer({"error": {"code": "429", "message": "m"}}, 429))
            second.script(stream(TOKEN, FINISH, DONE))

            response = await asked(house)

            assert bytes(response.body) == TOKEN + FINISH + DONE
            assert attempts(await only_record(house)) == [("a", "rate_limited"), ("b", "ok")]
            seen = await second.request()
            assert (seen.target, seen.json()["model"]) == (b"/v1/chat/completions", "gpt-x")


async def test_a_prompt_that_azure_refuses_is_refused_in_its_own_words(upstream: Upstream) -> None:
    told = {"error": {"code": "content_filter", "message": "m", "innererror": {"content_filter_result": SAFE}}}
    async with open_house(azure(upstream.url)) as house:
        upstream.script(answer(told, 400))

        response = await asked(house)

        assert (response.status, response.json()) == (400, told)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (DEPLOYED.replace("gpt-x", "claude"), 404, "model_not_found"),
        (DEPLOYED.replace("gpt-x", "gpt-%E9"), 404, "model_not_found"),
        ("/openai/deployments/gpt-x/chat", 404, "not_found"),
    ],
)
async def test_what_is_not_deployed_is_not_found(upstream: Upstream, path: str, status: int, code: str) -> None:
    async with open_house(azure(upstream.url)) as house:
        response = await asked(house, path)

        assert (response.status, response.json()["error"]["code"]) == (status, code)
        assert not upstream.requests
