from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from proxy import settings
from proxy.providers.azure import Azure, take_version
from proxy.providers.base import Asked, Refusal

CHAT = Asked("chat", b"/v1/chat/completions", model="gpt-4o")
RESPONSES = Asked("responses", b"/v1/responses", model="gpt-4o")


def azure(base: bytes = b"", api_version: str | None = None) -> Azure:
    return Azure(settings.Upstream(kind="azure", base_url="https://r.openai.azure.com", api_version=api_version), base)


@pytest.mark.parametrize("base", [b"", b"/", b"/openai", b"/openai/"])
def test_a_deployment_stands_in_the_path_below_the_resource(base: bytes) -> None:
    target = b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"

    assert azure(base).target(CHAT) == target


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("https://r.openai.azure.com", b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ("https://r.openai.azure.com/", b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ("https://r.openai.azure.com/openai", b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ("https://r.openai.azure.com/openai/", b"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ("https://r.services.ai.azure.com/openai/v1/", b"/openai/v1/chat/completions"),
    ],
)
def test_an_endpoint_in_the_environment_may_be_written_as_people_do(endpoint: str, target: bytes) -> None:
    loaded = settings.load(None, {"AZURE_OPENAI_API_KEY": "x", "AZURE_OPENAI_ENDPOINT": endpoint}).upstreams["azure"]

    assert loaded.origin is not None
    assert Azure(loaded, loaded.origin.path.encode()).target(CHAT) == target


@pytest.mark.parametrize(
    ("path", "api", "target"),
    [
        (b"/v1/embeddings", "embeddings", b"/openai/deployments/m/embeddings"),
        (b"/v1/audio/speech", "audio", b"/openai/deployments/m/audio/speech"),
        (b"/v1/images/generations", "images", b"/openai/deployments/m/images/generations"),
        (b"/v1/responses", "responses", b"/openai/responses"),
    ],
)
def test_only_what_a_deployment_serves_lies_below_it(path: bytes, api: str, target: bytes) -> None:
    assert azure().target(Asked(api, path, model="m")) == target + b"?api-version=2024-10-21"


def test_a_deployment_s_name_is_escaped() -> None:
    assert azure().target(replace(CHAT, model="a b/c?")).startswith(b"/openai/deployments/a%20b%2Fc%3F/chat")


@pytest.mark.parametrize(
    ("configured", "query", "version", "sent"),
    [
        (None, b"", b"", b"?api-version=2024-10-21"),
        ("2025-01-01-preview", b"", b"", b"?api-version=2025-01-01-preview"),
        ("2025-01-01-preview", b"", b"2024-06-01", b"?api-version=2024-06-01"),
        (None, b"?a=1&b=%20", b"", b"?a=1&b=%20&api-version=2024-10-21"),
        (None, b"?a=1&api-version=2024-06-01&b=2", b"", b"?a=1&b=2&api-version=2024-06-01"),
        (None, b"?", b"", b"?api-version=2024-10-21"),
    ],
)
def test_the_client_s_version_wins_over_the_configured_one(
    configured: str | None, query: bytes, version: bytes, sent: bytes
) -> None:
    target = azure(api_version=configured).target(replace(CHAT, query=query, version=version))

    assert target == b"/openai/deployments/gpt-4o/chat/completions" + sent


@pytest.mark.parametrize("base", [b"/openai/v1", b"/openai/v1/"])
@pytest.mark.parametrize(
    ("configured", "version", "sent"),
    [
        (None, b"", b""),
        (None, b"2024-10-21", b""),
        (None, b"preview", b"?api-version=preview"),
        ("preview", b"", b"?api-version=preview"),
    ],
)
def test_the_newer_form_is_openai_s_own_and_knows_no_dated_versions(
    base: bytes, configured: str | None, version: bytes, sent: bytes
) -> None:
    newer = azure(base, configured)

    assert newer.target(replace(CHAT, version=version)) == b"/openai/v1/chat/completions" + sent
    assert newer.target(replace(RESPONSES, version=version)) == b"/openai/v1/responses" + sent


def test_a_gateway_s_path_comes_before_azure_s_own() -> None:
    assert azure(b"/team/openai").target(CHAT).startswith(b"/team/openai/deployments/gpt-4o/")
    assert azure(b"/team/openai/v1").target(CHAT) == b"/team/openai/v1/chat/completions"


def test_a_body_names_the_model_only_where_azure_reads_it() -> None:
    assert not azure().reads_model("chat")
    assert azure().reads_model("responses")
    assert azure(b"/openai/v1").reads_model("chat")


def test_it_speaks_what_azure_has_of_openais_api() -> None:
    assert azure().apis == {"chat", "completions", "responses", "embeddings", "images", "audio"}


def test_the_key_has_a_header_of_its_own() -> None:
    assert azure().credential("k") == ((b"api-key", b"k"),)
    assert azure().credential("") == ()


def test_azure_s_own_request_id_comes_first() -> None:
    assert azure().request_id({b"x-request-id": b"a", b"apim-request-id": b"b"}) == "b"
    assert azure().request_id({b"x-request-id": b"a"}) == "a"


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (400, {"error": {"code": "content_filter", "innererror": {"code": "x"}}}, Refusal("refused", transient=False)),
        (401, {"error": {"code": "401", "message": "Access denied"}}, Refusal("credentials", transient=True)),
        (401, {"statusCode": 401, "message": "Access denied"}, Refusal("credentials", transient=True)),
        (403, {"error": {"code": "403", "message": "firewall"}}, Refusal("credentials", transient=True)),
        (404, {"error": {"code": "DeploymentNotFound"}}, Refusal("refused", transient=False)),
        (408, {"error": {"code": "408"}}, Refusal("refused", transient=True)),
        (429, {"error": {"code": "429"}}, Refusal("rate_limited", transient=True)),
        (429, {"error": {"code": "insufficient_quota"}}, Refusal("spend_limit", transient=True)),
        (500, {"error": {"code": "InternalServerError"}}, Refusal("server_error", transient=True)),
        (503, {"error": {"code": "ServiceUnavailable"}}, Refusal("overloaded", transient=True)),
    ],
)
def test_a_refusal_is_judged_by_status_and_code(status: int, body: object, refusal: Refusal) -> None:
    assert azure().refusal(status, {}, orjson.dumps(body)) == refusal


@pytest.mark.parametrize(
    ("query", "rest", "version"),
    [
        (b"", b"", b""),
        (b"?a=1", b"?a=1", b""),
        (b"?api-version=1", b"", b"1"),
        (b"?a=1&api-version=1&b=2", b"?a=1&b=2", b"1"),
        (b"?api-version=1&api-version=2", b"", b"2"),
        (b"?x-api-version=1", b"?x-api-version=1", b""),
    ],
)
def test_a_version_is_taken_out_of_a_query_and_nothing_else(query: bytes, rest: bytes, version: bytes) -> None:
    assert take_version(query) == (rest, version)
