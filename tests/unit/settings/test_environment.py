from __future__ import annotations

from typing import Any

import pytest

from proxy.settings import Settings, SettingsError, load

AWS = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
DIGEST = "ab" * 32


def rules(settings: Settings) -> dict[str, str]:
    return {model.name: model.targets[0].upstream for model in settings.models}


def complaints(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(None, environ)
    return str(caught.value).splitlines()


def test_without_any_key_the_simulator_answers_everything() -> None:
    settings = load(None, {})

    assert rules(settings) == {"*": "demo"}
    assert settings.upstreams["demo"].kind == "simulator"
    assert settings.source == "environment"


def test_openai_alone_takes_every_name() -> None:
    settings = load(None, {"OPENAI_API_KEY": "sk-1"})

    assert rules(settings) == {"*": "openai"}
    assert settings.upstreams["openai"].api_key.get_secret_value() == "sk-1"
    assert str(settings.upstreams["openai"].origin) == "https://api.openai.com/v1"


def test_names_choose_among_the_keys_that_are_there() -> None:
    keys = {"OPENAI_API_KEY": "o", "ANTHROPIC_API_KEY": "a", "OPENROUTER_API_KEY": "r", "GEMINI_API_KEY": "g"}

    settings = load(None, keys)

    assert list(rules(settings).items()) == [
        ("claude-*", "anthropic"),
        ("gemini-*", "gemini"),
        ("*/*", "openrouter"),
        ("*", "openai"),
    ]
    assert [(name, each.kind, each.api_key.get_secret_value()) for name, each in settings.upstreams.items()] == [
        ("openai", "openai", "o"),
        ("anthropic", "anthropic", "a"),
        ("openrouter", "openai", "r"),
        ("gemini", "gemini", "g"),
    ]
    assert str(settings.upstreams["openrouter"].origin) == "https://openrouter.ai/api/v1"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ANTHROPIC_API_KEY", {"claude-*": "anthropic"}),
        ("GEMINI_API_KEY", {"gemini-*": "gemini"}),
        ("OPENROUTER_API_KEY", {"*/*": "openrouter"}),
    ],
)
def test_a_rule_is_there_only_with_its_key(key: str, expected: dict[str, str]) -> None:
    assert rules(load(None, {key: "x"})) == expected


def test_an_empty_key_is_none() -> None:
    assert rules(load(None, {"OPENAI_API_KEY": ""})) == {"*": "demo"}


@pytest.mark.parametrize(
    ("environ", "name", "origin"),
    [
        ({"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://vllm:8000/v1"}, "openai", "http://vllm:8000/v1"),
        ({"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": "http://other:1"}, "anthropic", "http://other:1"),
    ],
)
def test_base_urls_are_honoured(environ: dict[str, str], name: str, origin: str) -> None:
    assert str(load(None, environ).upstreams[name].origin) == origin


def test_a_base_url_that_is_the_proxy_itself_is_refused() -> None:
    environ = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}

    assert complaints(environ) == [
        (
            "environment variable OPENAI_BASE_URL upstreams.openai.base_url: "
            "this is the proxy's own address: each request would come back to it"
        )
    ]


def test_a_base_url_needs_its_key() -> None:
    assert rules(load(None, {"OPENAI_BASE_URL": "http://vllm:8000/v1"})) == {"*": "demo"}


@pytest.mark.parametrize("version", ["OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION"])
def test_azure_takes_what_openai_does_not(version: str) -> None:
    environ = {"AZURE_OPENAI_API_KEY": "x", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/", version: "2024-10-21"}

    settings = load(None, environ)

    assert rules(settings) == {"*": "azure"}
    assert settings.upstreams["azure"].api_version == "2024-10-21"
    assert str(settings.upstreams["azure"].origin) == "https://r.openai.azure.com"
    assert rules(load(None, environ | {"OPENAI_API_KEY": "y"})) == {"*": "openai"}


def test_an_azure_key_without_its_resource_is_refused() -> None:
    assert complaints({"AZURE_OPENAI_API_KEY": "x", "LLM_PROXY_WORKERS": "x"}) == [
        "environment variable AZURE_OPENAI_API_KEY: set AZURE_OPENAI_ENDPOINT too, for example https://my-resource.openai.azure.com",
        "environment variable LLM_PROXY_WORKERS workers: expected a whole number",
    ]


def test_bedrock_takes_the_names_that_it_gives_out() -> None:
    settings = load(None, AWS | {"OPENAI_API_KEY": "x", "OPENROUTER_API_KEY": "y"})
    found = rules(settings)

    assert settings.upstreams["bedrock"].region == "eu-central-1"
    assert found["anthropic.*"] == found["us.*"] == found["arn:aws*:bedrock:*"] == "bedrock"
    assert list(found.items())[-2:] == [("*/*", "openrouter"), ("*", "openai")]


def test_bedrock_alone_takes_every_name() -> None:
    assert rules(load(None, AWS))["*"] == "bedrock"


@pytest.mark.parametrize("missing", list(AWS))
def test_bedrock_needs_a_region_and_whole_credentials(missing: str) -> None:
    assert "bedrock" not in load(None, {name: value for name, value in AWS.items() if name != missing}).upstreams


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
def test_other_aws_credentials_do_too(name: str) -> None:
    assert "bedrock" in load(None, {"AWS_REGION": "us-east-1", name: "x"}).upstreams


def test_api_keys_come_as_pairs() -> None:
    settings = load(None, {"LLM_PROXY_API_KEYS": f"ci:{DIGEST}, bob:{'0' * 64},"})

    assert [(key.id, key.sha256) for key in settings.auth.api_keys] == [("ci", DIGEST), ("bob", "0" * 64)]


@pytest.mark.parametrize("value", ["lp_thekeyitself", f"ci:{DIGEST},lp_thekeyitself", f"ci={DIGEST}"])
def test_api_keys_in_another_form_are_refused_unrepeated(value: str) -> None:
    lines = complaints({"LLM_PROXY_API_KEYS": value})

    assert lines == [
        (
            "environment variable LLM_PROXY_API_KEYS auth.api_keys: "
            "expected id:sha256, several separated by commas; `llm-proxy key` makes such a pair"
        )
    ]


def test_a_wrong_digest_is_reported_with_its_variable() -> None:
    assert complaints({"LLM_PROXY_API_KEYS": "ci:lp_thekeyitself"})[0].startswith(
        "environment variable LLM_PROXY_API_KEYS auth.api_keys.0.sha256: expected the 64 hex digits"
    )


def test_the_jwt_secret_makes_an_issuer() -> None:
    issuer = load(None, {"LLM_PROXY_JWT_SECRET": "s" * 32}).auth.jwt[0]

    assert (issuer.issuer, issuer.audience, issuer.algorithms) == ("llm-proxy", "llm-proxy", ("HS256",))
    assert issuer.secret.get_secret_value() == "s" * 32


def test_the_issuer_of_the_jwt_secret_can_be_renamed() -> None:
    environ = {"LLM_PROXY_JWT_SECRET": "s" * 32, "LLM_PROXY_AUTH__JWT__0__ISSUER": "my-app"}

    assert load(None, environ).auth.jwt[0].issuer == "my-app"


def test_a_short_jwt_secret_is_refused_unrepeated() -> None:
    lines = complaints({"LLM_PROXY_JWT_SECRET": "hunter2"})

    assert "at least 32 bytes" in lines[0]
    assert lines[0].startswith("environment variable LLM_PROXY_JWT_SECRET")
    assert "hunter2" not in lines[0]


def test_a_file_without_upstreams_takes_them_from_the_environment(load_text: Any) -> None:
    settings = load_text("listen: 127.0.0.1:9\nupstreams:\n", OPENAI_API_KEY="x")

    assert rules(settings) == {"*": "openai"}
    assert settings.source == "c.yaml"


def test_a_file_with_upstreams_takes_none_from_the_environment(load_text: Any) -> None:
    settings = load_text("upstreams: {local: {kind: simulator}}", OPENAI_API_KEY="x")

    assert list(settings.upstreams) == ["local"]
    assert settings.models == ()


def test_clients_of_the_environment_count_where_the_file_names_none(load_text: Any) -> None:
    environ = {"LLM_PROXY_API_KEYS": f"env:{DIGEST}", "LLM_PROXY_JWT_SECRET": "s" * 32}
    text = "auth: {api_keys: [{id: file, sha256: '%s'}]}" % ("0" * 64)

    settings = load_text(text, **environ)

    assert [key.id for key in settings.auth.api_keys] == ["file"]
    assert [issuer.issuer for issuer in settings.auth.jwt] == ["llm-proxy"]
